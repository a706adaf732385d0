"""When what waits may start, told by how long builds usually take. Pure: all that it knows is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.controller.schedule import expression_of, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from byoci.controller.job import Job
    from byoci.controller.rows import BuildRow, Queued
    from byoci.controller.schedule import Place


def forecast(
    waiting: Iterable[Queued],
    jobs: Mapping[str, Job],
    places: Sequence[Place],
    running: Iterable[BuildRow],
    now: float,
    usual: Callable[[str], float | None],
) -> Mapping[int, float]:
    """By the queued one's id, when it may start, in seconds since the epoch.

    Nothing is told of what waits for something whose length nobody knows.

    usual  how many seconds a build of a job usually takes
    """
    ready = [place for place in places if place.ready]
    free: dict[str, list[float | None]] = {place.name: [now] * place.executors for place in ready}
    busy: dict[str, float | None] = {}
    for row in running:
        length = usual(row.job)
        busy[row.job] = None if length is None else max(now, row.began + length)
        if row.executor < len(free.get(row.node, ())):
            free[row.node][row.executor] = busy[row.job]
    found: dict[int, float] = {}
    for queued in waiting:
        job = jobs[queued.job]
        wanted = expression_of(job.labels)
        names = [place.name for place in ready if fits(place, wanted)]
        ends = [(end, name, at) for name in names for at, end in enumerate(free[name]) if end is not None]
        own = now if job.concurrent else busy.get(queued.job, now)
        if not ends or own is None:
            continue
        begin = max(queued.due, own)
        end, name, at = max((seat for seat in ends if seat[0] <= begin), default=min(ends))
        found[queued.id] = max(begin, end)
        length = usual(queued.job)
        free[name][at] = busy[queued.job] = None if length is None else found[queued.id] + length
    return found
