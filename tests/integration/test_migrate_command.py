"""`byoci migrate` and `byoci config OLDNAME`, as they are typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from byoci.cli.main import cli, run
from older_team import FILES, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.host


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "ci", {**FILES, "byov.conf.d/zz.conf": "testing.monitor.token = 11aabb22cc\n"})


def types(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(cli, words)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_team_moves_over(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = types(capsys, "migrate", "ci")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["OPTION", "PLACE", "FATE", "NOW,", "AND", "WHY"]
    row = next(line for line in lines if line.startswith("vm.disk_size "))
    assert row.split()[1:4] == ["ci/byov.conf.d/containers.conf:6", "mapped", "worker.anvil.disk,"]
    assert "Secrets that were moved; version control remembers them, so renew them:" in lines
    assert lines[-1] == "Written to ci/byoci.toml. Look at it: byoci --config ci/byoci.toml config"
    assert "11aabb22cc" not in out
    assert types(capsys, "--config", "ci/byoci.toml", "config", "project.rocket.trunk")[1].count("\n") == 3
    code, out, _ = types(capsys, "migrate", "ci")
    assert code == 3
    assert out.splitlines()[-1] == "Nothing to do: ci/byoci.toml is as it must be, and no secret is left to move."


def test_a_dry_run_does_nothing_and_shows_the_file(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(team.parent.rglob("*"))
    code, out, _ = types(capsys, "migrate", "ci", "--dry-run")
    assert code == 0
    assert sorted(team.parent.rglob("*")) == before
    assert "Secrets that would be moved; version control" in out
    shown = out.partition("ci/byoci.toml would be:\n\n")[2]
    types(capsys, "migrate", "ci")
    assert shown.strip() == (team / "byoci.toml").read_text().strip()


def test_programs_read_json(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(types(capsys, "migrate", "ci", "-n", "--json")[1])
    assert list(told) == ["config", "dry_run", "changed", "options", "secrets", "notes", "toml"]
    assert (told["config"], told["dry_run"], told["changed"]) == ("ci/byoci.toml", True, False)
    assert told["options"][0] == {
        "option": "byoci.prefix",
        "section": "",
        "place": "ci/byov.conf:2",
        "fate": "used",
        "now": told["options"][0]["now"],
        "why": "Machines' names have no prefix. What was made from it is written out.",
    }
    place = team.parent / "byoci/testing/secrets/older/testing.monitor.token"
    assert told["secrets"] == [{"from": "ci/byov.conf.d/zz.conf:1", "to": str(place)}]
    again = json.loads(types(capsys, "migrate", "ci", "--json")[1])
    assert (again["toml"], again["changed"], again["options"]) == (told["toml"], True, told["options"])


def test_another_file_and_another_trunk(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--output", "new/own.toml", "--keep-secrets", "--trunk", "rocket", "git", "srv/rocket.git;main")
    code, out, _ = types(capsys, "migrate", "ci", *words)
    assert code == 0
    assert "Secrets that were copied;" in out
    assert f'trunk = "{team.parent}/srv/rocket.git;main"' in (team.parent / "new/own.toml").read_text()
    assert not (team / "byoci.toml").exists()
    assert (team / "byov.conf.d/zz.conf").read_text() == "testing.monitor.token = 11aabb22cc\n"


def test_a_file_that_is_there_is_kept_without_force(team: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(team, {"byoci.toml": "# mine\n"})
    code, _, err = types(capsys, "migrate", "ci")
    assert code == 2
    assert "there is another configuration already" in err
    assert (team / "byoci.toml").read_text() == "# mine\n"
    assert types(capsys, "migrate", "ci", "--force")[0] == 0
    assert (team / "byoci.toml").read_text().startswith("# Made by `byoci migrate`")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("migrate",), "Missing argument 'FOLDER...'"),
        (("migrate", "nowhere"), "Directory 'nowhere' does not exist"),
        (("migrate", "."), ".: has no byov.conf, byov.conf.d, conf.d or byoci.conf"),
        (("migrate", "ci", "--trunk", "rocket", "svn", "x"), "the VCS is git or bzr"),
        (("--namespace", "staging", "migrate", "ci"), "'staging' is not one of 'testing', 'production', 'selftest'"),
        (("migrate", "ci", "--trunk", "-x", "git", "x"), "-x is no good name"),
        (("migrate", "ci", "--trunk", "rocket", "bzr", "lp:x\x07"), "trunk must be a single line of text"),
    ],
)
def test_wrong_use(team: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str) -> None:
    code, _, err = types(capsys, *words)
    assert code == 2
    assert told in err
    assert not (team / "byoci.toml").exists()


@pytest.mark.parametrize("configured", [True, False])
def test_config_names_the_successor_of_an_older_option(
    team: Path, capsys: pytest.CaptureFixture[str], configured: bool
) -> None:
    if configured:
        types(capsys, "migrate", "ci", "--output", "byoci.toml")
    code, _, err = types(capsys, "config", "byoci.tests.command")
    assert code == 2
    assert "now it is project.NAME.tests.command" in err
    assert "vm.cpus is a name of the older byoci; it has no successor." in types(capsys, "config", "vm.cpus")[2]
    told = json.loads(types(capsys, "config", "production.landing.user", "--json")[1])
    assert told["resolution"].endswith("now it is site.landing.user")
    assert "older" not in types(capsys, "config", "nothing.such")[2]
