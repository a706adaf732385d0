"""JUnit XML from a tree that hostile code wrote: opened without following links, bounded, summarised."""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from byoci.errors import UsageError
from byoci.worker import merged
from byoci.worker.results import Tally, combine, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from byoci.model import TestSummary

_log = logging.getLogger(__name__)

FILES: Final = 1_000
FILE_SIZE: Final = 16 * 1024**2
WHOLE_SIZE: Final = 64 * 1024**2
ENTRIES: Final = 200_000  # looked at, in all folders together
DEPTH: Final = 32  # folders within folders, and elements within elements
TAG_SIZE: Final = 512 * 1024
NAMES: Final = 1_000  # of elements and attributes; the format has some 30
_CHUNK: Final = 64 * 1024
_WARNINGS: Final = 10
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_junit(folders: Sequence[Path], globs: Sequence[str]) -> TestSummary | None:
    """The sum of the JUnit XML files in a workspace that match; None where there is none.

    folders  those that make up the workspace, the uppermost first: see `Worker.folders_of`
    globs  relative patterns: `*`, `?` and `[…]` within a path's components (hidden names only where they are
           written out), and `**` for any number of folders

    A file that is not as it should be (a link, a device, too large, not JUnit XML) is left out with a warning: what
    the tests wrote can be wrong, and the verdict does not hang on it. Raises `UsageError` for a pattern that leaves
    the workspace, or where defusedxml is not installed.
    """
    patterns = [_components(glob) for glob in globs]
    complaints = _Complaints()
    found: list[TestSummary | None] = []
    left = WHOLE_SIZE
    for path, descriptor in _Search(folders, patterns, complaints).files():
        document = _Document()
        try:
            left -= _parse(descriptor, document, min(FILE_SIZE, left))
        except _UnreadableError as error:
            complaints.add(path, str(error))
        else:
            found.append(document.tally.summary())
    complaints.log()
    return combine(found)


class _UnreadableError(Exception):
    """The file is no JUnit XML within the bounds; never leaves the module."""


class _Complaints:
    """Why files were left out: the first few, so that a hostile tree cannot flood the log."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._untold = 0

    def add(self, path: str, reason: str) -> None:
        """The results at `path` are not read."""
        if len(self._told) < _WARNINGS:
            self._told.setdefault(path, reason)
        else:
            self._untold += 1

    def log(self) -> None:
        """Warn of them all."""
        for path, reason in self._told.items():
            _log.warning("the test results %s are left out: %s", harmless(path), harmless(reason))
        if self._untold:
            _log.warning("more test results are left out: %d", self._untold)


def _components(glob: str) -> tuple[str, ...]:
    parts = tuple(part for part in glob.split("/") if part not in ("", "."))
    if glob.startswith("/") or ".." in parts or not parts or "\0" in glob:
        raise UsageError(f"{glob!r} does not name files within the workspace", resolution="Give a relative pattern.")
    return (*parts, "*") if parts[-1] == "**" else parts


class _Search:
    """Finds regular files by patterns, each once, opening one path component at a time and never a link."""

    def __init__(self, folders: Sequence[Path], patterns: Sequence[tuple[str, ...]], complaints: _Complaints) -> None:
        self._folders = folders
        self._patterns = patterns
        self._complaints = complaints
        self._entries_left = ENTRIES
        self._files_left = FILES
        self._seen: set[tuple[int, int]] = set()

    def files(self) -> Iterator[tuple[str, int]]:
        """Each file's path and its descriptor, which is open until the next one is asked for."""
        try:
            with merged.opened(self._folders) as root:
                for pattern in self._patterns:
                    yield from self._matches(root, "", pattern, DEPTH)
        except OSError as error:
            self._complaints.add(os.fspath(self._folders[0]), error.strerror or str(error))

    def _matches(
        self, folder: merged.Folder, prefix: str, pattern: tuple[str, ...], depth: int
    ) -> Iterator[tuple[str, int]]:
        head, rest = pattern[0], pattern[1:]
        if head == "**":
            yield from self._matches(folder, prefix, rest, depth)
        for name in self._names(folder, head):
            yield from self._descend(folder, prefix + name, pattern if head == "**" else rest, depth)

    def _names(self, folder: merged.Folder, head: str) -> Iterator[str]:
        if not any(sign in head for sign in "*?["):
            yield head
            return
        for name in folder.names():
            if self._entries_left == 0:
                self._complaints.add("(all others)", f"more than {ENTRIES} files and folders were looked at")
                return
            self._entries_left -= 1
            hidden = name.startswith(".") and not head.startswith(".")
            if not hidden and (head == "**" or fnmatch.fnmatchcase(name, head)):
                yield name

    def _descend(
        self, folder: merged.Folder, path: str, rest: tuple[str, ...], depth: int
    ) -> Iterator[tuple[str, int]]:
        name = path.rpartition("/")[2]
        try:
            found, part = folder.find(name)
            kind = found.st_mode
            if rest and stat.S_ISDIR(kind) and depth:
                with folder.opened(name) as inner:
                    yield from self._matches(inner, path + "/", rest, depth - 1)
            elif rest and stat.S_ISDIR(kind):
                self._complaints.add(path, f"more than {DEPTH} folders deep")
            elif not rest and stat.S_ISREG(kind):
                with _opened(name, part) as file:
                    if self._may_read(path, file):
                        yield path, file
            elif not rest and not stat.S_ISDIR(kind):
                self._complaints.add(path, "not a regular file")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self._complaints.add(path, error.strerror or str(error))

    def _may_read(self, path: str, file: int) -> bool:
        status = os.fstat(file)
        identity = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or identity in self._seen:
            return False
        if self._files_left == 0:
            self._complaints.add(path, f"more than {FILES} files")
            return False
        self._files_left -= 1
        self._seen.add(identity)
        return True


@contextmanager
def _opened(name: str, folder: int) -> Iterator[int]:
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _parse(descriptor: int, document: _Document, most: int) -> int:
    """Read one file into `document`; how large it was."""
    parser = _parser(document)
    size = 0
    try:
        while chunk := os.read(descriptor, _CHUNK):
            size += len(chunk)
            if size > most:
                raise _UnreadableError(f"larger than {FILE_SIZE} bytes, or all together than {WHOLE_SIZE}")
            parser.feed(chunk)
            if size - parser.parser.CurrentByteIndex > TAG_SIZE:
                raise _UnreadableError(f"a tag of more than {TAG_SIZE} bytes")
        parser.close()
    except (SyntaxError, ValueError, LookupError, OSError) as error:
        raise _UnreadableError(str(error)) from error
    return size


def _parser(document: _Document) -> Any:
    """A parser that knows no document types, and with them no entities, and builds no tree."""
    try:
        from defusedxml.ElementTree import DefusedXMLParser
    except ImportError as error:
        raise UsageError(
            "the tests' results are JUnit XML, and defusedxml is not installed here",
            resolution="Install byoci with its extra: pip install 'byoci[results]'.",
        ) from error
    return DefusedXMLParser(target=document, forbid_dtd=True)


class _Document:
    """Follows a JUnit XML document element by element, in bounded memory.

    `testcase` elements are counted; `failure` and `error` in one make it failed, `skipped` not run. An `error` or
    `failure` directly in a `testsuite` (its fixture failed) counts as a failed test named after the suite.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._path: list[str] = []
        self._names: set[str] = set()  # the parser keeps every name that it has seen
        self._suite = ""
        self._case = ""
        self._outcome = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins; called by the parser."""
        self._names.update(attributes, (tag,))
        tag = tag.rpartition("}")[2]
        self._check_bounds(tag)
        parent = self._path[-1] if self._path else ""
        self._path.append(tag)
        if tag == "testsuite":
            self._suite = attributes.get("name", "")
        elif tag == "testcase":
            self._outcome = ""
            self._case = ".".join(filter(None, (attributes.get("classname"), attributes.get("name"))))
        elif tag in ("failure", "error") and parent == "testcase":
            self._outcome = "failed"
        elif tag in ("failure", "error") and parent == "testsuite":
            self.tally.fail(self._suite or "unnamed suite")
        elif tag == "skipped" and parent == "testcase":
            self._outcome = self._outcome or "skipped"

    def _check_bounds(self, tag: str) -> None:
        if not self._path and tag not in ("testsuites", "testsuite"):
            raise _UnreadableError(f"not JUnit XML but a document of type {tag}")
        if len(self._path) == DEPTH:
            raise _UnreadableError(f"elements more than {DEPTH} deep")
        if len(self._names) > NAMES:
            raise _UnreadableError(f"more than {NAMES} different names of elements and attributes")

    def end(self, tag: str) -> None:
        """An element ends; called by the parser."""
        self._path.pop()
        if tag.rpartition("}")[2] != "testcase":
            return
        if self._outcome == "failed":
            self.tally.fail(self._case or "unnamed test")
        elif self._outcome == "skipped":
            self.tally.skip()
        else:
            self.tally.passed()

    def close(self) -> None:
        """The document ends; called by the parser."""
