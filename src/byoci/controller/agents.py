"""Agents: each is kept connected, with growing pauses between tries, until its node is removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from byoci.controller.connection import Connection
from byoci.errors import ByociError, of_bug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from byoci.controller.connection import Link
    from byoci.controller.nodexml import Node

_log = logging.getLogger(__name__)
_PATIENCE: Final = 30.0  # seconds for a connection to begin
_AT_ONCE: Final = 8  # that are being connected
_TURN: Final = 5.0  # seconds after which the next one begins in any case
_PAUSES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds between tries, the last one for ever


class Listener(Protocol):
    """Who hears of agents. Called in the event loop; must not wait."""

    def agent_online(self, agent: Agent) -> None:
        """The agent can be asked for things from now on."""

    def agent_offline(self, agent: Agent) -> None:
        """It cannot any more; `agent.reason` tells why."""

    def agent_message(self, agent: Agent, message: dict[str, Any], data: bytes) -> None:
        """The agent told something."""


class Gate:
    """Has agents connected a few at a time: hundreds at once take longer, and a host that has many turns them away.

    One that does not answer keeps others waiting for a moment only.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    @contextlib.asynccontextmanager
    async def turn(self, *, waits: bool) -> AsyncIterator[Callable[[], None]]:
        """Wait until it is one's turn, if one has to; gives what tells that it is over, which it is also at the end."""
        held = waits
        if held:
            await self._free.acquire()

        def over() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(_TURN, over)
        try:
            yield over
        finally:
            timer.cancel()
            over()


class Agent:
    """A node's connection. `reason` tells why it is not `online`."""

    def __init__(self, node: Node, dial: Callable[[Node], Awaitable[Link]], listener: Listener, gate: Gate) -> None:
        self.node = node
        self.online = False
        self.reason = "It has not been connected yet."
        self._dial = dial
        self._listener = listener
        self._gate = gate
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
        async with self._gate.turn(waits=self.node.ssh is not None) as turn_is_over:
            link = await self._dial(self.node)
            self._connection = Connection(link, lambda *told: self._listener.agent_message(self, *told))
            try:
                await self._connection.open(_PATIENCE)
                turn_is_over()
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
