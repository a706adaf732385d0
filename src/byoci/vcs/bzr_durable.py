"""What breezy changes on this machine for others to see outlasts a power failure, as a landing is told right after it.

breezy syncs packs. The small files that name packs, a branch's tip and the holder of a lock it writes without.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from breezy import atomicfile, lockdir
from breezy.transport import NoSuchFile

from byoci import durable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAST: Final = b"\nuser: "  # what a lock says last, in the order of the alphabet


@contextmanager
def durably() -> Iterator[None]:
    """While this lasts, a file that breezy puts in another's place, on this machine, is synced before."""
    commit = atomicfile.AtomicFile.commit

    def synced(file: Any) -> None:
        os.fsync(file._fd)  # noqa: SLF001 - there is no other way to its descriptor
        commit(file)
        durable.sync(Path(os.fsdecode(file.realfilename)).parent)

    atomicfile.AtomicFile.commit = synced
    try:
        yield
    finally:
        atomicfile.AtomicFile.commit = commit


def torn(lock: lockdir.LockDir) -> list[bytes] | None:
    """The lines of a lock's file that is not whole; None where it is, or nobody holds the lock.

    It is written before the lock is taken by a rename: where a part is missing, the machine has been down since.
    """
    try:
        told: bytes = lock.transport.get_bytes(lock._held_info_path)  # noqa: SLF001 - there is no other way to it
    except NoSuchFile:
        return None
    return None if told.endswith(b"\n") and _LAST in told else told.splitlines(keepends=True)
