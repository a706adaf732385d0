"""The controller's agents over ssh, on loopback: a build of `true`, how soon a line is seen, two hundred at once."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.controller import JOB, Site, controller, megabytes, site_of, until
from benchmarks.runner import Figure, milliseconds
from byoci.controller.nodexml import Node, Ssh, write_node
from byoci.controller.places import LOOPBACK, sshd_program
from byoci.host.site_agent import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runner import Tell

_BUILDS: Final = 40
_LINES: Final = 40
_AGENTS: Final = 200
_AGENTS_PATIENCE: Final = 300.0
_PAUSE: Final = 0.2  # seconds between looks at whether all are connected
_FAR: Final = JOB.replace(b"<scm ", b"<assignedNode>ssh</assignedNode><canRoam>false</canRoam><scm ")
_PRINTING: Final = f"set +x; for i in $(seq {_LINES}); do date +%s.%N; sleep 0.05; done"


def measure(tell: Tell) -> Iterator[Figure]:
    """All of it, where there is an sshd."""
    if sshd_program() is None:
        tell("without agents over ssh: there is no sshd")
        return
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder:
        home = Path(folder, "home")
        prepare(Path(folder, "secrets"), home, "benchmark")
        with controller(home):
            site = site_of(home)
            until(lambda: _online(site) == 2)
            yield from _far(tell, site)
            yield from _seen(tell, site)
        yield from _many(tell, home)


def _online(site: Site) -> int:
    told = site.json("computer/api/json?tree=computer[offline]")
    return sum(not node["offline"] for node in told["computer"])


def _far(tell: Tell, site: Site) -> Iterator[Figure]:
    tell("builds over ssh")
    site.ask("createItem?name=true", _FAR)
    site.build(1)
    values = [milliseconds(functools.partial(site.build, number)) for number in range(2, _BUILDS + 2)]
    yield Figure("true over ssh, from the request to its end", "ms", values, target=15, absolute=True)


def _seen(tell: Tell, site: Site) -> Iterator[Figure]:
    """From the moment when a build prints a line until it is in the stream that a browser reads."""
    for where, job in (("on the controller's own host", JOB), ("over ssh", _FAR)):
        tell(f"lines {where}")
        name = "near" if job is JOB else "far"
        site.ask(f"createItem?name={name}", job.replace(b"<command>true", f"<command>{_PRINTING}".encode()))
        site.ask(f"job/{name}/buildWithParameters?delay=0sec", b"")
        until(lambda name=name: site.json(f"job/{name}/1/api/json?tree=building"))  # type: ignore[misc]
        values = [(seen - printed) * 1000 for printed, seen in _lines(site, f"job/{name}/1/events?from=0")]
        worst = sorted(values)[int(len(values) * 0.99) - 1]
        yield Figure(f"a line is seen, {where}", "ms", [statistics.median(values)], target=100, absolute=True)
        yield Figure(f"99 of 100 lines are seen, {where}", "ms", [worst], target=100, absolute=True)


def _lines(site: Site, path: str) -> Iterator[tuple[float, float]]:
    """Of each line that is a time: that, and when it arrived; both in seconds since the epoch."""
    with contextlib.closing(http.client.HTTPConnection(site.host)) as connection:
        connection.request("GET", f"/{path}", headers=site.headers)
        event = ""
        with connection.getresponse() as stream:
            for line in stream:
                if line.startswith(b"event: "):
                    event = line[7:].strip().decode()
                    if event == "end":
                        return
                elif line.startswith(b"data: ") and event == "lines":
                    now = time.time()
                    for _, _, _, parts in json.loads(line[6:]):
                        text = "".join(part[-1] for part in parts)
                        if text.replace(".", "", 1).isdigit():
                            yield float(text), now


def _many(tell: Tell, home: Path) -> Iterator[Figure]:
    tell(f"connecting {_AGENTS} agents")
    port = int((home / "sshd/port").read_text(encoding="utf-8"))
    _add(home, port)
    with controller(home) as process:
        site = site_of(home)
        began = time.monotonic()
        while _online(site) < _AGENTS + 2:
            if time.monotonic() > began + _AGENTS_PATIENCE:
                raise TimeoutError(f"{_online(site)} of {_AGENTS + 2} agents are connected")
            time.sleep(_PAUSE)
        yield Figure(f"{_AGENTS} agents are connected, after", "s", [time.monotonic() - began])
        yield Figure(f"memory, {_AGENTS} agents", "MB", [megabytes(process.pid)], target=300, absolute=True)
        number = site.json("job/true/api/json?tree=nextBuildNumber")["nextBuildNumber"]
        values = [milliseconds(functools.partial(site.build, number + more)) for more in range(_BUILDS)]
        yield Figure(f"true over ssh, {_AGENTS} agents", "ms", values)


def _add(home: Path, port: int) -> None:
    """More nodes of the same sshd, each with a folder of its own."""
    with contextlib.closing(sqlite3.connect(home / "controller.sqlite")) as database, database:
        own = database.execute("SELECT config FROM node WHERE name = ?", (LOOPBACK,)).fetchone()[0].decode()
        user = own.partition("<username>")[2].partition("</username>")[0]
        for number in range(_AGENTS):
            name = f"agent-{number}"
            node = Node(name, root=str(home / name), executors=1, ssh=Ssh("127.0.0.1", port, user))
            database.execute("INSERT INTO node VALUES (?, ?, NULL)", (name, write_node(node)))
