"""Which builds of a job, and which artifacts, are not kept any longer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.controller.job import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.controller.job import Discarder
    from byoci.controller.rows import BuildRow

_DAY = 86400.0


def too_old(builds: Sequence[BuildRow], discarder: Discarder, now: float) -> list[BuildRow]:
    """Those of `builds`, the newest first, to remove; never the last stable or successful one, nor one that runs."""
    kept = _last_good(builds)
    return [
        build
        for place, build in enumerate(builds)
        if _beyond(discarder.builds, discarder.days, place, build, now) and build.id not in kept
    ]


def without_artifacts(builds: Sequence[BuildRow], discarder: Discarder, now: float) -> list[BuildRow]:
    """Those of `builds`, the newest first, that stay and whose artifacts are to be removed; by the same rules."""
    kept = _last_good(builds)
    return [
        build
        for place, build in enumerate(builds)
        if _beyond(discarder.artifact_builds, discarder.artifact_days, place, build, now)
        and build.id not in kept
        and (build.facts or {}).get("artifacts")
    ]


def _last_good(builds: Sequence[BuildRow]) -> set[int]:
    """The ids of the last successful and the last stable one."""
    good = [build.id for build in builds if build.result in (Result.SUCCESS, Result.UNSTABLE)][:1]
    stable = [build.id for build in builds if build.result is Result.SUCCESS][:1]
    return {*good, *stable}


def _beyond(most: int | None, days: int | None, place: int, build: BuildRow, now: float) -> bool:
    many = most is not None and place >= most
    old = days is not None and build.began < now - days * _DAY
    return (many or old) and build.ended is not None
