"""A job's pages: how it goes, its parameters, and what is asked before it is deleted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from byoci.controller.job import ParameterKind
from byoci.controller.pages import frame, plots, queueing, states
from byoci.controller.repository import Bzr
from byoci.web import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.job import Job
    from byoci.controller.recent import Brief
    from byoci.controller.repository import Git
    from byoci.controller.running import Running

_PLOTTED: Final = 60
_FEWEST: Final = 24  # for how many there is room in the plot, so that one bar is not as wide as the page
_LISTED: Final = 30
_WIDTH: Final = 720.0
_HEIGHT: Final = 140.0


def job(call: Call, path: str) -> Response:
    """`job/NAME/`."""
    controller = call.controller
    found = controller.catalog.job(path)
    before = call.value("before")
    number = int(before) if before.isascii() and before.isdigit() and 0 < len(before) < 10 else None
    newest = controller.state.recent.briefs(path, _PLOTTED)
    listed = controller.state.recent.briefs(path, _LISTED + 1, number) if number else newest[: _LISTED + 1]
    above, below = controller.relations.related(path)
    now, slots = time.time(), max(_FEWEST, len(newest))
    return frame.render(
        call,
        "job.html",
        trail=frame.trail_of(call, path),
        here="jobs",
        path=path,
        name=path.rpartition("/")[2],
        job=found,
        url=frame.url_of(call, path),
        state=states.job_state(controller, path),
        history=controller.state.recent.history(path),
        runs=[(running.row, states.usual(controller, path)) for running in _runs(call, path)],
        waits=[wait for wait in queueing.waiting(call) if wait.job == path],
        usual=states.usual(controller, path),
        plot=plots.bars(newest, _WIDTH, _HEIGHT, now, slots=slots),
        plot_words=_plot_words(newest),
        tests=plots.stacks(_tests(call, path, newest), _WIDTH, _HEIGHT / 2, slots=slots),
        builds=[(brief, states.of_result(brief.result)) for brief in listed[:_LISTED]],
        older=listed[_LISTED - 1].number if len(listed) > _LISTED else None,
        newer=number is not None,
        facts=_facts(found),
        above=[(name, frame.url_of(call, name)) for name in above],
        below=[(name, frame.url_of(call, name)) for name in below],
    )


def _runs(call: Call, path: str) -> list[Running]:
    return [running for running in call.controller.running.values() if running.row.job == path]


def _tests(call: Call, path: str, newest: Sequence[Brief]) -> Sequence[tuple[int, dict[str, int]]]:
    """Number and counts of the builds that had tests."""
    if not call.controller.catalog.job(path).has_tests or not newest:
        return []
    counts = call.controller.state.recent.tests(path, newest[-1].number)
    return [(build.number, counts[build.number]) for build in newest if build.number in counts]


def _plot_words(builds: Sequence[Brief]) -> str:
    """What the plot shows, for who does not see it."""
    ended = [build.seconds for build in builds if build.seconds is not None]
    if not ended:
        return "No build has ended yet."
    counts: dict[str, int] = {}
    for build in builds:
        word = states.of_result(build.result)[1].lower()
        counts[word] = counts.get(word, 0) + 1
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    return (
        f"Durations of the last {len(builds)} builds: {told}; "
        f"from {words.duration(min(ended))} to {words.duration(max(ended))}."
    )


def _facts(job: Job) -> list[tuple[str, str]]:
    """What the job is made of, in words."""
    told = [
        ("Runs on", job.labels or "any agent"),
        ("Repository", _repository(job.scm) if job.scm else ""),
        ("Looks for changes", job.poll.strip()),
        ("Timer", job.cron.strip()),
        ("Several at once", "yes" if job.concurrent else ""),
        ("Quiet period", f"{job.quiet} s" if job.quiet else ""),
        ("Time limit", ", ".join(words.duration(limit.seconds) for limit in job.limits)),
    ]
    return [(name, value) for name, value in told if value]


def _repository(scm: Git | Bzr) -> str:
    from byoci.log import shown

    if isinstance(scm, Bzr):
        return shown(scm.url)
    return shown(", ".join([*(remote.url for remote in scm.remotes), *scm.branches]))


def parameters(call: Call, path: str) -> Response:
    """`job/NAME/build` for people: the form that asks for a build, with the job's parameters."""
    found = call.controller.catalog.job(path)
    given = {name: value for name, value in call.query.items() if name not in ("delay", "token")}
    values = []
    for parameter in found.parameters:
        secret = parameter.kind is ParameterKind.PASSWORD
        values.append((parameter, "" if secret else given.get(parameter.name, parameter.default)))
    url = frame.url_of(call, path)
    return frame.render(
        call,
        "parameters.html",
        trail=frame.trail_of(call, path, ("Build", f"{url}build?delay=0sec")),
        here="jobs",
        path=path,
        url=url,
        disabled=found.disabled,
        parameters=values,
    )


def confirm(call: Call, path: str) -> Response:
    """`job/NAME/delete`: whether a job or folder is really to be removed."""
    item = call.controller.catalog.item(path)
    inside = [job for job in call.controller.catalog.jobs if job.startswith(f"{path}/")]
    what = f"the folder {path} with {words.plural(len(inside), 'job')}" if item.folder else f"the job {path}"
    url = frame.url_of(call, path)
    consequence = "All builds, logs and artifacts of it are removed; what runs is stopped. This cannot be undone."
    return frame.confirm(
        call,
        url,
        f"Delete {what}?",
        consequence,
        trail=frame.trail_of(call, path, ("Delete", f"{url}delete")),
        here="jobs",
    )
