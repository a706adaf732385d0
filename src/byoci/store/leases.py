"""The landing lease: one lander a trunk, on one machine. The kernel takes it back however its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from byoci import effects
from byoci.errors import LeaseHeldError, UnavailableError
from byoci.model import Lease, Location

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 4096  # bytes of a lease file that are read
_held: Final[set[int]] = set()

_FREED: Final = "The kernel took the lock back: the next run has it at once."
_TAKE = effects.declare("lease.take", "trunk's lease file is made and locked", half=_FREED, done=_FREED)
_SIGN = effects.declare("lease.sign", "who holds the lease, for others to read", half=_FREED, done=_FREED)
_RELEASE = effects.declare("lease.release", "the lease file is emptied and let go of", half=_FREED, done=_FREED)


def _drop_in_child() -> None:
    """A forked child shares the lock with its parent and would keep it alive after the parent's death."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


class Leases:
    """The leases of the landers that share `folder`: a file each, locked while it is held, and never removed.

    Order, concurrency: any process and thread may call `hold` at any time; of those who ask for one trunk, one has it.
    Errors: `LeaseHeldError` while somebody has it, `UnavailableError` where the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def hold(self, trunk: str) -> Iterator[Lease]:
        """The lease of `trunk`, a `str(Location)`, for the time of the `with` block; does not wait for it.

        Spellings of a path (relative, with a trailing slash, through links, as `file:` URL) are one trunk; otherwise
        the caller has to name a trunk in one way only.
        """
        name = _canonical(trunk)
        path = self._folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.lease"
        descriptor = _locked(path, name)
        _held.add(descriptor)
        try:
            yield Lease(trunk, _record(descriptor, name))
        finally:
            with _RELEASE:
                _held.discard(descriptor)
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)
                os.close(descriptor)


def _canonical(trunk: str) -> str:
    location = Location.parse(trunk)
    url = location.url
    if url.startswith("file://"):
        url = unquote(url.removeprefix("file://"))
    if url.startswith("/") or ("://" not in url and Path(url).exists()):
        url = os.path.realpath(url)
    return str(Location(url.rstrip("/") or "/", location.branch))


@_TAKE
def _locked(path: Path, trunk: str) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"the lease of {trunk} cannot be taken",
            details=f"{error.filename}: {error.strerror}",
            resolution="Landers of one trunk run as one user, who owns that folder.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(os.pread(descriptor, _LONGEST, 0))
        os.close(descriptor)
        raise LeaseHeldError(
            f"another lander is at work on {trunk}",
            details=f"It is {holder}.",
            resolution="Wait until it is done. A lander that died holds no lease.",
        ) from None
    except OSError as error:
        os.close(descriptor)
        raise UnavailableError(f"the lease of {trunk} cannot be taken", details=f"{path}: {error.strerror}") from error
    return descriptor


@_SIGN
def _record(descriptor: int, trunk: str) -> str:
    """Write down who holds the lease, for the others' error message, and return it in words."""
    now = datetime.now(UTC).replace(microsecond=0).isoformat()
    told = {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "trunk": trunk}
    raw = json.dumps(told).encode()
    with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, raw, 0)
    return _holder(raw)


def _holder(raw: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        told = json.loads(raw)
        return f"process {told['pid']} on {told['host']}, since {told['since']}"
    return "a process that has only just started"
