"""Webhooks: whether what somebody sends comes from the forge, and has not come before.

A webhook carries no decision. One that is genuine wakes the brain, which reads the forge again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

    secret  what they are signed with; b"" refuses all of them
    wake    is told the name of a forge of which something was heard
    """

    def __init__(self, state: State, secret: bytes, wake: Callable[[str], None]) -> None:
        self._state = state
        self._secret = secret
        self._wake = wake
        self._hearing = 0

    async def hear(self, request: Request, forge: str, known: bool) -> tuple[int, str]:
        """A webhook of a forge, `known` if a project has it: the answer, as a status of HTTP and in words."""
        if request.method != "POST":
            return 405, "Webhooks are posted."
        if not self._secret:
            return 503, "This site has no secret for webhooks: byoci host secrets makes it."
        try:
            body = await self._body(request)
            _check(self._secret, request.headers, body)
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
            return await asyncio.wait_for(_read(request), _PATIENCE)
        except TimeoutError:
            raise _RefusedError(408, "The body did not arrive in time.") from None
        finally:
            self._hearing -= 1


class _RefusedError(Exception):
    """Why a webhook is refused: a status of HTTP, and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 9 or int(length) > LARGEST):
        raise _RefusedError(413, f"A webhook has at most {LARGEST} bytes.")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST:
            raise _RefusedError(413, f"A webhook has at most {LARGEST} bytes.")
        parts.append(part)
    return b"".join(parts)


def _check(secret: bytes, headers: Mapping[str, str], body: bytes) -> None:
    """Whether it is the forge's.

    The signature comes first, compared in constant time: who does not know the secret learns nothing else.
    """
    wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(headers.get(SIGNATURE, "").encode("utf-8", "replace"), wanted.encode()):
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
