"""How each job's last builds went, kept in memory: lists of a thousand jobs are asked for again and again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.controller.job import Result

if TYPE_CHECKING:
    from byoci.sqlite import Database

_TOLD: Final = 12  # builds of each job


@dataclass(frozen=True, slots=True)
class Brief:
    """A build in a list. It runs while `ended` is None; times are seconds since the epoch."""

    number: int
    began: float
    ended: float | None
    result: Result | None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.ended is None else self.ended - self.began


@dataclass(frozen=True, slots=True)
class History:
    """A job's last builds, the newest first; and the last that ended, succeeded (also unstably), and failed, if any."""

    builds: tuple[Brief, ...] = ()
    completed: Brief | None = None
    success: Brief | None = None
    failure: Brief | None = None


class Recent:
    """A part of the state, which says when what is known of a job is outdated."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, History] = {}

    def history(self, job: str) -> History:
        """Of one job."""
        found = self._known.get(job)
        if found is None:
            found = self._known[job] = self._read(job)
        return found

    def briefs(self, job: str, most: int, before: int | None = None) -> list[Brief]:
        """A job's builds, the newest first, from before that number on."""
        query = (
            "SELECT number, began, ended, result FROM build WHERE job = ? AND number < ? ORDER BY number DESC LIMIT ?"
        )
        rows = self._database.execute(query, (job, before or 1 << 60, most))
        return [_brief(*row) for row in rows]

    def tests(self, job: str, since: int) -> dict[int, dict[str, int]]:
        """Number → how many tests there were of each kind, of builds from that number on that had any."""
        query = (
            "SELECT number, json_extract(facts, '$.tests') FROM build"
            " WHERE job = ? AND number >= ? AND facts IS NOT NULL ORDER BY number DESC"
        )
        rows = self._database.execute(query, (job, since))
        return {number: json.loads(tests) for number, tests in rows if tests}

    def forget(self, job: str) -> None:
        """Its builds have changed."""
        self._known.pop(job, None)

    def forget_all(self) -> None:
        """Many may have changed."""
        self._known.clear()

    def _read(self, job: str) -> History:
        builds = tuple(self.briefs(job, _TOLD))
        completed = next((build for build in builds if build.ended is not None), None)
        if completed is None and builds:
            completed = self._last(job, *Result)
        success = self._last(job, Result.SUCCESS, Result.UNSTABLE)
        return History(builds, completed, success, self._last(job, Result.FAILURE))

    def _last(self, job: str, *results: Result) -> Brief | None:
        query = "SELECT max(number) FROM build WHERE job = ? AND result = ?"  # one look into the index each
        found = (self._database.execute(query, (job, result.value)).fetchone()[0] for result in results)
        newest = max((number for number in found if number is not None), default=None)
        return None if newest is None else self.briefs(job, 1, newest + 1)[0]


def _brief(number: int, began: float, ended: float | None, result: str | None) -> Brief:
    return Brief(number, began, ended, Result(result) if result else None)
