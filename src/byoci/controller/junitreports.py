"""A JUnit XML file as Jenkins' suites and cases, read piece by piece: no tree is made, and little of it is kept."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from byoci.controller.render import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = 20_000  # characters of a message or stack trace
_LONGEST_NAME: Final = 1000  # characters
_LONGEST_TAG: Final = 1 << 20  # bytes
_DEEPEST: Final = 100  # elements within elements
_MOST_NAMES: Final = 1000  # of elements and attributes, which the parser keeps
_MOST_ELEMENTS: Final = 2_000_000
_CHUNK: Final = 1 << 18
_TROUBLE: Final = ("failure", "error")


class Document:
    """What a parser tells. `room` is how many characters of messages and traces may still be kept of all files."""

    def __init__(self, room: int, most_cases: int) -> None:
        self.suites: list[dict[str, Any]] = []
        self.room = room
        self._left = most_cases
        self._elements = 0
        self._path: list[str] = []
        self._open: list[dict[str, Any]] = []  # suites
        self._names: set[str] = set()
        self._case: dict[str, Any] = {}
        self._trouble = ""  # the kind that is told of a case: a failure takes the place of an error
        self._text: io.StringIO | None = None  # of the trouble that is open

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if not self._path and tag not in ("testsuite", "testsuites"):
            raise ValueError(f"its root is {safe_text(tag)[:50]}, not testsuite or testsuites")
        self._names.update(attributes, (tag,))
        self._elements += 1
        if len(self._path) == _DEEPEST or len(self._names) > _MOST_NAMES or self._elements > _MOST_ELEMENTS:
            raise ValueError("it nests too deep, or has too many elements or kinds of them")
        above = self._path[-1] if self._path else ""
        self._path.append(tag)
        if tag == "testsuite":
            suite = {"name": _name(attributes.get("name", "")), "duration": _seconds(attributes), "cases": []}
            self.suites.append(suite)
            self._open.append(suite)
            self._count()
        elif tag == "testcase" and above == "testsuite":
            self._begin_case(attributes)
        elif above == "testcase" and self._case:
            self._begin_outcome(tag, attributes)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError("it has more tests than are read")

    def _begin_case(self, attributes: Mapping[str, str]) -> None:
        self._count()
        self._trouble = ""
        self._case = {
            "className": _name(attributes.get("classname", self._open[-1]["name"])),
            "name": _name(attributes.get("name", "")),
            "duration": _seconds(attributes),
            "status": "PASSED",
            "skipped": False,
            "errorDetails": None,
            "errorStackTrace": None,
        }

    def _begin_outcome(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _TROUBLE and (not self._trouble or (tag == "failure" and self._trouble == "error")):
            self._trouble = tag
            self._text = io.StringIO()
            details = self._kept(attributes.get("message", ""))
            self._case.update(status="FAILED", skipped=False, errorDetails=details, errorStackTrace="")
        elif tag == "skipped" and not self._trouble:
            self._case.update(status="SKIPPED", skipped=True)

    def _kept(self, text: str) -> str:
        kept = safe_text(text[: min(LONGEST, self.room)])
        self.room -= len(kept)
        return kept

    def data(self, text: str) -> None:
        """Text within an element."""
        if self._text is not None and self._path[-1] in _TROUBLE and self._text.tell() < LONGEST:
            self._text.write(text[:LONGEST])

    def end(self, tag: str) -> None:
        """An element ends."""
        self._path.pop()
        if tag == "testsuite":
            self._open.pop()
        elif tag in _TROUBLE and self._text is not None and self._path[-1] == "testcase":
            self._case["errorStackTrace"] = self._kept(self._text.getvalue())
            self._text = None
        elif tag == "testcase" and self._case:
            self._open[-1]["cases"].append(self._case)
            self._case = {}

    def close(self) -> None:
        """The document ends."""


def read_document(file: BinaryIO, document: Document, most: int) -> None:
    """Read a file of at most so many bytes. Raises `ValueError`, `SyntaxError` or `LookupError` for what is none."""
    from defusedxml.ElementTree import DefusedXMLParser

    parser = DefusedXMLParser(target=document, forbid_dtd=True)  # what it raises is a ValueError
    if os.fstat(file.fileno()).st_size > most:
        raise ValueError(f"it is larger than {most} bytes")
    size = 0
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        parser.feed(chunk)
        if size - parser.parser.CurrentByteIndex > _LONGEST_TAG:
            raise ValueError(f"it has a tag of more than {_LONGEST_TAG} bytes")
    parser.close()


def _name(text: str) -> str:
    return safe_text(text[: 2 * _LONGEST_NAME])[:_LONGEST_NAME]


def _seconds(attributes: Mapping[str, str]) -> float:
    try:
        seconds = float(attributes.get("time", "0")[:50].replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
