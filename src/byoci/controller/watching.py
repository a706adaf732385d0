"""Agents that stay away: after a while their builds are given up, told as lost, and queued again once.

An agent that comes back is told to end and to forget what was given up meanwhile, so that nothing runs twice for long.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from byoci.controller.estimates import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.agents import Agent
    from byoci.controller.running import Running
    from byoci.controller.state import State

PATIENCE: Final = 600.0  # seconds that an agent may be away before its builds are given up
_LOOKS: Final = 20  # in that time


class Site(Protocol):
    """What watching needs of the controller."""

    agents: dict[str, Agent]
    running: dict[int, Running]

    @property
    def state(self) -> State:
        """Its state."""

    def ending(self, agent: Agent, running: Running, ended: dict[str, Any]) -> None:
        """The build is over, and this is known of its end."""


class Watch:
    """See the module. It counts from the moment when it sees an agent away, so a pause of the controller's is none."""

    def __init__(self, site: Site, patience: float = PATIENCE) -> None:
        self._site = site
        self._patience = patience
        self._away: dict[str, float] = {}

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(self._patience / _LOOKS)

    def look(self, now: float) -> None:
        """Give up the builds of agents that are away for too long; `now` is of a clock that only goes on."""
        agents: Mapping[str, Agent] = self._site.agents
        self._away = {name: self._away.get(name, now) for name, agent in agents.items() if not agent.online}
        for running in list(self._site.running.values()):
            since = self._away.get(running.row.node)
            if since is not None and now - since >= self._patience and not running.given_up:
                running.given_up = True
                agent = agents[running.row.node]
                self._site.state.abandon(running.row)
                reason = f"agent {agent.node.shown} has been away for {duration(now - since)}"
                self._site.ending(agent, running, {"lost": reason})

    async def welcome(self, agent: Agent) -> None:
        """The agent is back: it ends and forgets what was given up."""
        for build in self._site.state.take_abandoned(agent.node.name):
            await agent.send(do="abort", build=str(build))
            await agent.send(do="forget", build=str(build))
