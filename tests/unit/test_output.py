"""What commands print holds neither control characters of others nor passwords."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from byoci import log
from byoci.cli import output
from byoci.errors import UsageError
from byoci.forge import local_input

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.host

HOSTILE = "http://bot:swordfish@ci.example.com/x.git \x1b[2Jand \u202eback"
HARMLESS = "http://bot:********@ci.example.com/x.git \\x1b[2Jand \\x202eback"
PROBLEM = UsageError(HOSTILE, details=f"one\n{HOSTILE}", resolution=HOSTILE)


@pytest.mark.parametrize(
    "show",
    [
        lambda: output.say(HOSTILE),
        lambda: output.progress(HOSTILE),
        lambda: output.table(("A", "B"), [("x", HOSTILE)]),
        lambda: output.error(PROBLEM),
    ],
)
def test_lines_for_people(show: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    show()
    printed = "".join(capsys.readouterr())
    assert HARMLESS in printed
    assert "swordfish" not in printed
    assert "\x1b[2J" not in printed


def test_an_error_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(PROBLEM, json_wanted=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {"error": HARMLESS, "details": f"one\n{HARMLESS}", "resolution": HARMLESS}


def test_what_a_lander_says_on_a_forge() -> None:
    assert local_input.machine_prose(f"Log:\n{HOSTILE}") == f"Log:\n{HARMLESS}"


@pytest.mark.parametrize("text", ["http://ci.example.com/a:b@c", "ssh://git@example.com/x", "a:b@c", "12:30 @home", ""])
def test_what_holds_no_password_stays(text: str) -> None:
    assert log.shown(text) == text
