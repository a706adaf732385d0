"""Lock files of what workers share, which whoever removes the thing removes as well."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
