"""Folders that untrusted code has written to, handled without following a link: removing, handing over, measuring.

Everything works on descriptors of folders and names within them, never on paths, and needs a few descriptors however
deep a tree is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ALL: Final = stat.S_IRWXU


def open_folder(name: str | Path, parent: int | None = None, *, force: bool = False) -> int:
    """A descriptor of a folder; never of what a link points to.

    force  open it to its owner where it denies him access

    Raises `OSError`, with ENOTDIR or ELOOP where it is a link or no folder.
    """
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        if not force:
            raise
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{handle}", _ALL)  # noqa: PTH101 -- the descriptor's folder, not a name's
    finally:
        os.close(handle)
    return os.open(name, _FOLDER, dir_fd=parent)


@contextlib.contextmanager
def opened(name: str | Path, parent: int | None = None, *, force: bool = False) -> Iterator[int]:
    """`open_folder`, closed at the end."""
    fd = open_folder(name, parent, force=force)
    try:
        yield fd
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    """Remove a file, link or folder with all that is in it. It is no error when it is gone already.

    Nobody may write to it meanwhile. However deep, it takes time in proportion to the number of entries: what a folder
    holds is moved up before the folder is removed.
    """
    with contextlib.suppress(OSError):  # most of what workers leave is empty
        os.rmdir(path)  # noqa: PTH106 -- it takes a tenth of what follows, if pathlib does not take the rest
        return
    try:
        parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        try:
            mode = os.lstat(path.name, dir_fd=parent).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            os.unlink(path.name, dir_fd=parent)
            return
        with opened(path.name, parent, force=True) as top:
            _empty(top)
        os.rmdir(path.name, dir_fd=parent)
    except OSError as error:
        raise UnavailableError(f"{path} could not be removed", details=str(error)) from error
    finally:
        os.close(parent)


def clear(path: Path) -> None:
    """Remove all that a folder holds, as `remove` does, and keep the folder itself, which must be there."""
    try:
        with opened(path, force=True) as top:
            _empty(top)
    except OSError as error:
        raise UnavailableError(f"{path} could not be emptied", details=str(error)) from error


def _empty(top: int) -> None:
    prefix = f".removed-{secrets.token_hex(8)}-"  # a name that nobody could lay in wait at
    moved = 0
    waiting = _unlink_files(top)
    while waiting:
        name = waiting.pop()
        with opened(name, top, force=True) as folder:
            for child in _unlink_files(folder):
                if not _removed_empty(child, folder):
                    moved += 1
                    _move_up(child, folder, top, f"{prefix}{moved}")
                    waiting.append(f"{prefix}{moved}")
        os.rmdir(name, dir_fd=top)


def _unlink_files(folder: int) -> list[str]:
    """Unlink all but the folders in a folder, which its owner may write to afterwards; returns the folders."""
    if os.fstat(folder).st_mode & _ALL != _ALL:
        os.fchmod(folder, _ALL)
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _removed_empty(name: str, folder: int) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _move_up(name: str, folder: int, top: int, free: str) -> None:
    """Rename a folder within `folder` to a free name in `top`."""
    try:
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=top)
    except PermissionError:
        with opened(name, folder, force=True) as child:
            os.fchmod(child, _ALL)  # its own entry for its parent changes, which takes the right to write to it
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=top)


def hand_over(folder: int, uid: int) -> None:
    """Make everything in a folder, and itself, `uid`'s own. Nobody else may write to it meanwhile.

    All of it is looked at before anything is changed: it must lie on one file system and belong to `uid` or to
    ourselves, or else it was not made for a worker, and `UsageError` is raised. A file that has other names elsewhere
    is replaced with a copy first, so that nothing outside changes its owner.
    """
    ours = os.geteuid()
    left = False
    device = os.fstat(folder).st_dev
    for parent, entries in walk(folder):
        for found in (os.fstat(parent), *(entry.stat(follow_symlinks=False) for entry in entries or ())):
            left = left or found.st_uid != uid
            if found.st_uid not in (uid, ours) or found.st_dev != device:
                raise UsageError(
                    "the folder is no workspace for a worker",
                    details="it holds files of other users, or another file system",
                    resolution="Use a folder that was made for this alone.",
                )
    for parent, entries in walk(folder) if left else ():
        if os.fstat(parent).st_uid != uid:
            os.fchown(parent, uid, uid)
        for entry in entries or ():
            found = entry.stat(follow_symlinks=False)
            if found.st_uid == uid or stat.S_ISDIR(found.st_mode):
                continue
            if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
                _unshare(entry.name, parent)
            os.chown(entry.name, uid, uid, dir_fd=parent, follow_symlinks=False)


def _unshare(name: str, folder: int) -> None:
    """Replace a file with a copy of itself that has no other names."""
    copy = f".copied-{secrets.token_hex(8)}"
    with (
        open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as source,  # noqa: PTH123
        open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder), "wb") as target,  # noqa: PTH123
    ):
        shutil.copyfileobj(source, target)
        os.fchmod(target.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode) & 0o777)
    os.rename(copy, name, src_dir_fd=folder, dst_dir_fd=folder)


@dataclass(slots=True)
class Usage:
    """Disk that a tree takes, in bytes, and how many entries it has; `complete` unless some of it could not be seen."""

    size: int = 0
    files: int = 0
    complete: bool = True

    def add(self, folder: int) -> None:
        """Add what is in a folder, which may change meanwhile."""
        try:
            for _, entries in walk(folder):
                self.complete = self.complete and entries is not None
                for entry in entries or ():
                    self.files += 1
                    with contextlib.suppress(OSError):
                        self.size += entry.stat(follow_symlinks=False).st_blocks * 512
        except UnavailableError:
            self.complete = False


def walk(folder: int) -> Iterator[tuple[int, list[os.DirEntry[str]] | None]]:
    """Every folder from `folder` down: a descriptor, valid until the next step, and its entries.

    In place of a folder that may not be opened, the one that it is in and None. Folders that are gone by the time they
    are to be opened are left out. It needs one descriptor at a time: the way up is "..", and it is checked to be where
    it came from; where it is not, because somebody moves folders meanwhile, the walk ends with `UnavailableError`.
    """
    here = os.dup(folder)
    try:
        entries = _entries(here)
        levels = [(_identity(here), _folders(entries))]
        yield here, entries
        while levels:
            _, names = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    here = _step(here, "..")
                    if _identity(here) != levels[-1][0]:
                        raise UnavailableError("a folder was moved while it was looked through")
                continue
            try:
                here = _step(here, names.pop())
            except PermissionError:
                yield here, None
            except (FileNotFoundError, NotADirectoryError):  # gone, or replaced with a file or a link
                continue
            else:
                entries = _entries(here)
                levels.append((_identity(here), _folders(entries)))
                yield here, entries
    finally:
        os.close(here)


def _entries(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as scan:
        return list(scan)


def _folders(entries: list[os.DirEntry[str]]) -> list[str]:
    return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


def _step(here: int, name: str) -> int:
    """The folder `name` in the folder `here`, in its stead; `PermissionError` where it may be read but not entered."""
    there = open_folder(name, here)
    try:
        os.stat(".", dir_fd=there)
    except PermissionError:
        os.close(there)
        raise
    os.close(here)
    return there
