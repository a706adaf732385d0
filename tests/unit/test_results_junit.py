"""JUnit XML: read from a workspace and summed up, with files that pytest itself wrote."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UsageError
from byoci.worker.results_junit import read_junit

pytest.importorskip("defusedxml", reason="missing: the extra results")

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.agent

SUITE = """\
import pytest

def test_good(): pass
def test_bad(): assert False
@pytest.fixture
def broken(): raise OSError
def test_error(broken): pass
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.parametrize("what", ["<&\\x1b[31m>"])
def test_parameter(what): assert not what
"""


def case(name: str, inside: str = "") -> str:
    return f'<testcase classname="a.B" name="{name}">{inside}</testcase>'


@pytest.mark.slow
def test_what_pytest_writes(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(SUITE)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=out/junit.xml"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    run = subprocess.run([*argv, "test_example.py"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert run.returncode == 1, run.stdout
    summary = read_junit([tmp_path], ["out/*.xml"])
    assert summary is not None
    assert (summary.total, summary.passed, summary.skipped) == (5, 1, 1)
    assert summary.failed[:2] == ("test_example.test_bad", "test_example.test_error")
    assert "\x1b" not in summary.failed[2]


def test_both_roots_and_several_files_are_summed(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(f'<testsuite name="s">{case("x")}{case("y", "<failure/>")}</testsuite>')
    nested = f"<testsuites><testsuite><testsuite>{case('z', '<skipped/>')}</testsuite></testsuite></testsuites>"
    (tmp_path / "two.xml").write_text(nested)
    summary = read_junit([tmp_path], ["one.xml", "two.xml"])
    assert summary is not None
    assert (summary.total, summary.failed, summary.skipped) == (3, ("a.B.y",), 1)


def test_a_file_counts_once_however_many_patterns_match(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(f"<testsuite>{case('x')}</testsuite>")
    summary = read_junit([tmp_path], ["*.xml", "one.xml", "**/*.xml", "**"])
    assert summary is not None
    assert summary.total == 1


def test_two_stars_are_any_number_of_folders(tmp_path: Path) -> None:
    for place in ("", "a", "a/b", "a/b/c"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "r.xml").write_text(f"<testsuite>{case('x')}</testsuite>")
    counts = {glob: read_junit([tmp_path], [glob]) for glob in ("**/r.xml", "a/**/r.xml", "*/*/r.xml", "a/[bc]/r.?ml")}
    assert [summary and summary.total for summary in counts.values()] == [4, 3, 1, 1]


def test_an_error_and_a_failure_in_one_test_are_one_failed_test(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(f"<testsuite>{case('x', '<failure/><error/><skipped/>')}</testsuite>")
    summary = read_junit([tmp_path], ["r.xml"])
    assert summary is not None
    assert (summary.total, summary.failures, summary.skipped) == (1, 1, 0)


def test_a_suite_whose_fixture_failed_counts(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text('<testsuite name="suite"><error message="setUpClass"/></testsuite>')
    summary = read_junit([tmp_path], ["r.xml"])
    assert summary is not None
    assert summary.failed == ("suite",)


def test_output_within_a_test_is_not_a_result(tmp_path: Path) -> None:
    inside = "<system-out><failure/></system-out><properties><property name='error'/></properties>"
    (tmp_path / "r.xml").write_text(f"<testsuite>{case('x', inside)}</testsuite>")
    summary = read_junit([tmp_path], ["r.xml"])
    assert summary is not None
    assert summary.failures == 0


def test_a_namespace_and_another_encoding(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="UTF-16"?><testsuite xmlns="urn:x">' + case("é") + "</testsuite>"
    (tmp_path / "r.xml").write_bytes(text.encode("utf-16"))
    summary = read_junit([tmp_path], ["r.xml"])
    assert summary is not None
    assert summary.total == 1


def test_nothing_there_is_no_summary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_junit([tmp_path], ["out/*.xml", "r.xml", "**/x.xml"]) is None
    assert not caplog.records


@pytest.mark.parametrize("glob", ["/etc/*.xml", "../r.xml", "a/../../r.xml", "", ".", "a\0b"])
def test_a_pattern_that_leaves_the_workspace_is_refused(tmp_path: Path, glob: str) -> None:
    with pytest.raises(UsageError):
        read_junit([tmp_path], [glob])
