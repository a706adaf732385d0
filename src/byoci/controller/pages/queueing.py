"""The queue: what waits, why, and since when; when it may start."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.controller.forecast import forecast
from byoci.controller.pages import frame, states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from byoci.controller.api.http import Call

_FORETOLD: Final = 100  # how many of the queue's first are told when they may start
_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class Wait:
    """One that waits; `eta` is when it may start, None where nobody knows."""

    id: int
    job: str
    url: str
    since: float
    why: str
    cause: str
    parameters: Sequence[tuple[str, str]]
    eta: float | None


def waiting(call: Call) -> list[Wait]:
    """What waits, the oldest first."""
    controller = call.controller
    queue = controller.state.waiting()
    if not queue:
        return []
    etas = forecast(
        queue[:_FORETOLD],
        controller.catalog.jobs,
        controller.queue.places(),
        [running.row for running in controller.running.values()],
        time.time(),
        lambda job: states.usual(controller, job),
    )
    return [
        Wait(
            queued.id,
            queued.job,
            frame.url_of(call, queued.job),
            queued.since,
            controller.queue.reasons.get(queued.id, "Waiting for next available executor"),
            queued.request.cause,
            [(name, value) for name, value in queued.request.parameters.items() if name not in queued.request.secrets],
            etas.get(queued.id),
        )
        for queued in queue
    ]


def queue(call: Call) -> Response:
    """`queue/`."""
    found = waiting(call)
    start = frame.start_of(call)
    return frame.render(
        call,
        "queue.html",
        trail=(("Queue", f"{start}queue/"),),
        here="queue",
        waits=found[:_SHOWN],
        more=max(0, len(found) - _SHOWN),
        quiet=call.controller.quiet,
    )
