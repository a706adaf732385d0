"""Webhooks: whether what somebody sends comes from the forge, and has not come before.

A webhook carries no decision. One that is genuine wakes the brain, which reads the forge again.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci.web.bodies import TooLargeError, TooSlowError, read_body

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.requests import Request

    from byoci.monitor.state import State

LARGEST: Final = 1 << 20  # bytes of a body
SIGNATURE: Final = "x-hub-signature-256"
"""The header with `sha256=` and the HMAC-SHA-256 of the body, in hexadecimal digits."""
DELIVERY: Final = "x-delivery"
"""The header with what names a delivery; one that is sent again keeps it."""
_PATIENCE: Final = 10.0  # seconds for a body to arrive
_MOST: Final = 20  # bodies that are being read at once


class Hooks:
    """Takes webhooks. It belongs to one event loop.

    secrets gives what they may be signed with; nothing refuses all of them
    wake    is told the name of a forge of which something was heard
    """

    def __init__(self, state: State, secrets: Callable[[], Sequence[bytes]], wake: Callable[[str], None]) -> None:
        self._state = state
        self._secrets = secrets
        self._wake = wake
        self._hearing = 0

    async def hear(self, request: Request, forge: str, known: bool) -> tuple[int, str]:
        """A webhook of a forge, `known` if a project has it: the answer, as a status of HTTP and in words."""
        if request.method != "POST":
            return 405, "Webhooks are posted."
        secrets = self._secrets()
        if not secrets:
            return 503, "This site has no secret for webhooks: byoci host secrets makes it."
        try:
            body = await self._body(request)
            _check(secrets, request.headers, body)
        except _RefusedError as error:
            return error.status, error.words
        if not known:  # and nobody else is told
            return 404, "No project has that forge."
        if not _is_new(self._state, forge, request.headers, body):
            return 200, "This was heard before."
        self._wake(forge)
        return 202, "The forge is read again."

    async def _body(self, request: Request) -> bytes:
        """The whole body, in bounds of size and time, of not too many at once."""
        if self._hearing >= _MOST:
            raise _RefusedError(503, "Too much is said at once.")
        self._hearing += 1
        try:
            _check_length(request)
            return await read_body(request, LARGEST, _PATIENCE)
        except TooLargeError:
            raise _too_large() from None
        except TooSlowError:
            raise _RefusedError(408, "The body did not arrive in time.") from None
        finally:
            self._hearing -= 1


class _RefusedError(Exception):
    """Why a webhook is refused: a status of HTTP, and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def secrets_of(file: Path, given: Path | None = None) -> list[bytes]:
    """What webhooks may be signed with now; none where there is none yet.

    file   holds it; the one before is in `FILE.older`, and counts too until the day in `FILE.older.expires`, so that
           there is time to tell forges the new one
    given  holds what counts in any case
    """
    older = file.with_name(f"{file.name}.older")
    places = [*([given] if given else []), file]
    found = []
    with contextlib.suppress(OSError):  # there may be none, and a service may be kept from reading them
        last = older.with_name(f"{older.name}.expires").read_text(encoding="ascii", errors="replace").strip()
        if last >= datetime.now(UTC).date().isoformat():
            places.append(older)
    for place in places:
        with contextlib.suppress(OSError):
            found.append(place.read_bytes().strip())
    return list(dict.fromkeys(filter(None, found)))


def _check_length(request: Request) -> None:
    """One that says of itself that it is too large is not read at all."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > LARGEST):
        raise _too_large()


def _too_large() -> _RefusedError:
    return _RefusedError(413, f"A webhook has at most {LARGEST} bytes.")


def _check(secrets: Sequence[bytes], headers: Mapping[str, str], body: bytes) -> None:
    """Whether it is the forge's.

    The signature comes first, compared in constant time: who does not know the secret learns nothing else.
    """
    given = headers.get(SIGNATURE, "").encode("utf-8", "replace")
    wanted = ("sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest() for secret in secrets)
    if not sum(hmac.compare_digest(given, one.encode()) for one in wanted):  # with all, so that time tells nothing
        raise _RefusedError(401, "The signature is not the forge's.")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _RefusedError(400, "The body is no JSON object.")


def _is_new(state: State, forge: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether neither this delivery nor this body came before; both are remembered.

    The body counts, because the delivery's name is not signed: who has recorded one could send it under other names.
    """
    names = {"body": body, "delivery": headers.get(DELIVERY, "").encode("utf-8", "replace")}
    digests = [f"{forge} {kind} {hashlib.sha256(told).hexdigest()}" for kind, told in names.items() if told]
    return state.remember_deliveries(digests)
