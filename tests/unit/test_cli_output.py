"""What people see: tables that fit their terminal, and a line that tells what is being done."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from byoci.cli import output
from byoci.cli.status import Status
from byoci.model import Landing, Outcome

pytestmark = pytest.mark.agent

SOURCE = str(Path(__file__).parents[2] / "src")
ROWS = (
    Landing("hello", "1", "Say goodbye", Outcome.LANDED, "1" * 40, ("the tests passed: 3 tests",)),
    Landing(
        "hello", "12", "Grüße auf 日本語", Outcome.CONFLICT, None, ("does not merge\nwith trunk: conflict in greet",)
    ),
    Landing("hello", "13", "T" * 90, Outcome.WAITING, None, tuple(f"reason {n} of several" for n in range(9))),
)
SHOW = "from unit.test_cli_output import ROWS; from byoci.cli import output; output.landings(ROWS)"


def in_terminal(code: str, columns: int) -> str:
    """What Python code prints in a terminal that wide."""
    ours, theirs = pty.openpty()
    environment = {"COLUMNS": str(columns), "TERM": "xterm", "PYTHONPATH": f"{SOURCE}:{Path(__file__).parents[1]}"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # that is how a terminal ends
            break
        seen += piece
    os.close(ours)
    assert process.wait() == 0, seen
    return seen.decode()


def test_a_table_that_no_terminal_bounds_has_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.landings(ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert lines[0].split() == ["PROJECT", "ID", "OUTCOME", "REVISION", "TITLE", "WHY"]
    assert all(line == line.rstrip() for line in lines)
    assert "reason 8 of several" in lines[3]
    assert "T" * 90 in lines[3]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80, 120])
def test_in_a_terminal_no_line_is_wider_than_it(columns: int) -> None:
    shown = in_terminal(SHOW, columns)
    plain = "".join(part.partition("m")[2] for part in f"m{shown}".split("\x1b["))
    lines = plain.replace("\r", "").splitlines()
    assert max(map(len, lines)) <= max(columns, 66)  # less than that and the columns have no room
    words = " ".join(plain.split())
    for row in ROWS:
        assert all(" ".join(reason.split()) in words for reason in row.reasons[:1])
        assert row.outcome.value in words
    assert "reason 8 of several" in words


def test_columns_are_aligned_behind_wide_letters(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("A", "B"), [("日本語", "x"), ("abc", "y")])
    assert capsys.readouterr().out == "A       B\n日本語  x\nabc     y\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_in_a_terminal_what_is_done_is_a_line_each() -> None:
    stream = io.StringIO()
    status = Status(lambda: stream)
    status.tell("merging")
    status.tell("testing \x1b[2J")
    status.clear()
    assert stream.getvalue() == "merging\ntesting \\x1b[2J\n"


@pytest.mark.slow
def test_in_a_terminal_it_is_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    status = Status(lambda: stream)
    status.tell("testing")
    deadline = time.monotonic() + 60
    while " s\r" not in stream.getvalue():
        assert time.monotonic() < deadline, "it never told the seconds"
        time.sleep(0.1)
    status.clear()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[K")
    status.lasting = True
    status.tell("publishing")
    assert stream.getvalue().endswith("publishing\n")
