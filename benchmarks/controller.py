"""The embedded controller: how soon it is there, what memory it needs, how long a build of `true` takes.

Builds are asked for over its remote API, as clients do. With Maven and a JDK the same is measured of Hudson 1.395, in
turns.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import byoci
from benchmarks.hudson import running_hudson
from benchmarks.runner import Figure, interleaved, milliseconds
from byoci import proc
from byoci.controller.client import TOKEN_FILE
from byoci.controller.rows import Request
from byoci.web.serving import ADDRESS_FILE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from benchmarks.runner import Tell

_STARTS: Final = 7
_BUILDS: Final = 40  # one after the other
_MANY: Final = 300  # at once in the queue
_HISTORY: Final = 100_000
_ASKS: Final = 200
_LOOK: Final = 0.001  # seconds between looks, which the server has to answer beside its work
_PATIENCE: Final = 120.0
JOB: Final = b"""<?xml version="1.0" encoding="UTF-8"?><project><actions/><description/>
<concurrentBuild>true</concurrentBuild><scm class="hudson.scm.NullSCM"/><triggers class="vector"/>
<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<hudson.model.StringParameterDefinition><name>N</name><defaultValue/></hudson.model.StringParameterDefinition>
</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>
<builders><hudson.tasks.Shell><command>true</command></hudson.tasks.Shell></builders>
<publishers/><buildWrappers/></project>"""
_PAGES: Final = ("api/json", "job/true/api/json", "job/true/lastBuild/api/json", "queue/api/json", "computer/api/json")


class Site:
    """A server of Jenkins' API on loopback: ours, or Hudson."""

    def __init__(self, url: str, user: str = "", token: str = "") -> None:
        _, _, self.host, *_ = url.split("/")
        self._connection = http.client.HTTPConnection(self.host)
        words = base64.b64encode(f"{user}:{token}".encode()).decode()
        self.headers = {"Authorization": f"Basic {words}"} if user else {}

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The status and the answer of a GET, or with a body a POST."""
        headers = self.headers | ({"Content-Type": "text/xml"} if body else {})
        self._connection.request("GET" if body is None else "POST", f"/{path}", body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def json(self, path: str) -> Any:
        """What an address tells; None where there is nothing."""
        status, data = self.ask(path)
        return json.loads(data) if status == 200 else None

    def start(self, number: int) -> None:
        """Ask for a build of the job `true`."""
        self.ask(f"job/true/buildWithParameters?delay=0sec&N={number}", b"")

    def build(self, number: int) -> None:
        """One build of the job `true`, from the request to its end."""
        self.start(number)
        self.wait(number)

    def wait(self, number: int) -> None:
        """Until that build of the job has ended."""
        until(lambda: (told := self.json(f"job/true/{number}/api/json?tree=building")) and not told["building"])


def until(what: Callable[[], Any]) -> None:
    """Wait until that is so."""
    deadline = time.monotonic() + _PATIENCE
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("a build did not end")
        time.sleep(_LOOK)


@contextlib.contextmanager
def controller(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A controller of its own process with that state folder."""
    environment = {**proc.base_environment(), "PYTHONPATH": str(Path(byoci.__file__).parents[1])}
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    process = proc.start([sys.executable, "-m", "byoci.controller", str(home), "0"], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def site_of(home: Path) -> Site:
    """The controller of that folder, once it answers."""
    until((home / ADDRESS_FILE).exists)
    token = (home / TOKEN_FILE).read_text(encoding="utf-8").strip()
    site = Site((home / ADDRESS_FILE).read_text(encoding="utf-8").strip(), "admin", token)
    until(lambda: site.ask("api/json")[0] == 200)
    return site


def _started(folder: Path) -> float:
    """Milliseconds from its start to its first answer."""
    began = time.perf_counter()
    with controller(folder):
        site_of(folder)
        return (time.perf_counter() - began) * 1000


def megabytes(pid: int) -> float:
    """The memory that a process has now (VmRSS)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:"))) * 1024 / 1e6


def measure(tell: Tell) -> Iterator[Figure]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder:
        tell("starting")
        homes = iter(range(_STARTS))
        values = [_started(Path(folder, f"start-{number}")) for number in homes]
        yield Figure("from its start to its first answer", "ms", values, target=600, absolute=True)
        yield from _builds(tell, Path(folder, "home"))
        yield from _history(tell, Path(folder, "history"))


def _builds(tell: Tell, home: Path) -> Iterator[Figure]:
    with controller(home) as process, running_hudson(home.with_name("hudson"), tell) as hudson:
        site, peer = site_of(home), Site(hudson) if hudson else None
        yield Figure("memory, fresh", "MB", [megabytes(process.pid)], target=80, absolute=True)
        sites = [site] if peer is None else [site, peer]
        for one in sites:
            one.ask("createItem?name=true", JOB)
            one.build(1)
        tell("one build after the other")
        counts = [iter(range(2, 1 << 30)) for _ in sites]
        turns = [functools.partial(_timed, one, count) for one, count in zip(sites, counts, strict=True)]
        values, *others = interleaved(_BUILDS, *turns)
        against = "Hudson 1.395" if others else ""
        name = "true, from the request to its end"
        yield Figure(name, "ms", values, against, others[0] if others else (), target=8, absolute=True)
        tell("many builds at once")
        last = next(counts[0]) - 1
        began = time.monotonic()
        for number in range(_MANY):
            site.start(number)
        site.wait(last + _MANY)
        rate = _MANY / (time.monotonic() - began) * 60
        yield Figure("builds, two at once", "a minute", [rate], target=6000, absolute=True, at_least=True)
        yield Figure(f"memory, after {last + _MANY} builds", "MB", [megabytes(process.pid)], target=130, absolute=True)


def _timed(site: Site, numbers: Iterator[int]) -> float:
    """Milliseconds that the next build takes."""
    number = next(numbers)
    return milliseconds(lambda: site.build(number))


def _history(tell: Tell, home: Path) -> Iterator[Figure]:
    tell(f"making a history of {_HISTORY:,} builds")
    with controller(home):
        site_of(home).ask("createItem?name=true", JOB)
    _fill(home / "controller.sqlite")
    with controller(home) as process:
        site = site_of(home)
        for path in _PAGES:
            tell(path)
            times = sorted(milliseconds(functools.partial(site.ask, path)) for _ in range(_ASKS))
            p99 = times[int(len(times) * 0.99) - 1]
            yield Figure(f"{path}, 99 of 100, {_HISTORY:,} builds", "ms", [p99], target=50, absolute=True)
        began = time.monotonic()
        for _ in range(_ASKS):
            site.ask("job/true/lastBuild/api/json?tree=number,result")
        rate = _ASKS / (time.monotonic() - began)
        yield Figure("requests of one client", "a second", [rate])
        yield Figure(f"memory, {_HISTORY:,} builds", "MB", [megabytes(process.pid)])


def _fill(path: Path) -> None:
    request = Request({}, "Started by a benchmark").as_json()
    facts = json.dumps({"artifacts": [], "revision": "", "workspace": "/w"})
    rows = ((number, number, request, number, number + 1, facts) for number in range(1, _HISTORY + 1))
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO build (job, number, queued, request, node, executor, began, ended, result, facts)"
            " VALUES ('true', ?, ?, ?, '', 0, ?, ?, 'SUCCESS', ?)",
            rows,
        )
        database.execute("UPDATE item SET following = ?", (_HISTORY + 1,))
