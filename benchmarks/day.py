"""A busy day of the controller: 10,000 builds of different ends, without the time between them.

Twenty jobs: most builds succeed, every fifth job's fail, every fifth's keep a file. Meanwhile a person looks at pages
and a client asks.
"""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.controller import JOB, Site, controller, megabytes, site_of
from benchmarks.runner import Figure, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runner import Tell

_JOBS: Final = 20
_EACH: Final = 500
_AT_ONCE: Final = 100  # builds that wait
_PATIENCE: Final = 1800.0
_KEEPS: Final = b"""<publishers><hudson.tasks.ArtifactArchiver><artifacts>kept</artifacts>
</hudson.tasks.ArtifactArchiver></publishers>"""
_PAGES: Final = ("", "queue/", "computer/", "job/job-0/", "api/json", "queue/api/json", "job/job-0/lastBuild/api/json")


def measure(tell: Tell) -> Iterator[Figure]:
    """All of it. Raises `RuntimeError` where a build is missing, or has another end than it should."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder, controller(Path(folder, "home")) as process:
        site = site_of(Path(folder, "home"))
        for number in range(_JOBS):
            site.ask(f"createItem?name=job-{number}", _job(number))
        before = _descriptors(process.pid)
        fresh = megabytes(process.pid)
        tell(f"{_JOBS * _EACH:,} builds")
        began = time.monotonic()
        times = _run(tell, site)
        rate = _JOBS * _EACH / (time.monotonic() - began) * 60
        _check(site)
        yield Figure("a day's builds", "a minute", [rate])
        p99 = sorted(times)[int(len(times) * 0.99) - 1]
        yield Figure("pages and calls meanwhile, 99 of 100", "ms", [p99], target=50, absolute=True)
        used = megabytes(process.pid)
        yield Figure(f"memory, after {_JOBS * _EACH:,} builds", "MB", [used], target=130, absolute=True)
        yield Figure("of that, more than at its start", "MB", [used - fresh])
        yield Figure("descriptors, more than at its start", "", [_descriptors(process.pid) - before])


def _job(number: int) -> bytes:
    """Every fifth job fails, every fifth keeps a file."""
    if number % 5 == 1:
        return JOB.replace(b"<command>true", b"<command>echo no; exit 3")
    if number % 5 == 2:
        return JOB.replace(b"<command>true", b"<command>echo $N &gt; kept").replace(b"<publishers/>", _KEEPS)
    return JOB


def _run(tell: Tell, site: Site) -> list[float]:
    """Ask for all builds, never for more than may wait; gives how long pages and calls took meanwhile."""
    times: list[float] = []
    deadline = time.monotonic() + _PATIENCE
    for number in range(1, _EACH + 1):
        for job in range(_JOBS):
            site.ask(f"job/job-{job}/buildWithParameters?delay=0sec&N={number}", b"")
        page = _PAGES[number % len(_PAGES)]
        times.append(milliseconds(functools.partial(site.ask, page)))
        if number % 100 == 0:
            tell(f"  {number * _JOBS:,} were asked for")
        while len(site.json("queue/api/json?tree=items[id]")["items"]) > _AT_ONCE:
            _in_time(deadline)
    while not all(_done(site, job) for job in range(_JOBS)):
        _in_time(deadline)
    return times


def _in_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("a build did not end")
    time.sleep(0.02)


def _done(site: Site, job: int) -> bool:
    last = site.json(f"job/job-{job}/api/json?tree=lastCompletedBuild[number],lastBuild[number]")
    return bool(last["lastCompletedBuild"] == last["lastBuild"] and last["lastBuild"]["number"] == _EACH)


def _check(site: Site) -> None:
    """Every build is there, once, with its own end."""
    for job in range(_JOBS):
        builds = site.json(f"job/job-{job}/api/json?tree=allBuilds[number,result]")["allBuilds"]
        wanted = "FAILURE" if job % 5 == 1 else "SUCCESS"
        if [build["number"] for build in builds] != list(range(_EACH, 0, -1)):
            raise RuntimeError(f"job-{job} has other builds than were asked for")
        if any(build["result"] != wanted for build in builds):
            raise RuntimeError(f"builds of job-{job} ended otherwise than with {wanted}")
        _, log = site.ask(f"job/job-{job}/{_EACH}/consoleText")
        if log.count(b"Finished: ") != 1:
            raise RuntimeError(f"the log of job-{job} #{_EACH} is not whole")


def _descriptors(pid: int) -> int:
    """How many a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
