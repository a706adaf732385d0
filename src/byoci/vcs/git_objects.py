"""Objects of the private repository: what a name stands for, single files, and the exact export of a tree."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import RejectedError, RevisionGoneError, UnavailableError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from byoci.vcs.git_run import Git

READ_LIMIT: Final = 64 * 1024**2  # bytes of one file that `read_files` gives
EXPORT_LIMIT: Final = 64 * 1024**3  # bytes of one tree: a small pack can hold a file that no disk can
_DEPTH_LIMIT: Final = 200  # folders within folders; each is an open file while it is written
_LINK_LIMIT: Final = 4095  # bytes, PATH_MAX without its end
_CHUNK: Final = 1 << 20

_LINK: Final = b"120000"
_EXECUTABLE: Final = b"100755"
_SUBMODULE: Final = b"160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tree's entry: git's mode in octal digits, the object's id, the path's parts below the root."""

    mode: bytes
    id: bytes
    parts: tuple[bytes, ...]


def identify(git: Git, names: Sequence[str], *, missing_ok: bool = False) -> list[str]:
    """The ids of the objects that `names` stand for; `RevisionGoneError` for one that is not there, or "" for it."""
    result = git.run(["cat-file", "--batch-check=%(objectname)"], stdin="".join(f"{name}\n" for name in names).encode())
    ids = []
    for name, line in zip(names, result.text.split("\n"), strict=True):
        found = "" if line.endswith((" missing", " ambiguous")) else line
        if not found and not missing_ok:
            raise RevisionGoneError(
                f"{name.partition('^')[0]} is not a commit of the private repository",
                resolution="Fetch it first; where that was done, it is no commit.",
            )
        ids.append(found)
    return ids


def read_files(git: Git, revision: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Contents of regular files of a revision; a path that is none is left out."""
    wanted = {os.fsencode(path): path for path in paths}
    if not wanted:
        return {}
    entries = [
        entry
        for entry in _list(git, revision, [os.fsdecode(path) for path in wanted])
        if entry.mode.startswith(b"100") and b"/".join(entry.parts) in wanted
    ]
    contents = {}
    with _batch(git, entries) as stream:
        for entry in entries:
            path = wanted[b"/".join(entry.parts)]
            size = _size(stream, entry)
            if size > READ_LIMIT:
                raise RejectedError(f"{printable(path)} is too large to be read", details=f"It has {size} bytes.")
            contents[path] = stream.read(size + 1)[:-1]
    return contents


def export(git: Git, tree: str, folder: Path) -> None:
    """Write exactly the files of a tree; see `Vcs.export`. `OSError`s become `UnavailableError`, after tidying up."""
    entries = _list(git, tree, None)
    for entry in entries:
        _check_path(entry)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if not made and any(folder.iterdir()):
        raise UnavailableError(f"{folder} is not empty", resolution="Export to an empty or a new folder.")
    try:
        with _batch(git, [entry for entry in entries if entry.mode != _SUBMODULE]) as stream:
            _Writer(stream).write(entries, folder)
    except BaseException as error:
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        if made:
            folder.rmdir()
        if isinstance(error, FileExistsError):
            raise RejectedError("The tree names a path twice", details=str(error)) from error
        if isinstance(error, OSError):
            raise UnavailableError(
                f"The files cannot be written to {folder}",
                details=str(error),
                resolution="Make room there, or take away names that this file system does not take.",
            ) from error
        raise


def _list(git: Git, tree: str, paths: Sequence[str] | None) -> list[Entry]:
    """A whole tree's entries below its folders, or those of `paths` themselves; in git's order, folder by folder."""
    args = ["ls-tree", "-z", "--full-tree", *([] if paths is not None else ["-r"]), tree]
    listing = git.run([*args, "--", *paths] if paths is not None else args, ok=(0, 128))
    if listing.status:
        raise RevisionGoneError(f"{tree} is not in the private repository", resolution="Fetch it first.")
    entries = []
    for line in listing.stdout.split(b"\0")[:-1]:
        facts, _, path = line.partition(b"\t")
        mode, _, name = facts.split(b" ")
        entries.append(Entry(mode, name, tuple(path.split(b"/"))))
    return entries


def _check_path(entry: Entry) -> None:
    """Refuse what must never be written, also where an old object of trunk, which is not checked, holds it."""
    if len(entry.parts) > _DEPTH_LIMIT or any(
        part in (b"", b".", b"..") or part.lower() == b".git" for part in entry.parts
    ):
        shown = printable(b"/".join(entry.parts)[:200].decode("utf-8", "replace"))
        raise RejectedError("The tree holds a path that is not allowed", details=shown)


@contextmanager
def _batch(git: Git, entries: Sequence[Entry]) -> Iterator[IO[bytes]]:
    """The output of one `git cat-file --batch` for the entries, in order."""
    with tempfile.TemporaryFile() as wanted, tempfile.TemporaryFile() as stderr:
        wanted.writelines(entry.id + b"\n" for entry in entries)
        wanted.seek(0)
        process = git.start(["cat-file", "--batch", "--buffer"], stdin=wanted.fileno(), stderr=stderr.fileno())
        assert process.stdout is not None
        try:
            with open(process.stdout.fileno(), "rb", buffering=_CHUNK, closefd=False) as stream:
                yield stream
        finally:
            proc.kill(process)


def _size(stream: IO[bytes], entry: Entry) -> int:
    """The size of the object that comes next, which must be the one that was asked for."""
    header = stream.readline().split(b" ")
    if len(header) != 3 or header[0] != entry.id or header[1] != b"blob":
        raise UnavailableError(
            "The private repository is damaged",
            details=f"Object {entry.id.decode()} cannot be read.",
            resolution="Remove the private repository; the next run makes it again.",
        )
    return int(header[2])


class _Writer:
    """Writes blobs from a batch's output below a folder: through folder descriptors, never through a link."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = EXPORT_LIMIT
        umask = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        self._chmod = umask is None or int(umask[1], 8) & 0o755 != 0

    def write(self, entries: Sequence[Entry], folder: Path) -> None:
        """Write all entries, which come folder by folder."""
        open_folders = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
        here: tuple[bytes, ...] = ()
        try:
            for entry in entries:
                parents = entry.parts[:-1]
                if parents != here:
                    here = self._enter(open_folders, here, parents)
                self._write_one(entry, open_folders[-1])
        finally:
            for descriptor in open_folders:
                os.close(descriptor)

    def _enter(self, opened: list[int], here: tuple[bytes, ...], parents: tuple[bytes, ...]) -> tuple[bytes, ...]:
        common = 0
        while common < min(len(here), len(parents)) and here[common] == parents[common]:
            common += 1
        while len(opened) > common + 1:
            os.close(opened.pop())
        for part in parents[common:]:
            self._make_folder(part, opened[-1])
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        return parents

    def _make_folder(self, name: bytes, parent: int) -> None:
        os.mkdir(name, 0o755, dir_fd=parent)
        if self._chmod:
            os.chmod(name, 0o755, dir_fd=parent)  # noqa: S103 - what a umask of 022 would leave

    def _write_one(self, entry: Entry, parent: int) -> None:
        name = entry.parts[-1]
        if entry.mode == _SUBMODULE:
            self._make_folder(name, parent)
            return
        size = _size(self._stream, entry)
        self._left -= size
        if self._left < 0:
            raise RejectedError("The tree is too large to be exported", details=f"The limit is {EXPORT_LIMIT} bytes.")
        if entry.mode == _LINK and size > _LINK_LIMIT:
            raise RejectedError(
                "The tree holds a symbolic link that no system can make", details=f"It has {size} bytes."
            )
        if entry.mode == _LINK:
            os.symlink(self._stream.read(size), name, dir_fd=parent)
        else:
            self._write_file(name, size, 0o755 if entry.mode == _EXECUTABLE else 0o644, parent)
        self._stream.read(1)

    def _write_file(self, name: bytes, size: int, mode: int, parent: int) -> None:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=parent)
        try:
            if self._chmod:
                os.fchmod(file, mode)
            while size:
                chunk = self._stream.read(min(size, _CHUNK))
                if not chunk:
                    raise UnavailableError("git cat-file ended early")
                size -= len(chunk)
                while chunk:
                    chunk = chunk[os.write(file, chunk) :]
        finally:
            os.close(file)
