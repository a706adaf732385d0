"""The exact export of a tree: bytes as stored, through folder descriptors, never through a link, all or nothing."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import RejectedError, UnavailableError
from byoci.log import printable
from byoci.model import Exported
from byoci.vcs.export_owner import owner_of
from byoci.vcs.git_objects import EXECUTABLE, LINK, SUBMODULE, TREE, Entry, Objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# A few kilobytes of packed objects can stand for more than any disk holds; a proposal that does so is refused.
EXPORT_BYTES: Final = 64 * 1024**3
EXPORT_ENTRIES: Final = 1_000_000
_DEPTH: Final = 200  # folders within folders; each is an open file while it is written
_LINK_BYTES: Final = 4095  # PATH_MAX without its end
_CHUNK: Final = 1 << 20
_EXPORT = effects.declare(
    "git.export",
    "the candidate's files, in a workspace or a shared tree",
    half="Another worker has another workspace; a shared tree without a note is removed.",
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder below the exported one: its name ("" for that itself), how deep it is, what is to be written to it.

    entries  what is new in it, but folders
    kept     it is there already, and is kept
    gone     what is removed from it first
    """

    name: bytes
    depth: int
    entries: Sequence[Entry]
    kept: bool = False
    gone: Sequence[bytes] = ()


@_EXPORT
def export(objects: Objects, revision: str, folder: Path, at: int | None = None) -> Exported:
    """Write exactly the files of a revision; see `Vcs.export`. After an error `folder` is as empty as it was."""
    (tree,) = objects.identify([f"{revision}^{{tree}}"])
    plan = planned(objects, tree)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not made and any(folder.iterdir()):
        raise UnavailableError(f"{folder} is not empty", resolution="Export to an empty or a new folder.")
    writer = Writer(objects, owner_of(folder), Exported(revision, 1, 0, at))
    try:
        with explained(folder):
            return writer.write(plan, folder)
    except BaseException:
        objects.close()
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        if made:
            folder.rmdir()
        raise


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Errors of the system, as a person reads them."""
    try:
        yield
    except FileExistsError as error:
        raise RejectedError("The tree names a path twice", details=str(error)) from error
    except OSError as error:
        raise UnavailableError(
            f"The files cannot be written to {folder}",
            details=str(error),
            resolution="Make room there, or take away names that this file system does not take.",
        ) from error


def planned(objects: Objects, tree: str) -> list[Folder]:
    """The whole tree as folders, each before those within it; `RejectedError` for what must never be written."""
    known: dict[str, list[Entry]] = {}
    read_below(objects, [tree], known)
    return bounded(folders(known, tree, b"", 0))


def read_below(objects: Objects, wanted: Sequence[str], known: dict[str, list[Entry]]) -> None:
    """Read trees, and all trees within them, into `known`: id → entries."""
    read = 0
    wanted = [name for name in dict.fromkeys(wanted) if name not in known]
    while wanted:
        for name, entries in zip(wanted, objects.trees(wanted), strict=True):
            known[name] = entries
            read += len(entries)
            if read > EXPORT_ENTRIES:
                raise too_large()
        below = (entry.id for name in wanted for entry in known[name] if entry.mode == TREE)
        wanted = [name for name in dict.fromkeys(below) if name not in known]


def bounded(plan: Iterable[Folder]) -> list[Folder]:
    """The plan, where it is not too large."""
    left = EXPORT_ENTRIES
    found: list[Folder] = []
    for folder in plan:
        left -= len(folder.entries) + 1
        if left < 0 or folder.depth > _DEPTH:
            raise too_large()
        found.append(folder)
    return found


def too_large() -> RejectedError:
    """That a tree exceeds the limits."""
    return RejectedError(
        "The tree is too large to be exported",
        details=f"The limits are {EXPORT_BYTES} bytes, {EXPORT_ENTRIES} entries, {_DEPTH} folders within folders.",
    )


def folders(known: dict[str, list[Entry]], tree: str, name: bytes, depth: int) -> Iterator[Folder]:
    """A tree that is read, as folders to be made."""
    entries = known[tree]
    check_names(entries)
    yield Folder(name, depth, [entry for entry in entries if entry.mode != TREE])
    if depth > _DEPTH:
        return
    for entry in entries:
        if entry.mode == TREE:
            yield from folders(known, entry.id, entry.name, depth + 1)


def check_names(entries: Sequence[Entry]) -> None:
    """Raise `RejectedError` for a name that must never be written.

    Checks on what a source sends refuse these; trunk's own old objects are exempt from them.
    """
    for entry in entries:
        if entry.name.lower() in (b"", b".", b"..", b".git") or b"/" in entry.name:
            shown = printable(entry.name[:200].decode("utf-8", "replace"))
            raise RejectedError("The tree holds a name that is not allowed", details=f"It is {shown!r}.")


class Writer:
    """Writes planned folders below a given one.

    owner  user and group that everything is to belong to; None for ourselves
    held   what is there, to begin with
    """

    def __init__(self, objects: Objects, owner: tuple[int, int] | None, held: Exported) -> None:
        self._objects = objects
        self._owner = owner
        self._held = held
        self._size = held.size
        self._entries = held.entries
        umask = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        self._chmod = umask is None or int(umask[1], 8) & 0o755 != 0

    def write(self, plan: Sequence[Folder], folder: Path) -> Exported:
        """Write all folders of a plan."""
        ids = (entry.id for part in plan for entry in part.entries if entry.mode != SUBMODULE)
        sizes = self._objects.sizes(ids, b"blob")
        opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
        try:
            for part in plan:
                while len(opened) > max(part.depth, 1):
                    self._finish_folder(opened.pop())
                if part.depth:
                    if not part.kept:
                        self._make_folder(part.name, opened[-1])
                    opened.append(os.open(part.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
                for name in part.gone:
                    self._remove(name, opened[-1])
                for entry in part.entries:
                    self._write_one(entry, opened[-1], sizes)
            next(sizes, None)
            while len(opened) > 1:
                self._finish_folder(opened.pop())
            self._date(opened[0])
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return replace(self._held, size=self._size, entries=self._entries)

    def _finish_folder(self, folder: int) -> None:
        """Close a folder that is complete. Only now is it given away: while it is written to, it is ours alone."""
        try:
            if self._owner:
                os.fchown(folder, *self._owner)
            self._date(folder)
        finally:
            os.close(folder)

    def _date(self, thing: int | bytes, parent: int | None = None) -> None:
        """Give something, by descriptor or name, the time that everything has."""
        if self._held.at is not None:
            os.utime(thing, ns=(self._held.at, self._held.at), dir_fd=parent, follow_symlinks=parent is None)

    def _make_folder(self, name: bytes, parent: int) -> None:
        self._count(1, 0)
        os.mkdir(name, 0o755, dir_fd=parent)
        if self._chmod:
            os.chmod(name, 0o755, dir_fd=parent)  # noqa: S103 - what a umask of 022 would leave

    def _count(self, entries: int, size: int) -> None:
        self._entries += entries
        self._size += size
        if self._size > EXPORT_BYTES or self._entries > EXPORT_ENTRIES:
            raise too_large()

    def _remove(self, name: bytes, parent: int) -> None:
        """Remove what is there, with all that is in it; no link is followed."""
        found = os.lstat(name, dir_fd=parent)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent)
            self._count(-1, -found.st_size)
            return
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            for child in os.listdir(folder):  # noqa: PTH208 - a descriptor
                self._remove(os.fsencode(child), folder)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=parent)
        self._count(-1, 0)

    def _write_one(self, entry: Entry, parent: int, sizes: Iterator[int]) -> None:
        if entry.mode == SUBMODULE:
            self._make_folder(entry.name, parent)
            if self._owner:
                os.chown(entry.name, *self._owner, dir_fd=parent, follow_symlinks=False)
            self._date(entry.name, parent)
            return
        size = next(sizes)
        self._count(1, size)
        if entry.mode == LINK:
            self._write_link(entry.name, size, parent)
        else:
            self._write_file(entry.name, size, 0o755 if entry.mode == EXECUTABLE else 0o644, parent)
        self._objects.stream.read(1)

    def _write_link(self, name: bytes, size: int, parent: int) -> None:
        target = self._objects.stream.read(min(size, _LINK_BYTES + 1))
        if not 0 < size <= _LINK_BYTES or b"\0" in target:
            raise RejectedError("The tree holds a link that no system can make", details=f"It has {size} bytes.")
        os.symlink(target, name, dir_fd=parent)
        if self._owner:
            os.chown(name, *self._owner, dir_fd=parent, follow_symlinks=False)
        self._date(name, parent)

    def _write_file(self, name: bytes, size: int, mode: int, parent: int) -> None:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=parent)
        try:
            if self._chmod:
                os.fchmod(file, mode)
            if self._owner:
                os.fchown(file, *self._owner)
            while size:
                chunk = self._objects.stream.read(min(size, _CHUNK))
                if not chunk:
                    raise UnavailableError("git cat-file ended early")
                size -= len(chunk)
                while chunk:
                    chunk = chunk[os.write(file, chunk) :]
            self._date(file)
        finally:
            os.close(file)
