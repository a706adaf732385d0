"""What starts builds by itself: timers, and the ends of other builds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from byoci.controller.checkout import MORE
from byoci.controller.cron import parse_crontab
from byoci.controller.job import Result
from byoci.controller.plans import downstream_request, handed_on
from byoci.controller.rows import Request
from byoci.controller.schedule import Kin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from byoci.controller.catalog import Catalog
    from byoci.controller.job import Job
    from byoci.controller.rows import BuildRow

BY_TIMER: Final = Request({}, "Started by timer", "hudson.triggers.TimerTrigger$TimerTriggerCause")
BY_CHANGE: Final = Request({}, "Started by an SCM change", "hudson.triggers.SCMTrigger$SCMTriggerCause")
AGAIN: Final = "com.chikli.hudson.plugin.naginator.NaginatorCause"
_LATE = timedelta(minutes=1)  # what is due is started after a pause of the controller, unless it was a long one


class Timers:
    """Does something with jobs at their times.

    spec   a job's lines of cron; "" for none
    start  what is done with the job of a path when it is time
    """

    def __init__(self, catalog: Catalog, spec: Callable[[Job], str], start: Callable[[str], None]) -> None:
        self._catalog = catalog
        self._spec = spec
        self._start = start

    async def keep(self) -> None:
        """Start what is due, minute after minute; where the clock is set back, no minute comes twice."""
        done = datetime.now(UTC)
        while True:
            now = datetime.now(UTC)
            await asyncio.sleep(60 - now.second - now.microsecond / 1e6 + 0.01)
            done = self.step(done, datetime.now(UTC))

    def step(self, done: datetime, now: datetime) -> datetime:
        """Start what is due `now`; gives until when it has been done, which is the next call's `done`."""
        for path in self.due(max(done, now - _LATE), now):
            self._start(path)
        return max(done, now)

    def due(self, after: datetime, until: datetime) -> list[str]:
        """The jobs that have a time in between, the end included."""
        found = []
        for path, job in self._catalog.jobs.items():
            spec = self._spec(job)
            if spec and not job.disabled:
                following = parse_crontab(spec, path).next_after(after)
                if following is not None and following <= until:
                    found.append(path)
        return found


def started_by(
    catalog: Catalog, job: Job, build: BuildRow, environment: Mapping[str, str], texts: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, str], Request, float | None]]:
    """The jobs that are started since this build ended: their paths, parameters, the reason, and seconds to wait, if
    these are not the job's own.

    environment  what the build set, which parameters for jobs downstream may name
    texts        the files that hold parameters for them
    """
    assert build.result is not None
    folder = build.job.rpartition("/")[0]
    request = downstream_request(build)
    for downstream in job.downstream:
        given = handed_on(downstream, build, environment, texts)
        if build.result in downstream.results and given is not None:
            for name in downstream.jobs:
                yield catalog.resolve(name, folder), given, request, None
    for path, other in catalog.jobs.items():
        for upstream in other.upstream:
            names = {catalog.resolve(name, path.rpartition("/")[0]) for name in upstream.jobs}
            if build.job in names and build.result.rank <= upstream.worst.rank:
                yield path, {}, request, None
    if again := _retried(job, build):
        yield build.job, build.request.parameters, *again
    if MORE in environment:  # of the branches that its job builds, others have new revisions, too
        yield build.job, {}, BY_CHANGE, None


def _retried(job: Job, build: BuildRow) -> tuple[Request, int] | None:
    """That a build is done again since it failed, and the seconds to wait; None where it is not."""
    retry, times = job.retry, build.request.times
    bad = build.result is Result.FAILURE or (retry and retry.unstable and build.result is Result.UNSTABLE)
    if retry is None or not bad or (retry.most and times >= retry.most):
        return None
    what = "was unstable" if build.result is Result.UNSTABLE else "failed"
    cause = f"Started again after build number {build.number} {what}"
    request = Request(build.request.parameters, cause, AGAIN, secrets=build.request.secrets, times=times + 1)
    return request, retry.delay(times)


class Relations:
    """Which jobs start which, told anew only where the catalog has changed meanwhile."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._above: dict[str, set[str]] = {}
        self._below: dict[str, set[str]] = {}

    def related(self, path: str) -> tuple[list[str], list[str]]:
        """The jobs that start this one, and those that it starts."""
        self._renew()
        return sorted(self._above[path]), sorted(self._below[path])

    def kin_of(self, paths: Iterable[str]) -> dict[str, Kin]:
        """The jobs above and below those of `paths` that wait for others, all the way."""
        wanted = {path for path in set(paths) if _waits(self._catalog.jobs[path])}
        if not wanted:
            return {}
        self._renew()
        return {path: Kin(_reach(self._above, path), _reach(self._below, path)) for path in wanted}

    def _renew(self) -> None:
        if self._version != self._catalog.version:
            self._above, self._below = _edges(self._catalog)
            self._version = self._catalog.version


def _edges(catalog: Catalog) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """For each job those directly above it, and those directly below it."""
    below: dict[str, set[str]] = {path: set() for path in catalog.jobs}
    above: dict[str, set[str]] = {path: set() for path in catalog.jobs}
    for path, job in catalog.jobs.items():
        folder = path.rpartition("/")[0]
        pairs = [(path, catalog.resolve(name, folder)) for downstream in job.downstream for name in downstream.jobs]
        pairs += [(catalog.resolve(name, folder), path) for upstream in job.upstream for name in upstream.jobs]
        for first, second in pairs:
            if first in below and second in above:
                below[first].add(second)
                above[second].add(first)
    return above, below


def _waits(job: Job) -> bool:
    return job.wait_for_upstream or job.wait_for_downstream


def _reach(edges: Mapping[str, set[str]], start: str) -> frozenset[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for path in edges[todo.pop()] - found:
            found.add(path)
            todo.append(path)
    return frozenset(found - {start})
