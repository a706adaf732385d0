"""Folders that lie one below the other, read as one, in the way in which overlays show them.

The upper ones were written by hostile code, through the kernel: what is removed is there as a device with the number 0,
and a folder that hides those below it has an attribute. Nothing here follows a link; of what is opened, every component
is a descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE: Final = "user.overlay.opaque"


class Folder:
    """A folder as it is shown: descriptors of those that it is made of, the uppermost first.

    A single one is what it is: no device in it hides anything, as nothing lies below.
    """

    def __init__(self, parts: Sequence[int]) -> None:
        self._parts = parts

    def names(self) -> Iterator[str]:
        """What is in it, each name once; what was removed is left out where something lies below."""
        if len(self._parts) == 1:
            with os.scandir(self._parts[0]) as entries:
                yield from (entry.name for entry in entries)
            return
        seen: set[str] = set()
        for part in self._parts:
            with os.scandir(part) as entries:
                for entry in entries:
                    if entry.name not in seen:
                        seen.add(entry.name)
                        if not _is_gone(entry.stat(follow_symlinks=False)):
                            yield entry.name

    def find(self, name: str) -> tuple[os.stat_result, int]:
        """What a name stands for, and a descriptor of the part of the folder that has it; `FileNotFoundError`."""
        for part in self._parts:
            try:
                found = os.stat(name, dir_fd=part, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if len(self._parts) > 1 and _is_gone(found):
                break
            return found, part
        raise _missing(name)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[Folder]:
        """The folder of that name in this one."""
        with contextlib.ExitStack() as stack:
            found: list[int] = []
            for part in self._parts:
                try:
                    here = os.open(name, _FOLDER, dir_fd=part)
                except FileNotFoundError:
                    continue
                except NotADirectoryError:
                    if not found:
                        raise
                    break  # a file, a link, or the mark of what was removed: below it nothing shows
                stack.callback(os.close, here)
                found.append(here)
                if _hides(here):
                    break
            if not found:
                raise _missing(name)
            yield Folder(found)


@contextlib.contextmanager
def opened(folders: Sequence[Path]) -> Iterator[Folder]:
    """Folders as one, the uppermost first."""
    with contextlib.ExitStack() as stack:
        parts = []
        for path in folders:
            parts.append(os.open(path, _FOLDER))
            stack.callback(os.close, parts[-1])
        yield Folder(parts)


def _missing(name: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _is_gone(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _hides(folder: int) -> bool:
    try:
        return os.getxattr(folder, _OPAQUE) == b"y"
    except OSError:
        return False
