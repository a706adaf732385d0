"""Writing a bzr tree's files to a folder, exactly, and nothing outside of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci import effects
from byoci.errors import ByociError, RejectedError, UnavailableError
from byoci.log import printable
from byoci.vcs.bzr_tree import files_of, inventory_of
from byoci.vcs.export_owner import owner_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from byoci.model import Exported

_EXPORT = effects.declare(
    "bzr.export",
    "the candidate's files, in a workspace or a shared tree",
    half="Another worker has another workspace; a shared tree without a note is removed.",
)
EXPORT_LIMIT: Final = 64 * 1024**3  # bytes; beyond that somebody wants to fill the disk
_FORBIDDEN: Final = ("", ".", "..", ".bzr")


@_EXPORT
def export(repository: Any, tree: Any, folder: Path, held: Exported) -> Exported:
    """Write all of a revision tree's entries to `folder`, which is empty or absent; see `Vcs.export`.

    held  what it will hold, but for the numbers

    A nested tree is an empty folder. Links are made last: until then there is nothing to write through.
    """
    with _filled(folder):
        entries = inventory_of(tree)
        held = checked(entries, held)
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            write(repository, entries, root, owner_of(folder))
            date([*entries, "."], root, held.at)
        finally:
            os.close(root)
    return held


def read_files(repository: Any, tree: Any, paths: Sequence[str]) -> dict[str, bytes]:
    """Contents of those of `paths` that are regular files, spelled exactly as the tree has them."""
    files = files_of(inventory_of(tree)) if paths else {}
    wanted = [(files[path].file_id, files[path].revision, path) for path in set(paths) if path in files]
    return {path: b"".join(chunks) for path, chunks in repository.iter_files_bytes(wanted)}


@contextmanager
def _filled(folder: Path) -> Iterator[None]:
    """The folder, made if need be; as it was before when anything goes wrong."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not made and any(folder.iterdir()):
        raise UnavailableError(f"{folder} is not empty", resolution="Export to an empty or a new folder.")
    try:
        yield
    except BaseException as error:
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        if made:
            folder.rmdir()
        if isinstance(error, OSError):
            raise unwritable(folder, error) from error
        raise


def unwritable(folder: Path, error: OSError) -> UnavailableError:
    """What the system said, as a person reads it."""
    return UnavailableError(
        f"the files cannot be written to {folder}",
        details=str(error),
        resolution="Make room there, or take away names that this file system does not take.",
    )


def checked(entries: dict[str, Any], held: Exported) -> Exported:
    """Refuse what must never be written, also where an old revision of trunk, which is not checked, has it.

    Returns `held` with the numbers of these entries.
    """
    for path, entry in entries.items():
        parent, _, name = path.rpartition("/")
        inside = not parent or (parent in entries and entries[parent].kind == "directory")
        if not inside or name.lower() in _FORBIDDEN or name != entry.name or "\0" in name:
            raise RejectedError("the tree holds a path that is not allowed", details=printable(path))
    size = sum(entry.text_size or 0 for entry in entries.values() if entry.kind == "file")
    if size > EXPORT_LIMIT:
        raise RejectedError("the tree is too large to be exported", details=f"The limit is {EXPORT_LIMIT} bytes.")
    return replace(held, entries=len(entries) + 1, size=size)


def date(paths: Iterable[str], root: int, at: int | None) -> None:
    """Give entries the time that everything has."""
    for path in paths if at is not None else ():
        os.utime(path.encode(), ns=(at or 0, at or 0), dir_fd=root, follow_symlinks=False)


def write(repository: Any, entries: dict[str, Any], root: int, owner: tuple[int, int] | None) -> None:
    """Write entries below `root`, where the folders are that they are in, unless these are among them."""
    # A folder sorts before what is in it.
    folders = [path for path, entry in sorted(entries.items()) if entry.kind in ("directory", "tree-reference")]
    for path in folders:
        os.mkdir(path.encode(), 0o755, dir_fd=root)
        os.chmod(path.encode(), 0o755, dir_fd=root)  # noqa: S103 - whatever our umask
    wanted = [(entry.file_id, entry.revision, path) for path, entry in files_of(entries).items()]
    for path, chunks in repository.iter_files_bytes(wanted):
        _write_file(path, chunks, entries[path], root, owner)
    links = [path for path, entry in entries.items() if entry.kind == "symlink"]
    for path in links:
        os.symlink(entries[path].symlink_target.encode(), path.encode(), dir_fd=root)
    if owner:  # folders last, and last those that others are in: while they are written to, they are ours alone
        for path in (*links, *reversed(folders)):
            os.chown(path.encode(), *owner, dir_fd=root, follow_symlinks=False)


def _write_file(path: str, chunks: Iterable[bytes], entry: Any, root: int, owner: tuple[int, int] | None) -> None:
    mode = 0o755 if entry.executable else 0o644
    descriptor = os.open(path.encode(), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=root)
    digest = hashlib.sha1(usedforsecurity=False)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(descriptor, mode)
        if owner:
            os.fchown(descriptor, *owner)
        for chunk in chunks:
            digest.update(chunk)
            opened.write(chunk)
    if digest.hexdigest().encode() != entry.text_sha1:
        raise damaged(printable(path))


def damaged(what: str) -> ByociError:
    """That our own copy of the history is not what it was."""
    return UnavailableError(
        "the private repository is damaged",
        details=f"{what} is not what was committed.",
        resolution="Remove the private folder; the next run makes it again.",
    )
