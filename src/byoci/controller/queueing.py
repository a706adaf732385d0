"""The queue as it stands: who of it starts now, and why the others wait.

Who starts is asked at every turn of the controller, and costs next to nothing where no executor is free. Why others
wait is told to people and clients, and is found out when one of them asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from byoci.controller.estimates import in_progress
from byoci.controller.schedule import free_seats, places_of, schedule, starting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.agents import Agent
    from byoci.controller.catalog import Catalog
    from byoci.controller.nodexml import Node
    from byoci.controller.running import Running
    from byoci.controller.schedule import Place, Seat
    from byoci.controller.state import State
    from byoci.controller.triggers import Relations


class Site(Protocol):
    """What the queue needs of the controller."""

    quiet: bool
    agents: dict[str, Agent]
    nodes: dict[str, Node]
    offline: dict[str, str]
    running: dict[int, Running]

    @property
    def state(self) -> State:
        """Its state."""

    @property
    def catalog(self) -> Catalog:
        """Its jobs."""

    @property
    def relations(self) -> Relations:
        """Which of them start which."""


class Queue:
    """See the module. Concurrency: as the controller's."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._reasons: Mapping[int, str] | None = None  # None: nobody asked since the last turn

    def places(self) -> list[Place]:
        """All nodes as the queue sees them."""
        site = self._site
        ready = {name for name, agent in site.agents.items() if agent.online and name not in site.offline}
        return places_of(site.nodes.values(), ready, [running.row for running in site.running.values()])

    def turn(self) -> tuple[list[Seat], float | None]:
        """Who starts now, and in how many seconds somebody's quiet period ends who might start then; None for nobody's.

        Where all executors are taken, nobody might: the end of a build is the next occasion.
        """
        self._reasons = None
        site = self._site
        waiting = () if site.quiet else site.state.waiting()
        places = self.places() if waiting else ()
        if not free_seats(places):
            return [], None
        now = time.time()
        kin = site.relations.kin_of(queued.job for queued in waiting)
        building = {running.row.job for running in site.running.values()}
        seats = starting(waiting, site.catalog.jobs, places, building, now, kin)
        dues = [queued.due for queued in waiting if queued.since <= now < queued.due]
        return seats, max(0.01, min(dues) - time.time()) if dues else None

    @property
    def reasons(self) -> Mapping[int, str]:
        """By the queued one's id, why it waits."""
        if self._reasons is None:
            self._reasons = self._find_reasons()
        return self._reasons

    def _find_reasons(self) -> Mapping[int, str]:
        site = self._site
        waiting = site.state.waiting()
        if site.quiet:
            return {queued.id: "The controller is about to shut down" for queued in waiting}
        running_ones = site.running.values() if waiting else ()
        building = {running.row.job: in_progress(site.state, running.row) for running in running_ones}
        kin = site.relations.kin_of(queued.job for queued in waiting)
        return schedule(waiting, site.catalog.jobs, self.places(), building, time.time(), kin).reasons
