"""Steps that start other jobs: what a build asked for is submitted once, and its end is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from byoci.controller.plans import downstream_request, handed_on
from byoci.controller.plansteps import downstream_of, find_trigger
from byoci.errors import ByociError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.controller.catalog import Catalog
    from byoci.controller.rows import BuildRow, Queued, Request
    from byoci.controller.state import State

_LOOK: Final = 5.0  # seconds between looks, in case that a wish went in a way of which nobody is told


class Site(Protocol):
    """What answering needs of the controller; `progress` is another event after each time that it was set."""

    progress: asyncio.Event

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def catalog(self) -> Catalog:
        """Its jobs."""

    def submit(
        self,
        path: str,
        given: Mapping[str, str],
        request: Request,
        *,
        delay: float | None = None,
        asked: tuple[int, int, int] | None = None,
    ) -> Queued:
        """Ask for a build."""


async def answer_to(site: Site, build: BuildRow, ask: Mapping[str, Any]) -> dict[str, Any]:
    """What the build is told: `{"lines", "variables", "results"}`, or `{"error"}` where nothing could be started."""
    plan = site.state.plan(build.id) or {}
    number = int(ask["trigger"])
    posts = [step for after in plan.get("after", ()) for step in after["steps"]]
    step = find_trigger([*plan.get("steps", ()), *posts], number)
    if step is None:
        return {"error": "The build asks for a step that it does not have"}
    try:
        jobs = _submit(site, build, step, ask)
    except ByociError as error:
        return {"error": f"Jobs cannot be started: {error}"}
    lines = [f"Starting {job}" for job in jobs]
    if step["wait"] is None:
        return {"lines": lines, "variables": {}, "results": []}
    builds = [await _ended(site, build.id, number, place) for place in range(len(jobs))]
    lines += [f"{job} {_told(found)}" for job, found in zip(jobs, builds, strict=True)]
    results = [str(found.result) if found and found.result else "ABORTED" for found in builds]
    return {"lines": lines, "variables": _variables(found for found in builds if found), "results": results}


def _submit(site: Site, build: BuildRow, step: Mapping[str, Any], ask: Mapping[str, Any]) -> list[str]:
    """Ask for what was not asked for; gives the paths of the jobs."""
    given = handed_on(downstream_of(step), build, ask["variables"], ask["texts"])
    if given is None:
        return []
    request = downstream_request(build)
    paths = [site.catalog.resolve(name, build.job.rpartition("/")[0]) for name in step["jobs"]]
    for place, path in enumerate(paths):
        site.submit(path, given, request, asked=(build.id, step["trigger"], place))
    return paths


async def _ended(site: Site, build: int, step: int, place: int) -> BuildRow | None:
    """The build that became of a wish, at its end; None where it was cancelled or is gone."""
    while True:
        asked = site.state.asked(build, step)
        if place >= len(asked) or asked[place].cancelled:
            return None
        if (id_ := asked[place].build) is not None:
            found = site.state.build_by_id(id_)
            if found is None or found.ended is not None:
                return found
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await site.progress.wait()


def _told(build: BuildRow | None) -> str:
    return f"#{build.number} completed. Result was {build.result}" if build else "was cancelled"


def _variables(builds: Iterable[BuildRow]) -> dict[str, str]:
    """As the plugin parameterized-trigger tells later steps of them."""
    found: dict[str, str] = {}
    names = []
    for build in builds:
        name = re.sub(r"[^A-Za-z0-9]+", "_", build.job)
        names.append(name)
        found |= {
            f"TRIGGERED_BUILD_NUMBER_{name}": str(build.number),
            f"TRIGGERED_BUILD_NUMBERS_{name}": str(build.number),
            f"TRIGGERED_BUILD_RESULT_{name}": str(build.result),
            "LAST_TRIGGERED_JOB_NAME": name,
        }
    return found | ({"TRIGGERED_JOB_NAMES": ",".join(names)} if names else {})
