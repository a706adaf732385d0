"""Test reports come from code under test: what is wrong with one is told, and it harms nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.junitreports import LONGEST
from byoci.controller.testreports import read_reports

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.controller


def report_of(folder: Path, *files: bytes):  # type: ignore[no-untyped-def]
    for number, data in enumerate(files):
        (folder / f"{number}.xml").write_bytes(data)
    return read_reports(folder, [f"{number}.xml" for number in range(len(files))])


def test_suites_may_nest_and_errors_are_failures(tmp_path: Path) -> None:
    data = (
        b'<testsuites><testsuite name="a"><testcase name="x" classname="c"/><testsuite name="b">'
        b'<testcase name="y" time="1,000.5"><error message="m">t</error></testcase>'
        b"</testsuite></testsuite></testsuites>"
    )
    report = report_of(tmp_path, data)
    assert report.counts == {"total": 2, "failed": 1, "skipped": 0}
    first, second = report.suites
    assert (first["name"], first["cases"][0]["className"]) == ("a", "c")
    case = second["cases"][0]
    assert (case["className"], case["duration"], case["errorDetails"], case["errorStackTrace"]) == (
        "b",
        1000.5,
        "m",
        "t",
    )
    report.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved").read_text()) == report.suites


@pytest.mark.slow
def test_a_trace_in_very_many_pieces_takes_no_longer_for_that(tmp_path: Path) -> None:
    """Looking through what is kept at each piece would take minutes."""
    pieces = b"x<b/>" * 200_000
    report = report_of(
        tmp_path, b'<testsuite><testcase name="x"><failure>' + pieces + b"</failure></testcase></testsuite>"
    )
    (case,) = report.suites[0]["cases"]
    assert case["errorStackTrace"] == "x" * LONGEST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<x",
        b"<html/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite name="&a;"/>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"\xff\xfe",
        b"<?xml version='1.0' encoding='no-such'?><testsuite/>",
    ],
)
def test_what_is_no_report_is_told_and_the_others_count(tmp_path: Path, data: bytes) -> None:
    report = report_of(tmp_path, data, b'<testsuite><testcase name="x"/></testsuite>')
    assert report.counts == {"total": 1, "failed": 0, "skipped": 0}
    (complaint,) = report.complaints
    assert complaint.startswith("The test report 0.xml cannot be read: ")


def test_what_is_too_large_is_left_out(tmp_path: Path) -> None:
    with (tmp_path / "0.xml").open("wb") as file:
        file.truncate(65 * 1024**2)
    assert "is larger than" in read_reports(tmp_path, ["0.xml"]).complaints[0]
    long = b'<testsuite><testcase name="%s"><failure>%s</failure></testcase></testsuite>' % (b"n" * 5000, b"t" * 50_000)
    (case,) = report_of(tmp_path, long).suites[0]["cases"]
    assert (len(case["name"]), len(case["errorStackTrace"])) == (1000, 20_000)
    many = read_reports(tmp_path, ["missing.xml"] * 100)
    assert len(many.complaints) == 20


@given(st.text(alphabet='<>/="&; testsuiecan1.', max_size=60))
def test_any_text_is_read_or_complained_of(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    report = report_of(tmp_path_factory.getbasetemp(), text.encode())
    assert report.counts["total"] >= 0
    assert len(report.complaints) <= 1


def test_subunit_is_told_by_its_first_byte(tmp_path: Path) -> None:
    import io

    from subunit.v2 import StreamResultToBytes

    stream = io.BytesIO()
    writer = StreamResultToBytes(stream)
    for name, status in (("a.b.good", "success"), ("a.b.bad", "fail"), ("a.left", "skip"), ("a.hangs", "inprogress")):
        writer.status(test_id=name, test_status="inprogress")
        writer.status(test_id=name, test_status=status)
    (tmp_path / "results.subunit").write_bytes(stream.getvalue() + b"some text\xb3")
    (tmp_path / "cut.subunit").write_bytes(b"\xb3" * 1000)
    report = read_reports(tmp_path, ["results.subunit", "cut.subunit"])
    assert report.counts == {"total": 4, "failed": 2, "skipped": 1}
    cases = {(case["className"], case["name"]): case["status"] for case in report.suites[0]["cases"]}
    assert cases[("a.b", "bad")] == cases[("a", "hangs")] == "FAILED"
