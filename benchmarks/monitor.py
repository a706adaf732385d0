"""The monitor: how soon a landing begins, its memory, and how it fares with a thousand projects.

A small site for the first: a controller, a monitor and a trunk in git. For the others the local forge is filled with
10,000 open proposals into 1,000 trunks, and the monitor's memory with 100,000 landings.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.controller import controller, megabytes, site_of, until
from benchmarks.runner import Figure, milliseconds
from benchmarks.sites import Measured, measured
from byoci import proc
from byoci.config.loading import load
from byoci.forge.local import LocalForge
from byoci.gate.ballot import Policy
from byoci.jenkins.client import Jenkins
from byoci.monitor.board import Board
from byoci.monitor.brain import Brain
from byoci.monitor.state import FILE, State
from byoci.monitor.watched import Watched
from byoci.web.serving import ADDRESS_FILE, PID_FILE
from byoci.wiring import Site

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from benchmarks.runner import Tell

_LANDINGS: Final = 8
_PROJECTS: Final = 1000
_EACH: Final = 10  # open proposals
_HISTORY: Final = 100_000
_ASKS: Final = 200
_PORTS: Final = "[controller]\nport = 0\n[monitor]\nport = 0\n"


def measure(tell: Tell) -> Iterator[Figure]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder:
        yield from _landings(tell, Path(folder, "small"))
        tell(f"making {_PROJECTS:,} projects with {_PROJECTS * _EACH:,} proposals, and {_HISTORY:,} landings")
        large = _Large(Path(folder, "large"))
        tell("a round in which nothing has changed")
        yield from _round(large)
        tell("pages")
        yield from _pages(large)


# From an approval to a test.


def _landings(tell: Tell, folder: Path) -> Iterator[Figure]:
    with measured(folder, "git", 1000) as site:
        config = folder / "byoci.toml"
        config.write_text(config.read_text().replace('"true"', '"date +%s%N >began"') + _PORTS)
        with _running(site.environment) as state:
            pids = [_pid(state / part) for part in ("controller", "monitor")]
            tell("memory")
            yield Figure(
                "memory of controller and monitor, fresh", "MB", [sum(map(megabytes, pids))], target=110, absolute=True
            )
            tell(f"{_LANDINGS} landings")
            times = [_landed(site, state, number) for number in range(_LANDINGS + 1)][1:]
    builds, tests = zip(*times, strict=True)
    yield Figure("from an approval's webhook to its build", "ms", builds)
    yield Figure("from an approval's webhook to its test", "ms", tests, target=200, absolute=True)


@contextlib.contextmanager
def _running(environment: dict[str, str]) -> Iterator[Path]:
    """A site that runs; its state folder."""
    byoci = str(Path(sys.executable).with_name("byoci"))
    whole = {**proc.base_environment(), **environment}
    proc.run((byoci, "up"), env=whole)
    try:
        yield Path(environment["BYOCI_HOME"], "testing")
    finally:
        proc.run((byoci, "down"), env=whole)


def _pid(home: Path) -> int:
    return int((home / PID_FILE).read_text(encoding="ascii"))


def _landed(site: Measured, state: Path, number: int) -> tuple[float, float]:
    """Milliseconds from the webhook of a topic's approval to its build's start and to its test's."""
    time.sleep(3)  # until the monitor looks seldom: it is the webhook that counts
    site.approve(number)
    began = time.time()
    _post_hook(state)
    with contextlib.closing(State(state / "monitor")) as memory:
        until(lambda: [item for item in memory.newest() if item.asked > began and item.ended])
        (landing, *_) = memory.newest()
    (workspace,) = (state / "controller").glob("**/workspace/land-measured/tree/began")
    test = int(workspace.read_text()) / 1e9
    assert landing.started is not None
    return (landing.started - began) * 1000, (test - began) * 1000


def _post_hook(state: Path) -> None:
    secret = (state / "secrets/controller/webhook").read_bytes().strip()
    body = json.dumps({"at": time.time_ns()}).encode()
    signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    status, answer = _ask(state / "monitor", "hooks/local", body, {"X-Hub-Signature-256": signature})
    if status != 202:
        raise RuntimeError(f"the webhook was answered {status}: {answer!r}")


def _ask(home: Path, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    _, _, host, *_ = (home / ADDRESS_FILE).read_text(encoding="utf-8").split("/")
    with contextlib.closing(http.client.HTTPConnection(host)) as connection:
        connection.request("GET" if body is None else "POST", f"/{path}", body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()


# Many.


class _Large:
    """A site of many projects, filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "home/testing"
        folder.mkdir()
        tables = "".join(
            f'[project.p{number}]\nvcs = "git"\ntrunk = "{folder}/p{number};main"\ntests.command = "true"\n'
            f'approve.trusted = ["alice", "carol"]\n'
            for number in range(_PROJECTS)
        )
        site = '[site]\nlanding.fullname = "Landing Bot"\nlanding.email = "bot@example.com"\n'
        (folder / "byoci.toml").write_text(site + _PORTS + tables)
        self.environment = {
            "HOME": str(folder),
            "BYOCI_HOME": str(folder / "home"),
            "BYOCI_CONFIG": str(folder / "byoci.toml"),
        }
        self.site = Site(load(environ=self.environment))
        self.site.local_forge.list_proposals()
        _fill_forge(self.site.config.local_forge_path, folder)
        with contextlib.closing(State(self.state / "monitor")):
            pass
        _fill_memory(self.state / "monitor" / FILE, folder)


def _fill_forge(path: Path, folder: Path) -> None:
    at, revision = "2026-01-01T00:00:00.000000+00:00", "0123456789" * 4
    numbers = range(1, _PROJECTS * _EACH + 1)
    columns = "project, title, author, source_url, source_branch, target_url, target_branch, status, created_at"
    proposals = (
        (n, f"p{n % _PROJECTS}", f"Change number {n}", "bob", f"{folder}/people", f"t{n}", f"{folder}/p{n % _PROJECTS}")
        for n in numbers
    )
    votes = [(who, value) for who, value in (("alice", "Needs Fixing"), ("dan", "Approve"))]
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            f"INSERT INTO proposal (id, {columns}, description)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'main', 'Needs review', ?, '')",
            ((*row, at) for row in proposals),
        )
        database.executemany(
            "INSERT INTO vote VALUES (?, ?, ?, ?, '', ?, 'bob')",
            ((n, who, value, at, revision) for n in numbers for who, value in votes),
        )
        database.executemany(
            "INSERT INTO request (proposal, reviewer, team, at, review_type, requested_by)"
            " VALUES (?, 'carol', 0, ?, '', 'bob')",
            ((n, at) for n in numbers),
        )
        database.executemany(
            "INSERT INTO event (proposal, at, person, recorded_by, what, details)"
            " VALUES (?, ?, 'bob', 'bob', 'created', '{}')",
            ((n, at) for n in numbers),
        )


def _fill_memory(path: Path, folder: Path) -> None:
    columns = "token, trunk, project, proposal, asked, number, started, ended, title, approval, url, outcome, revision"
    rows = (
        (f"t{n}", f"{folder}/p{n % _PROJECTS};main", f"p{n % _PROJECTS}", str(n), n, n, n, n + 60)
        for n in range(_HISTORY)
    )
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            f"INSERT INTO landing ({columns})"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'What landed', '', 'http://ci/', 'landed', '0123')",
            rows,
        )


class _Counting:
    """The local forge, with how often it was asked."""

    name = LocalForge.name

    def __init__(self, forge: LocalForge) -> None:
        self._forge = forge
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._forge, name)


def _round(large: _Large) -> Iterator[Figure]:
    forge = _Counting(large.site.local_forge)
    projects = [_watched(large, name, forge) for name in large.site.config.projects]
    with contextlib.closing(State(large.state / "monitor")) as state:
        brain = Brain(projects, state, lambda: Jenkins("http://127.0.0.1:9/"), 60.0, Board(), lambda _: None)
        yield Figure(f"the first look at {_PROJECTS:,} trunks", "ms", [milliseconds(brain.work)])
        times, asked = [], []
        for _ in range(5):
            brain.wake(forge.name)
            forge.asked = 0
            times.append(milliseconds(brain.work))
            asked.append(forge.asked / _PROJECTS)
    yield Figure("a round over them in which nothing has changed", "ms", times)
    yield Figure("questions to the forge a trunk, in such a round", "", asked, target=1, absolute=True)


def _watched(large: _Large, name: str, forge: Any) -> Watched:
    found = large.site.config.projects[name]
    trusted = frozenset(found.approve.trusted or ())
    return Watched(name, found.trunk, Policy(trusted=trusted), forge, lambda _: "", near=True)


def _pages(large: _Large) -> Iterator[Figure]:
    with _serving(large) as (state, process):
        home = state / "monitor"
        for path in ("", "project/p7", "api/projects/p7", "metrics", "healthz"):
            times = sorted(milliseconds(functools.partial(_ask, home, path)) for _ in range(_ASKS))
            p99 = times[int(len(times) * 0.99) - 1]
            yield Figure(f"dashboard, /{path}, 99 of 100", "ms", [p99], target=50, absolute=True)
        yield Figure(f"memory of a monitor of {_PROJECTS:,} projects", "MB", [megabytes(process.pid)])


@contextlib.contextmanager
def _serving(large: _Large) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A monitor of those projects, which has looked at all of them; with a controller that has none of their jobs."""
    state = large.state
    environment = {**proc.base_environment(), **large.environment}
    with controller(state / "controller"):
        site_of(state / "controller")
        process = proc.start((str(Path(sys.executable).with_name("byoci")), "monitor", "serve"), env=environment)
        try:
            until((state / "monitor" / ADDRESS_FILE).exists)
            until(lambda: b"Change number" in _ask(state / "monitor", f"project/p{_PROJECTS - 1}")[1])
            yield state, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()
