"""Which waiting builds start now, on which executors, and why the others wait. Pure: all that it knows is given."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.controller.labels import Expression, parse_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from byoci.controller.job import Job
    from byoci.controller.nodexml import Node
    from byoci.controller.rows import BuildRow, Queued


@dataclass(frozen=True, slots=True)
class Place:
    """A node as the queue sees it.

    labels     its own name is among them
    exclusive  whether only jobs run here whose labels ask for it
    ready      whether builds may start now
    busy       numbers of the executors that are taken
    """

    name: str
    labels: AbstractSet[str]
    executors: int
    ready: bool
    exclusive: bool = False
    busy: AbstractSet[int] = frozenset()


def places_of(nodes: Iterable[Node], ready: AbstractSet[str], builds: Sequence[BuildRow]) -> list[Place]:
    """The nodes as the queue sees them; `builds` are those that run."""
    busy: dict[str, set[int]] = {}
    for build in builds:
        busy.setdefault(build.node, set()).add(build.executor)
    return [
        Place(node.name, node.label_set, node.executors, node.name in ready, node.exclusive, busy.get(node.name, set()))
        for node in nodes
    ]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a waiting build starts now."""

    queued: Queued
    node: str
    executor: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Who starts, and by the queued one's id the reason why the others wait."""

    seats: Sequence[Seat]
    reasons: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Kin:
    """The jobs that a job's blocking settings look at: they must not be building."""

    upstream: AbstractSet[str] = frozenset()
    downstream: AbstractSet[str] = frozenset()


def schedule(
    waiting: Iterable[Queued],
    jobs: Mapping[str, Job],
    places: Sequence[Place],
    building: Mapping[str, str],
    now: float,
    kin: Mapping[str, Kin],
) -> Schedule:
    """Go through the queue, by priority and then the oldest first; each gets the first seat that its labels allow.

    building  by the paths of the jobs that are being built, why other builds of theirs wait
    kin       of the jobs that wait for others
    """
    seats: list[Seat] = []
    reasons: dict[int, str] = {}
    for queued, found in _decided(waiting, jobs, places, building, now, kin):
        if isinstance(found, Seat):
            seats.append(found)
        else:
            reasons[queued.id] = found
    return Schedule(seats, reasons)


def starting(
    waiting: Iterable[Queued],
    jobs: Mapping[str, Job],
    places: Sequence[Place],
    building: Iterable[str],
    now: float,
    kin: Mapping[str, Kin],
) -> list[Seat]:
    """Those who start, as in `schedule`: no longer looked for than there is a seat for anybody.

    building  the paths of the jobs that are being built
    """
    room = free_seats(places)
    seats: list[Seat] = []
    if room:
        for _, found in _decided(waiting, jobs, places, dict.fromkeys(building, ""), now, kin):
            if isinstance(found, Seat):
                seats.append(found)
                if len(seats) == room:
                    break
    return seats


def free_seats(places: Iterable[Place]) -> int:
    """How many builds more could run at once."""
    return sum(max(0, place.executors - len(place.busy)) for place in places if place.ready)


def _decided(
    waiting: Iterable[Queued],
    jobs: Mapping[str, Job],
    places: Sequence[Place],
    building: Mapping[str, str],
    now: float,
    kin: Mapping[str, Kin],
) -> Iterator[tuple[Queued, Seat | str]]:
    """What waits, in its order, with the seat that it gets or the reason why it gets none."""
    taken = {place.name: set(place.busy) for place in places}
    active = dict(building)
    for queued in sorted(waiting, key=lambda queued: (-jobs[queued.job].priority, queued.id)):
        job = jobs[queued.job]
        reason = _held_back(queued, job, active, now, kin.get(queued.job, Kin()))
        if reason is not None:
            yield queued, reason
            continue
        fitting = [place for place in places if fits(place, expression_of(job.labels))]
        seat = _free(queued, fitting, taken)
        if seat:
            taken[seat.node].add(seat.executor)
            active[queued.job] = "Another build is already in progress"
        yield queued, seat or _no_seat(job.labels, fitting)


def _held_back(queued: Queued, job: Job, active: Mapping[str, str], now: float, kin: Kin) -> str | None:
    """Why it waits whatever seats there are; None where nothing holds it back."""
    if queued.since <= now < queued.due:  # where the clock was set back, nobody knows how long it would be
        return f"In the quiet period. Expires in {max(1, round(queued.due - now))} sec"
    if queued.job in active and not job.concurrent:
        return active[queued.job]
    for wanted, others, what in (
        (job.wait_for_upstream, kin.upstream, "Upstream"),
        (job.wait_for_downstream, kin.downstream, "Downstream"),
    ):
        busy = sorted(others & active.keys()) if wanted else []
        if busy:
            return f"{what} project {busy[0]} is already building."
    return None


@functools.cache
def expression_of(labels: str) -> Expression | None:
    """What a job's labels ask for; None where they ask for nothing."""
    return parse_labels(labels) if labels else None


def fits(place: Place, expression: Expression | None) -> bool:
    """Whether a job may run there, once it is ready and has a free executor."""
    return expression.met_by(place.labels) if expression else not place.exclusive


def _free(queued: Queued, places: Iterable[Place], taken: Mapping[str, AbstractSet[int]]) -> Seat | None:
    for place in places:
        if place.ready:
            for executor in range(place.executors):
                if executor not in taken[place.name]:
                    return Seat(queued, place.name, executor)
    return None


def _no_seat(labels: str, fitting: Sequence[Place]) -> str:
    on = f" on ‘{labels}’" if labels else ""
    if not any(place.executors for place in fitting):
        return f"There are no nodes with the label ‘{labels}’" if labels else "There are no nodes"
    if not any(place.ready for place in fitting):
        return f"All nodes of label ‘{labels}’ are offline" if labels else "All nodes are offline"
    return f"Waiting for next available executor{on}"
