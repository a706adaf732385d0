"""What workers share on disk: lock files, which go with what they lock, and which of it is to go."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

AGE_SECONDS: Final = 30 * 86400.0
TOTAL_BYTES: Final = 20 * 1024**3


def locked(path: Path, kind: int) -> int:
    """A descriptor that holds the lock (flock) of `path`; `BlockingIOError` where `kind` asks not to wait for it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, kind)
            if os.fstat(lock).st_ino == path.stat().st_ino:
                return lock
        except FileNotFoundError:
            pass  # it was removed while we waited
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def surplus(things: Iterable[tuple[float, Path, int]]) -> Iterator[Path]:
    """Those that nobody used for a month, and the least used ones while all together are too large.

    things  when each was used last, where it is, and its bytes
    """
    total = 0
    for used, path, size in sorted(things, reverse=True):
        total += size
        if total > TOTAL_BYTES or time.time() - used > AGE_SECONDS:
            yield path
