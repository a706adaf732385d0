"""JUnit XML and subunit files that a build kept, read into Jenkins' test report. They are untrusted: all is bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.etree.ElementTree import ParseError

from byoci.controller.junitreports import Document, read_document
from byoci.controller.render import safe_text
from byoci.errors import ByociError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LARGEST: Final = 64 * 1024**2  # bytes of a file
_LARGEST_SUM: Final = 256 * 1024**2  # of all files of a build
_SUBUNIT: Final = b"\xb3"  # what a stream begins with, and no XML does
_ENDS: Final = {
    "inprogress": "FAILED",  # until its end is told
    "success": "PASSED",
    "xfail": "PASSED",
    "fail": "FAILED",
    "uxsuccess": "FAILED",
    "skip": "SKIPPED",
}
_MOST_CASES: Final = 200_000
_DETAILS: Final = 16 * 1024**2  # characters of messages and stack traces of a build, all together
_LONGEST_NAME: Final = 2000  # characters
_COMPLAINTS: Final = 20


@dataclass(slots=True)
class Report:
    """Suites of test cases, as Jenkins tells them; `complaints` are the files that could not be read, and why.

    room  how many characters of messages and stack traces may still be kept
    """

    suites: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    room: int = _DETAILS

    @property
    def counts(self) -> dict[str, int]:
        """How many tests there are: `total`, `failed`, `skipped`."""
        statuses = [case["status"] for suite in self.suites for case in suite["cases"]]
        return {
            "total": len(statuses),
            "failed": statuses.count("FAILED"),
            "skipped": statuses.count("SKIPPED"),
        }

    def save(self, path: Path) -> None:
        """Write the suites as JSON."""
        path.write_text(json.dumps(self.suites), encoding="utf-8")


def read_reports(folder: Path, paths: Iterable[str]) -> Report:
    """All files of `paths` below `folder`."""
    report = Report()
    cases, room = 0, _LARGEST_SUM
    for path in paths:
        try:
            room -= (folder / path).stat().st_size
            suites = _read(folder / path, report, _MOST_CASES) if room >= 0 else []
        # LookupError: an encoding that is none
        except (OSError, ValueError, ParseError, LookupError, ByociError) as error:
            if len(report.complaints) < _COMPLAINTS:
                report.complaints.append(f"The test report {safe_text(path)} cannot be read: {error}"[:500])
            continue
        report.suites += suites
        cases += sum(len(suite["cases"]) for suite in suites)
        if cases > _MOST_CASES or len(report.suites) > _MOST_CASES or room < 0:
            report.complaints.append("There are more tests than are read; the rest is left out")
            break
    return report


def _read(path: Path, report: Report, most_cases: int) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        subunit = file.read(1) == _SUBUNIT
        file.seek(0)
        if subunit:
            return [{"name": safe_text(path.name)[:1000], "duration": 0.0, "cases": _read_subunit(file)}]
        document = Document(report.room, most_cases)
        read_document(file, document, _LARGEST)
    report.room = document.room
    return document.suites


def _read_subunit(file: BinaryIO) -> list[dict[str, Any]]:
    """The tests of a subunit stream (version 2). One that began and never ended has failed."""
    from byoci.worker.results_subunit import Piece, Splitter, decode

    statuses: dict[str, str] = {}
    splitter = Splitter()

    def see(pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            event = decode(piece.data) if piece.packet else None
            if event and event.test_id and event.status in _ENDS and len(statuses) <= _MOST_CASES:
                statuses[event.test_id[:_LONGEST_NAME]] = _ENDS[event.status]

    while chunk := file.read(1 << 18):
        see(splitter.feed(chunk))
    see(splitter.finish())
    return [_told(name, status) for name, status in statuses.items()]


def _told(name: str, status: str) -> dict[str, Any]:
    told = {"className": safe_text(name.rpartition(".")[0])[:1000], "name": safe_text(name.rpartition(".")[2])[:1000]}
    details = {"errorDetails": "" if status == "FAILED" else None, "errorStackTrace": None}
    return {**told, "duration": 0.0, "status": status, "skipped": status == "SKIPPED", **details}
