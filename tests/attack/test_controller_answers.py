"""What makes the controller's own answers long: things that tell of one another, odd names, many reports, secrets."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from byoci.controller import beans, testreports
from byoci.controller.agentside.record import Log
from byoci.controller.api.builds import _zip
from byoci.controller.api.xpath import pick
from byoci.controller.beans import Bean, answer
from byoci.errors import UsageError

pytestmark = pytest.mark.controller


def endless() -> Bean:
    return Bean("x", {"name": "x"}, lambda: {"others": [endless() for _ in range(100)]})


@pytest.mark.parametrize(
    ("tree", "depth"), [(None, "10"), ("others[" * 20 + "name" + "]" * 20, None), ("*[" * 20 + "*" + "]" * 20, None)]
)
def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, tree: str | None, depth: str | None) -> None:
    monkeypatch.setattr(beans, "_PATIENCE", 0.05)
    with pytest.raises(UsageError, match="takes too long"):
        answer(endless(), tree=tree, depth=depth)


def test_a_name_that_is_no_text_is_in_the_archive(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"a\xff")
    odd.write_text("x")
    place = _zip([(odd, odd.name)])
    with zipfile.ZipFile(place) as archive:
        assert archive.namelist() == ["archive/a\ufffd"]
    place.unlink()


def test_of_many_reports_no_more_than_some_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testreports, "_LARGEST_SUM", 1000)
    monkeypatch.setattr(testreports, "_MOST_CASES", 20)
    for number in range(40):
        (tmp_path / f"{number}.xml").write_text("<testsuite/>")
        (tmp_path / f"large{number}.xml").write_text(f"<testsuite>{' ' * 300}</testsuite>")
    for start, most in (("", 21), ("large", 3)):
        report = testreports.read_reports(tmp_path, [f"{start}{number}.xml" for number in range(40)])
        assert len(report.suites) == most
        assert len(report.complaints) == 1


@pytest.mark.parametrize("told", ["it's", r"'it'\''s'", """'it'"'"'s'"""])
def test_a_secret_is_masked_as_shells_quote_it(tmp_path: Path, told: str) -> None:
    os.mkfifo(tmp_path / "wake")
    log = Log(str(tmp_path), ["it's"], timestamps=False)
    for byte in f"+ echo {told}\n".encode():
        log.write(bytes([byte]))
    log.finish()
    assert b"********" in (tmp_path / "log").read_bytes()
    assert b"it" not in (tmp_path / "log").read_bytes()


def test_an_expression_finds_no_more_than_there_is() -> None:
    deep = b"<r>" + b"<a>" * 22 + b"<b/>" * 200 + b"</a>" * 22 + b"</r>"
    with pytest.raises(UsageError):
        pick(deep, "//*" * 8, "found", [])
    wide = b"<r>" + b"<job><name>x</name></job>" * 5000 + b"</r>"
    assert pick(wide, "", "", ["//name"]) == (b"<r>" + b"<job />" * 5000 + b"</r>", False)


@pytest.mark.slow
def test_a_large_report_takes_little_memory(tmp_path: Path) -> None:
    trace = b"<testcase name='x'><failure message='m'>" + b"t" * 5000 + b"</failure></testcase>"
    (tmp_path / "traces.xml").write_bytes(b"<testsuite>" + trace * 12_000 + b"</testsuite>")
    (tmp_path / "text.xml").write_bytes(b"<testsuite><system-out>" + b"x\n" * 30_000_000 + b"</system-out></testsuite>")
    (tmp_path / "empty.xml").write_bytes(b"<testsuite>" + b"<a/>" * 2_500_000 + b"</testsuite>")
    (tmp_path / "tag.xml").write_bytes(b"<testsuite name='" + b"x" * 60_000_000 + b"'/>")
    program = """
import sys
from pathlib import Path
from byoci.controller.testreports import read_reports
report = read_reports(Path(sys.argv[1]), ["traces.xml", "text.xml", "empty.xml", "tag.xml"])
assert report.counts["failed"] == 12_000, report.complaints
assert len(report.complaints) == 2, report.complaints
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert int(done.stdout) < 120_000  # kB
