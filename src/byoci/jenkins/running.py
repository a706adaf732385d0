"""Builds that a person starts and waits for: with their jobs' own parameters, found again, followed to their end."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from byoci.errors import UnavailableError
from byoci.jenkins.client import NoJobError, as_object, as_objects, job_path
from byoci.jenkins.logs import printed

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.jenkins.client import Build, Jenkins

_PAUSE: Final = 0.5  # seconds between two questions
_PATIENCE: Final = 60.0  # seconds that the controller may be away
_LOG: Final = 16 << 20  # bytes of a log that are shown at a time
_FACTS: Final = "nextBuildNumber,property[parameterDefinitions[name]],actions[parameterDefinitions[name]]"
GOOD: Final = "SUCCESS"
OURS: Final = ("", "NOT_BUILT")
"""Results that say nothing of what was built: the build was cancelled, or is gone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A build that was asked for.

    item   its number in the queue; "" where the server does not tell
    least  the least number that it can have
    """

    job: str
    item: str
    least: int


def ask_for(jenkins: Jenkins, job: str) -> Asked:
    """Have a build of a job queued, its parameters as the job itself has them. Raises `NoJobError`."""
    facts = jenkins.told(f"{job_path(job)}/api/json?tree={_FACTS}")
    least = facts.get("nextBuildNumber")
    known = (*as_objects(facts.get("property")), *as_objects(facts.get("actions")))
    verb = "buildWithParameters" if any(one.get("parameterDefinitions") for one in known) else "build"
    item = jenkins.submit(f"{job_path(job)}/{verb}?delay=0sec")
    if item is None:
        raise NoJobError(f"the controller has no job {job}")
    return Asked(job, item, least if isinstance(least, int) else 1)


def follow(
    jenkins: Jenkins, asked: Asked, show: Callable[[bytes], None], tell: Callable[[str], None]
) -> tuple[int | None, str]:
    """Show what a build prints until it has ended: its number, and its result; None and "" where it was cancelled.

    tell  is told what it waits for

    Raises `UnavailableError` where the controller is away for a minute.
    """
    patiently = _Patience()
    number = _number(jenkins, asked, tell, patiently)
    if number is None:
        return None, ""
    start, more = 0, True
    while more:
        told = patiently.ask(functools.partial(printed, jenkins, asked.job, number, start, _LOG))
        if told is None:
            return number, ""
        if told.data:
            show(told.data)
        start, more = told.next, told.more
        if more:
            time.sleep(_PAUSE)
    return number, _result(jenkins, asked.job, number, patiently)


def _result(jenkins: Jenkins, job: str, number: int, patiently: _Patience) -> str:
    """A build's result, which comes a little after its last words."""
    while True:
        build: Build | None = patiently.ask(lambda: jenkins.build(job, number))
        if build is None or not build.building:
            return build.result if build else ""
        time.sleep(_PAUSE)


def _number(jenkins: Jenkins, asked: Asked, tell: Callable[[str], None], patiently: _Patience) -> int | None:
    said, deadline = "", time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        item = patiently.ask(lambda: _item(jenkins, asked))
        if item.get("cancelled"):
            return None
        number = as_object(item.get("executable")).get("number")
        if isinstance(number, int):
            return number
        why = str(item.get("why") or "")
        if why and why != said:
            tell(f"{asked.job} waits: {why}")
            said = why
        if not item:
            builds: list[Build] = patiently.ask(lambda: jenkins.builds(asked.job))
            mine = [build.number for build in builds if build.number >= asked.least]
            if mine:
                return min(mine)
        else:
            deadline = time.monotonic() + _PATIENCE  # it waits, as long as that takes
        time.sleep(_PAUSE)
    return None


def _item(jenkins: Jenkins, asked: Asked) -> dict[str, Any]:
    """Its item in the queue; an empty one where the server tells none, or has forgotten it."""
    return jenkins.told(f"queue/item/{asked.item}/api/json") if asked.item else {}


class _Patience:
    """Asks again while the controller is away, for a while."""

    def ask(self, question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return question()
            except UnavailableError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE * 2)
