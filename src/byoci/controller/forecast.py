"""When what waits may start, told by how long builds usually take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.controller.schedule import expression_of, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from byoci.controller.controller import Controller
    from byoci.controller.rows import Queued


def forecast(
    controller: Controller, queue: Iterable[Queued], now: float, usual: Callable[[str], float | None]
) -> Mapping[int, float]:
    """By the queued one's id, when it may start, in seconds since the epoch; nothing is told of those that wait for
    something whose length nobody knows.

    usual  how many seconds a build of a job usually takes
    """
    free = _free(controller, now, usual)
    busy = {
        running.row.job: _end(running.row.began, now, usual(running.row.job)) for running in controller.running.values()
    }
    ready = [place for place in controller.seats() if place.ready]
    found: dict[int, float] = {}
    for queued in queue:
        job = controller.catalog.jobs[queued.job]
        wanted = expression_of(job.labels)
        places = [place for place in ready if fits(place, wanted)]
        ends = [(end, place.name, at) for place in places for at, end in enumerate(free[place.name]) if end is not None]
        own = busy.get(queued.job, now) if not job.concurrent else now
        if not ends or own is None:
            continue
        end, name, at = min(ends)
        start = max(queued.due, end, own)
        found[queued.id] = start
        length = usual(queued.job)
        free[name][at] = None if length is None else start + length
        busy[queued.job] = free[name][at]
    return found


def _free(controller: Controller, now: float, usual: Callable[[str], float | None]) -> dict[str, list[float | None]]:
    """For each node, when each of its executors may be free; None where nobody knows."""
    free: dict[str, list[float | None]] = {name: [now] * node.executors for name, node in controller.nodes.items()}
    for running in controller.running.values():
        row = running.row
        if row.executor < len(free.get(row.node, ())):
            free[row.node][row.executor] = _end(row.began, now, usual(row.job))
    return free


def _end(began: float, now: float, length: float | None) -> float | None:
    return None if length is None else max(now, began + length)
