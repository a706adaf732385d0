"""The rows of the controller's state, as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILD_COLUMNS: Final = "id, job, number, queued, request, node, executor, began, ended, result, facts, description"


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked for a build, and with what parameters.

    cause    a sentence: "Started by user alice"
    kind     the class of the cause, for the API
    again    whether it is the second try of a build whose agent was lost
    times    how often it was done again before, since it failed
    secrets  names of the parameters whose values are never shown
    """

    parameters: Mapping[str, str]
    cause: str
    kind: str = "hudson.model.Cause$UserIdCause"
    user: str = ""
    again: bool = False
    secrets: tuple[str, ...] = ()
    times: int = 0

    def as_json(self) -> str:
        """To be read by `from_json`."""
        told = [dict(self.parameters), self.cause, self.kind, self.user, self.again, list(self.secrets)]
        return json.dumps([*told, self.times] if self.times else told)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """What `as_json` wrote."""
        parameters, cause, kind, user, again, hidden, *times = json.loads(text)
        return cls(parameters, cause, kind, user, again, tuple(hidden), *times)


@dataclass(frozen=True, slots=True)
class Item:
    """A job or a folder."""

    path: str
    folder: bool
    config: bytes
    following: int

    @property
    def name(self) -> str:
        """Its name within its folder."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Queued:
    """Somebody's wish for a build; `build` is the id of the one that it became."""

    id: int
    job: str
    request: Request
    since: float
    due: float
    build: int | None = None
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class BuildRow:
    """A build; it runs while `ended` is None. `facts`: artifacts, tests, see `builds`."""

    id: int
    job: str
    number: int
    queued: int
    request: Request
    node: str
    executor: int
    began: float
    ended: float | None = None
    result: Result | None = None
    facts: Mapping[str, Any] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node's config.xml, and why a person took it offline."""

    name: str
    config: bytes
    offline: str | None = None


def build_row(row: tuple[Any, ...]) -> BuildRow:
    """The build whose `BUILD_COLUMNS` these are."""
    id_, job, number, queued, request, node, executor, began, ended, result, facts, description = row
    return BuildRow(
        id_,
        job,
        number,
        queued,
        Request.from_json(request),
        node,
        executor,
        began,
        ended,
        Result(result) if result else None,
        json.loads(facts) if facts else None,
        description,
    )


_ENDED: Final = tuple(Result)
LAST: Final[Mapping[str, tuple[Result, ...] | None]] = {  # None: whatever the result is, and also without one
    "lastBuild": None,
    "lastCompletedBuild": _ENDED,
    "lastSuccessfulBuild": (Result.SUCCESS, Result.UNSTABLE),
    "lastStableBuild": (Result.SUCCESS,),
    "lastUnstableBuild": (Result.UNSTABLE,),
    "lastFailedBuild": (Result.FAILURE,),
    "lastUnsuccessfulBuild": tuple(result for result in _ENDED if result is not Result.SUCCESS),
}
