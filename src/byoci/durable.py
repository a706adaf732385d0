"""Files that are written whole or not at all, and are on the disk when that is told; and folders' locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go of when this process ends, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path`, durably, keeping its owner and mode; a new one is 0600."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if path.exists():
                facts = path.stat()
                if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), facts.st_uid, facts.st_gid)
                os.fchmod(file.fileno(), facts.st_mode & 0o7777)
            os.fsync(file.fileno())
        os.replace(draft, path)  # noqa: PTH105 - what mkstemp gave is text
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)  # noqa: PTH108 - likewise
        raise
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file at `path`: it is there, whole, when this returns; before, the old one is.

    The draft has one name, so that killed runs do not pile up any: only one process may write a path at a time.
    """
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have the content of a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
