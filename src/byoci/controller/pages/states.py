"""How things stand, as a word for people and a name for the style."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.controller.estimates import ETA_FROM
from byoci.controller.job import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from byoci.controller.controller import Controller
    from byoci.controller.recent import History
    from byoci.controller.running import Running

NOT_BUILT: Final = ("not_built", "Not built")
RUNNING: Final = ("running", "Running")
DISABLED: Final = ("disabled", "Disabled")
WORDS: Final[Mapping[Result, tuple[str, str]]] = {
    Result.SUCCESS: ("success", "Success"),
    Result.UNSTABLE: ("unstable", "Unstable"),
    Result.FAILURE: ("failure", "Failed"),
    Result.NOT_BUILT: NOT_BUILT,
    Result.ABORTED: ("aborted", "Aborted"),
}
_WORST: Final = ("failure", "unstable", "aborted", "success", "not_built", "disabled")  # the worst first


def of_result(result: Result | None) -> tuple[str, str]:
    """A build's state: name and word; it runs where there is no result."""
    return WORDS[result] if result else RUNNING


@dataclass(frozen=True, slots=True)
class Row:
    """A job or folder in a list.

    state    name and word of how its last build ended
    running  what of it runs now, the oldest first
    inside   of a folder: how many jobs are in it
    """

    path: str
    name: str
    folder: bool
    state: tuple[str, str]
    history: History | None = None
    running: Sequence[Running] = ()
    inside: int = 0
    description: str = ""
    usual: Mapping[int, float] = field(default_factory=dict)


def running_by_job(controller: Controller) -> Mapping[str, list[Running]]:
    """What runs, by its job's path."""
    found: dict[str, list[Running]] = defaultdict(list)
    for running in controller.running.values():
        found[running.row.job].append(running)
    return found


def job_state(controller: Controller, path: str) -> tuple[str, str]:
    """How a job's last build ended, or that it is disabled."""
    if controller.catalog.job(path).disabled:
        return DISABLED
    completed = controller.state.recent.history(path).completed
    return of_result(completed.result) if completed else NOT_BUILT


def job_row(controller: Controller, path: str, running: Mapping[str, list[Running]]) -> Row:
    """One job."""
    job = controller.catalog.job(path)
    history = controller.state.recent.history(path)
    name = job.display_name or path.rpartition("/")[2]
    runs = running.get(path, ())
    return Row(path, name, False, job_state(controller, path), history, runs, description=job.description)


def folder_row(controller: Controller, path: str, running: Mapping[str, list[Running]]) -> Row:
    """One folder: the worst of what is in it."""
    below = [job for job in controller.catalog.jobs if job.startswith(f"{path}/")]
    states = {job_state(controller, job) for job in below}
    worst = min(states, key=lambda state: _WORST.index(state[0]), default=NOT_BUILT)
    runs = [one for job, ones in running.items() if job.startswith(f"{path}/") for one in ones]
    return Row(path, path.rpartition("/")[2], True, worst, None, runs, len(below))


def usual(controller: Controller, job: str) -> float | None:
    """How many seconds a build of the job may take; None where nobody knows."""
    return controller.state.usual_seconds(job, ETA_FROM)
