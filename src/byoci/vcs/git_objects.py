"""Objects of the private repository, read through one `git cat-file` that stays: names, commits, trees, files."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import weakref
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.errors import RejectedError, RevisionGoneError, UnavailableError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from byoci.vcs.git_run import Git

READ_LIMIT: Final = 64 * 1024**2  # bytes of one object that is read into memory
_WINDOW: Final = 256  # requests written before answers are read; two windows fit into a pipe of 64 KiB
_BUFFER: Final = 1 << 20
_READ = effects.declare("git.read-objects", "`git cat-file` is started", half=effects.READ_ONLY)

TREE: Final = b"40000"
LINK: Final = b"120000"
EXECUTABLE: Final = b"100755"
SUBMODULE: Final = b"160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tree's entry: git's mode in octal digits, the name, the object's id."""

    mode: bytes
    name: bytes
    id: str


class Objects:
    """Reads objects; the process behind it starts when it is first needed and ends with this object or `close`.

    Not for two threads at once. Objects that were stored since it started are found too.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[[subprocess.Popen[bytes]], Objects] | None = None
        self.stream: IO[bytes]

    def close(self) -> None:
        """End the process. Reading again starts another one."""
        if self._end is not None:
            self._end()
        self._process = self._end = None

    def identify(self, names: Sequence[str], *, missing_ok: bool = False) -> list[str]:
        """The ids of the objects that `names` stand for; for one that is not there `RevisionGoneError`, or ""."""
        found = []
        for name, header in zip(names, self._ask("info", names), strict=True):
            if header is None and not missing_ok:
                raise RevisionGoneError(
                    f"{name.partition('^')[0]} is not a commit of the private repository",
                    resolution="Fetch it first; where that was done, it is no commit.",
                )
            found.append(header[0] if header else "")
        return found

    def sizes(self, ids: Iterable[str], kind: bytes) -> Iterator[int]:
        """For each object its size, once its content is next in `stream`; the caller reads it and one byte more."""
        for header in self._ask("contents", ids):
            if header is None or header[1] != kind:
                raise UnavailableError(
                    "The private repository is damaged",
                    details=f"An object is missing, or is no {kind.decode()}.",
                    resolution="Remove the private repository; the next run makes it again.",
                )
            yield header[2]

    def read(self, ids: Iterable[str], kind: bytes) -> Iterator[bytes]:
        """The objects' contents; `RejectedError` for one larger than `READ_LIMIT`."""
        for size in self.sizes(ids, kind):
            if size > READ_LIMIT:
                raise RejectedError("An object is too large to be read", details=f"It has {size} bytes.")
            yield self.stream.read(size + 1)[:-1]

    def trees(self, ids: Sequence[str]) -> Iterator[list[Entry]]:
        """The entries of trees, in git's order."""
        for name, raw in zip(ids, self.read(ids, b"tree"), strict=True):
            yield list(_entries(raw, len(name) // 2))

    def _ask(self, command: str, names: Iterable[str]) -> Iterator[tuple[str, bytes, int] | None]:
        """Send requests a window ahead of the answers; each answer is (id, kind, size), or None for a missing object.

        An answer whose content was not read leaves the stream unusable: then, as after any error, it is closed.
        """
        source = iter(names)
        waiting: deque[int] = deque()
        try:
            self._send(command, source, waiting)
            while waiting:
                self._send(command, source, waiting)
                for _ in range(waiting.popleft()):
                    yield self._header()
        except BaseException:
            self.close()
            raise

    def _send(self, command: str, source: Iterator[str], waiting: deque[int]) -> None:
        requests = [f"{command} {name}\n" for name in islice(source, _WINDOW)]
        if requests:
            stdin = self._running().stdin
            assert stdin is not None
            stdin.write("".join([*requests, "flush\n"]).encode())
            stdin.flush()
            waiting.append(len(requests))

    def _header(self) -> tuple[str, bytes, int] | None:
        line = self.stream.readline()
        name, _, rest = line.rstrip(b"\n").rpartition(b" ")
        if rest in (b"missing", b"ambiguous"):
            return None
        name, _, kind = name.partition(b" ")
        if not rest.isdigit():
            raise UnavailableError("git cat-file ended early", details=printable(line.decode("utf-8", "replace")))
        return name.decode(), kind, int(rest)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            with _READ:
                process = self._git.start(["cat-file", "--batch-command", "--buffer"], stdin=subprocess.PIPE)
            assert process.stdout is not None
            with contextlib.suppress(OSError):  # more than this user may have
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _BUFFER)  # so that neither waits for the other
            self._process = process
            self._end = weakref.finalize(self, proc.kill, process)
            self.stream = open(process.stdout.fileno(), "rb", buffering=_BUFFER, closefd=False)  # noqa: SIM115
        return self._process


def read_files(objects: Objects, revision: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Contents of regular files of a revision; a path that is none is left out."""
    (root,) = objects.identify([f"{revision}^{{tree}}"])
    known: dict[str, list[Entry]] = {}
    found = {path: name for path in paths if (name := _find(objects, root, path, known))}
    return dict(zip(found, objects.read(found.values(), b"blob"), strict=True))


def _find(objects: Objects, root: str, path: str, known: dict[str, list[Entry]]) -> str | None:
    """The id of the regular file `path` below a tree; None where it is no such file."""
    *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
    tree = root
    for folder in [*folders, None]:
        if tree not in known:
            (known[tree],) = objects.trees([tree])
        if folder is not None:
            below = [entry.id for entry in known[tree] if entry.name == folder and entry.mode == TREE]
            if not below:
                return None
            tree = below[0]
    files = [entry.id for entry in known[tree] if entry.name == name and entry.mode.startswith(b"100")]
    return files[0] if files else None


def _entries(raw: bytes, id_bytes: int) -> Iterator[Entry]:
    """A tree object's records: mode, space, name, NUL, id (gitformat-tree)."""
    at = 0
    while at < len(raw):
        space = raw.index(b" ", at)
        end = raw.index(b"\0", space)
        yield Entry(raw[at:space].lstrip(b"0"), raw[space + 1 : end], raw[end + 1 : end + 1 + id_bytes].hex())
        at = end + 1 + id_bytes
