"""JUnit XML and subunit files that a build kept, read into Jenkins' test report. They are untrusted: all is bounded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.etree.ElementTree import Element, ParseError

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
_LONGEST: Final = 20_000  # characters of a message or stack trace
_COMPLAINTS: Final = 20


@dataclass(slots=True)
class Report:
    """Suites of test cases, as Jenkins tells them; `complaints` are the files that could not be read, and why."""

    suites: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

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
            suites = _read(folder / path) if room >= 0 else []
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


def _read(path: Path) -> list[dict[str, Any]]:
    from defusedxml.ElementTree import fromstring

    with path.open("rb") as file:
        if file.read(1) == _SUBUNIT:
            file.seek(0)
            return [{"name": safe_text(path.name)[:1000], "duration": 0.0, "cases": _read_subunit(file)}]
        file.seek(0)
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    root: Element = fromstring(data, forbid_dtd=True)  # what defusedxml raises is a ValueError
    if root.tag not in ("testsuite", "testsuites"):
        raise ValueError(f"its root is {safe_text(root.tag)[:50]}, not testsuite or testsuites")
    return [_suite(suite) for suite in root.iter("testsuite")]


def _read_subunit(file: BinaryIO) -> list[dict[str, Any]]:
    """The tests of a subunit stream (version 2). One that began and never ended has failed."""
    from byoci.worker.results_subunit import Piece, Splitter, decode

    statuses: dict[str, str] = {}
    splitter = Splitter()

    def see(pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            event = decode(piece.data) if piece.packet else None
            if event and event.test_id and event.status in _ENDS and len(statuses) <= _MOST_CASES:
                statuses[event.test_id] = _ENDS[event.status]

    while chunk := file.read(1 << 18):
        see(splitter.feed(chunk))
    see(splitter.finish())
    return [_told(name, status) for name, status in statuses.items()]


def _told(name: str, status: str) -> dict[str, Any]:
    told = {"className": safe_text(name.rpartition(".")[0])[:1000], "name": safe_text(name.rpartition(".")[2])[:1000]}
    details = {"errorDetails": "" if status == "FAILED" else None, "errorStackTrace": None}
    return {**told, "duration": 0.0, "status": status, "skipped": status == "SKIPPED", **details}


def _suite(suite: Element) -> dict[str, Any]:
    name = safe_text(suite.get("name", ""))[:1000]
    cases = [_case(case, name) for case in suite.findall("testcase")]
    return {"name": name, "duration": _seconds(suite), "cases": cases}


def _case(case: Element, suite: str) -> dict[str, Any]:
    trouble = case.find("failure")
    if trouble is None:
        trouble = case.find("error")
    status = "FAILED" if trouble is not None else "SKIPPED" if case.find("skipped") is not None else "PASSED"
    return {
        "className": safe_text(case.get("classname", suite))[:1000],
        "name": safe_text(case.get("name", ""))[:1000],
        "duration": _seconds(case),
        "status": status,
        "skipped": status == "SKIPPED",
        "errorDetails": None if trouble is None else safe_text(trouble.get("message", ""))[:_LONGEST],
        "errorStackTrace": None if trouble is None else safe_text(trouble.text or "")[:_LONGEST],
    }


def _seconds(element: Element) -> float:
    try:
        seconds = float(element.get("time", "0").replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e9 else 0.0
