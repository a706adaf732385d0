"""A site as `byoci-install` sets it up: seeded projects, each proposal with the fate that is meant for it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from byoci.config.loading import load
from byoci.host import definition, packages
from byoci.host.seeds import hello_seeds
from byoci.host.site import HELLO, Installed, install
from byoci.model import Landing, Location, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.host, pytest.mark.git, pytest.mark.bzr, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
FATES = (
    Outcome.LANDED,
    Outcome.LANDED,
    Outcome.TESTS_FAILED,
    Outcome.CONFLICT,
    Outcome.WAITING,
    Outcome.WAITING,
    Outcome.LANDED,
    Outcome.LANDED,
)


def set_up(home: Path, namespace: str = "testing", *, run: bool = False) -> tuple[Installed, list[str]]:
    told: list[str] = []
    return install(home, namespace, None, told.append, told.append, run=run), told


def define(home: Path, more: str) -> None:
    """Write the definition before the program does, as it would, with something more."""
    seeds = home / "testing/seeds"
    trunks = {
        "hello-git": Location(str(seeds / "hello-git"), "main"),
        "hello-bzr": Location(f"{seeds}/hello-bzr/trunk"),
    }
    definition.write(home / "testing/definition", definition.render("testing", trunks) + more)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose name means something to a shell, to TOML and to who counts letters."""
    home = tmp_path / 'it\'s a (home) for $HOME, "ünïcode" 🏠'
    monkeypatch.setenv("BYOCI_HOME", str(home))
    yield home
    byoci = Path(sys.executable).with_name("byoci")
    for namespace in ("testing", "selftest"):
        subprocess.run([byoci, "--namespace", namespace, "down"], check=False, capture_output=True)
    assert not processes(home)


def processes(home: Path) -> list[str]:
    """The command lines of all that mention the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            found.append(" ".join(process.cmdline()))
    return [line for line in found if str(home) in line]


def test_every_proposal_fares_as_it_should_on_a_running_site_and_again_nothing_changes(home: Path) -> None:
    define(home, "[controller]\nport = 0\n[monitor]\nport = 0\n")
    first, told = set_up(home, run=True)
    address = f"the site runs: its dashboard is {first.dashboard}"
    assert told.index(address) < min(number for number, line in enumerate(told) if "landing as build" in line)
    with urllib.request.urlopen(f"{first.dashboard}api/projects/hello-bzr", timeout=30) as reply:
        landings = [(item["title"][:8], item["outcome"]) for item in json.load(reply)["landings"]]
    assert landings[::-1][:2] == [("Say good", "landed"), ("Tell how", "landed")]
    assert not [reason for row in first.rows for reason in row.reasons if reason.startswith("as before")]
    assert [(row.project, row.outcome) for row in first.rows] == [(name, fate) for name in HELLO for fate in FATES]
    assert (first.changed, first.errors, first.unexpected) == (True, (), ())
    assert all(bool(row.revision) == (row.outcome is Outcome.LANDED) for row in first.rows)
    attacked = (first.rows[7].proposal, first.rows[15].proposal)
    for name, id_ in zip(HELLO, attacked, strict=True):
        (log,) = (home / "testing/logs" / name / id_).glob("*.log")
        assert f"refused: reading {home}" in log.read_text()
    again, told = set_up(home, run=True)
    assert not again.changed
    assert again.dashboard == first.dashboard
    assert again.unexpected == again.errors == ()
    assert [(row.proposal, row.outcome, row.revision) for row in again.rows] == [
        (row.proposal, row.outcome, row.revision) for row in first.rows
    ]
    assert f"the definition is in {home}/testing/definition, as it was" in told


def test_a_selftest_tells_what_does_not_fare_as_it_should_and_leaves_nothing_running(home: Path) -> None:
    """As on a machine where tests fail that should pass. A selftest's site ends with it."""
    definition.write(
        home / "selftest/definition",
        definition.render("selftest", {"hello-git": Location(str(home / "selftest/seeds/hello-git"), "main")}).replace(
            'tests.command = "./run-tests"', 'tests.command = "false"'
        )
        + f"""[project.hello-bzr]
vcs = "bzr"
trunk = {definition.quoted(str(home / "selftest/seeds/hello-bzr/trunk"))}
tests.command = "false"
approve.trusted = ["reviewers"]
""",
    )
    done, told = set_up(home, "selftest", run=True)
    assert {(row.project, row.title[:12]) for row in done.unexpected} >= {("hello-git", "Say goodbye ")}
    assert {row.outcome for row in done.unexpected} == {Outcome.TESTS_FAILED, Outcome.WAITING}  # one needs another
    assert any("landing as build" in line for line in told)
    assert done.dashboard == ""
    assert not processes(home)


def test_a_project_that_cannot_be_worked_on_is_told_in_its_rows(home: Path) -> None:
    first, _ = set_up(home)
    (home / "testing/seeds/hello-git/refs/heads/main").unlink()
    again, told = set_up(home)
    assert [row.outcome for row in again.rows if row.project == "hello-bzr"] == list(FATES)
    rows = [row for row in again.rows if row.project == "hello-git" and row.outcome is Outcome.ERROR]
    assert len(rows) == sum(fate is not Outcome.LANDED for fate in FATES)
    assert again.errors
    assert again.unexpected == ()
    assert any(line.startswith("hello-git: not worked on") for line in told)
    assert len(again.rows) == len(first.rows)
    shutil.rmtree(home / "testing/seeds/hello-git")
    (home / "testing/seeds/hello-git").mkdir()
    broken, told = set_up(home)
    assert broken.errors
    assert any(line.startswith("hello-git: not made") for line in told)
    assert [row.outcome for row in broken.rows] == list(FATES)


def test_production_has_no_projects_but_a_key(home: Path) -> None:
    done, _ = set_up(home, "production")
    assert done.rows == ()
    config = load(home / "production/definition/byoci.toml", "production")
    assert (config.projects, config.teams) == ({}, {})
    assert (home / "production/secrets/landing_ed25519").stat().st_mode & 0o777 == 0o600


def test_the_program_prints_the_documented_list_also_where_the_site_cannot_run(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        define(home, f"[controller]\nport = {port}\n")
        run = subprocess.run(
            [sys.executable, "-c", "from byoci.cli.install import main; main()", "--json"],
            env={**os.environ, "BYOCI_HOME": str(home)},
            capture_output=True,
            check=True,
            text=True,
        )
    assert f"port {port} cannot be used" in run.stderr
    assert "this program lands itself" in run.stderr
    rows = json.loads(run.stdout)
    assert {tuple(row) for row in rows} == {("project", "proposal", "title", "outcome", "revision", "reasons")}
    assert [row["outcome"] for row in rows] == [fate.value for fate in FATES] * 2
    run = subprocess.run(
        [sys.executable, "-c", "from byoci.cli.install import main; main()", "--no-up"],
        env={**os.environ, "BYOCI_HOME": str(home)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert "Nothing changed" in run.stdout
    assert "merged by others as" in run.stdout
    assert f"byoci-install: the definition is in {home}/testing/definition, as it was\n" in run.stderr
    program = shlex.quote(f"{home}/venv/bin/byoci")
    assert f"  {program} explain 5 " in run.stdout


def test_what_the_tests_of_byoci_need_is_packed_for_the_workers_python(tmp_path: Path) -> None:
    python = packages.worker_python()
    assert python is not None
    lock = (ROOT / "requirements/tests.txt").read_text()
    start = lock.index("iniconfig==")
    end = lock.index("\n", lock.rindex("--hash", start, lock.index("==", start + 20)))
    (tmp_path / "lock.txt").write_text(lock[start:end] + "\n")
    packages.pack(tmp_path / "lock.txt", python[1], tmp_path / "packed.tar.gz")
    with tarfile.open(tmp_path / "packed.tar.gz") as archive:
        assert "./iniconfig/__init__.py" in archive.getnames()
        assert {(entry.uid, entry.uname) for entry in archive} == {(0, "")}


def test_titles_of_seeds_are_whole_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    rows = [Landing(HELLO[0], "10", seed.title, Outcome.TESTS_FAILED, "0" * 12) for seed in hello_seeds(tmp_path)]
    before = len("  ".join((rows[0].project, "10", rows[0].outcome, rows[0].revision or "", "")))
    assert [row.title for row in rows if before + len(row.title) > 80] == []


def test_of_two_at_once_one_waits_and_a_killed_ones_draft_is_removed(home: Path) -> None:
    state = home / "production"
    (state / ".definition-of-a-killed-one/bin").mkdir(parents=True)
    descriptor = os.open(state, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    second = subprocess.Popen(
        [sys.executable, "-c", "from byoci.cli.install import main; main()", "production"],
        env={**os.environ, "BYOCI_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with second:
        assert second.stderr is not None
        assert second.stderr.readline() == "byoci-install: waiting for another one that sets up this site\n"
        os.close(descriptor)
        stdout, stderr = second.communicate()
    assert second.returncode == 0, stderr
    assert "The site is there" in stdout
    assert sorted(path.name for path in state.glob("*definition*")) == ["definition"]
