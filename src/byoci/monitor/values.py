"""The values that the parts of the monitor hand to each other about landings. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from byoci.model import Outcome


@dataclass(frozen=True, slots=True)
class Started:
    """A landing that the monitor started.

    approval   which approval of the proposal it is about, as text
    number     the build's, None until it has started
    times      seconds since 1970; `ended` is None while it is under way
    """

    id: int
    token: str
    project: str
    proposal: str
    title: str
    approval: str
    asked: float
    number: int | None
    url: str
    started: float | None
    ended: float | None
    outcome: Outcome | None
    revision: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Freeze:
    """Why a trunk is frozen: only hotfixes land.

    at   seconds since 1970
    """

    reason: str
    person: str
    at: float


@dataclass(frozen=True, slots=True)
class Record:
    """How a project's latest landings went.

    ended   how many of them ended, but for those that only had to wait
    landed  how many of these landed
    usual   seconds that one takes which is tested; None where none was
    """

    ended: int = 0
    landed: int = 0
    usual: float | None = None
