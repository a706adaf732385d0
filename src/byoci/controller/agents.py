"""Agents: each is kept connected, with growing pauses between tries, until its node is removed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from byoci.controller.connection import Connection
from byoci.errors import ByociError, of_bug

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from byoci.controller.connection import Link
    from byoci.controller.nodexml import Node

_log = logging.getLogger(__name__)
_PATIENCE: Final = 30.0  # seconds for a connection to begin
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds between tries, the last one for ever


class Listener(Protocol):
    """Who hears of agents. Called in the event loop; must not wait."""

    def agent_online(self, agent: Agent) -> None:
        """The agent can be asked for things from now on."""

    def agent_offline(self, agent: Agent) -> None:
        """It cannot any more; `agent.reason` tells why."""

    def agent_message(self, agent: Agent, message: dict[str, Any], data: bytes) -> None:
        """The agent told something."""


class Agent:
    """A node's connection. `reason` tells why it is not `online`."""

    def __init__(self, node: Node, dial: Callable[[Node], Awaitable[Link]], listener: Listener) -> None:
        self.node = node
        self.online = False
        self.reason = "It has not been connected yet."
        self._dial = dial
        self._listener = listener
        self._connection: Connection | None = None
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def send(self, **request: Any) -> None:
        """Ask the agent for something; nothing happens while it is not online."""
        if self._connection is not None and self.online:
            await self._connection.send(**request)

    async def close(self) -> None:
        """End the connection for good; builds on the agent go on."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                if await self._once():
                    failures = 0
                self.reason = "The connection ended."
            except ByociError as error:
                self.reason = str(error)
            except Exception as error:  # noqa: BLE001 - a bug in one connection must not end the others
                self.reason = str(of_bug(error))
            _log.warning("agent %s is offline: %s", self.node.shown, self.reason)
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    async def _once(self) -> bool:
        """One connection from its beginning to its end."""
        link = await self._dial(self.node)
        self._connection = Connection(link, lambda *told: self._listener.agent_message(self, *told))
        try:
            await self._connection.open(_PATIENCE)
            self.online, self.reason = True, ""
            _log.info("agent %s is online", self.node.shown)
            self._listener.agent_online(self)
            await self._connection.run()
        finally:
            was_online, self.online = self.online, False
            await asyncio.shield(link.close())
            if was_online:
                self.reason = "The connection ended."
                self._listener.agent_offline(self)
        return True
