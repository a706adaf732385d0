"""Everything that a landing does to the world is one of the effects that have a name."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from crash_client import Landers
from site_under_test import Story

from byoci import effects
from byoci.cli.effects import _GROUPS, render_effects
from byoci.store import leases

pytestmark = [pytest.mark.agent]
PAGE = Path(__file__).parents[2] / "docs" / "effects.md"


@pytest.mark.bzr
def test_the_page_is_what_the_code_says() -> None:
    told = "run: python -m byoci.cli.effects > docs/effects.md"
    assert PAGE.read_text(encoding="utf-8") == render_effects(), told
    assert {name.partition(".")[0] for name in effects.catalogue()} == set(_GROUPS)
    assert all(re.fullmatch(r"[a-z]+\.[a-z-]+", name) for name in effects.catalogue())


def test_two_effects_of_one_name_are_refused() -> None:
    assert leases.Leases
    with pytest.raises(ValueError, match="two effects are called lease"):
        effects.declare("lease.take", "another thing")


def test_an_effect_is_told_as_it_begins_ends_and_fails(caplog: pytest.LogCaptureFixture) -> None:
    effect = effects.Effect("a.thing", "writes a thing", "", "")

    @effect
    def do(what: str) -> str:
        if not what:
            raise OSError("no thing")
        return what

    caplog.set_level(logging.DEBUG, effects.__name__)
    assert do("this") == "this"
    with pytest.raises(OSError, match="no thing"):
        do("")
    assert caplog.messages == [
        "a.thing begins: writes a thing",
        "a.thing ends",
        "a.thing begins: writes a thing",
        "a.thing fails: no thing",
    ]


@pytest.mark.git
@pytest.mark.slow
def test_a_person_sees_what_a_lander_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    story = Story(tmp_path, "git", tests="true")
    story.propose("topic", {"new": "1\n"})
    program = [sys.executable, "-c", "from byoci.cli.main import main; main()"]
    ran = subprocess.run(
        [*program, "--config", story.config, "-vv", "land"], capture_output=True, text=True, check=True
    )
    told = [line for line in ran.stderr.splitlines() if "byoci.effects" in line]
    begun = [line.split()[2] for line in told if " begins: " in line]
    ended = [line.split()[2] for line in told if line.endswith(" ends")]
    assert sorted(begun) == sorted(ended)
    order = [
        "lease.take",
        "git.merge",
        "worker.start",
        "certificate.write",
        "git.push",
        "forge.merged",
        "lease.release",
    ]
    assert list(dict.fromkeys(name for name in begun if name in order)) == order
    assert "trunk's ref moves" in next(line for line in told if "git.push begins" in line)


@pytest.mark.slow
@pytest.mark.git
def test_what_is_done_in_no_name_is_found() -> None:
    strays = {
        "file": "open",
        "folder": "os.mkdir",
        "rename": "os.rename",
        "program": "subprocess.Popen",
        "database": "sqlite3.connect",
        "statement": "UPDATE landing",
    }
    with Landers("git") as landers:
        for stray, event in strays.items():
            landers.prepare("plain")
            plan = {"do": "stray", "act": stray, "name": "lease.take", "nth": 1, "when": "after"}
            unnamed = landers.child("run", audit=True, plans=[plan])["told"]["unnamed"]
            assert unnamed, stray
            assert {what.partition(" (")[0][: len(event)] for what in unnamed} == {event}
            assert all("stray(" in what for what in unnamed)
