"""An agent that cannot be reached is tried again, after pauses that grow, and start anew once it was reached."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from byoci.controller import agents
from byoci.controller.agents import Agent, Gate
from byoci.controller.nodexml import Node
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from byoci.controller.connection import Link

pytestmark = pytest.mark.controller


class Wire:
    """An agent that begins, and ends at once."""

    def __init__(self) -> None:
        self.told = [b"\nbyoci agent 1\n", b""]

    async def read(self) -> bytes:
        return self.told.pop(0)

    async def write(self, data: bytes) -> None:
        del data

    async def close(self) -> None:
        pass


class Heard:
    """What the controller hears."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def agent_online(self, agent: Agent) -> None:
        assert agent.online
        self.words.append("online")

    def agent_offline(self, agent: Agent) -> None:
        self.words.append(agent.reason)

    def agent_message(self, agent: Agent, message: dict[str, Any], data: bytes) -> None:
        raise AssertionError(agent, message, data)


def test_pauses_grow_and_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    tries = 0
    enough = asyncio.Event()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 12:
            enough.set()
        await real(0)

    async def dial(node: Node) -> Link:
        nonlocal tries
        tries += 1
        if tries == 8:
            return Wire()
        raise UnavailableError(f"{node.name} cannot be reached")

    async def story() -> tuple[Agent, Heard]:
        heard = Heard()
        agent = Agent(Node("far"), dial, heard, Gate())
        await enough.wait()
        await agent.close()
        return agent, heard

    monkeypatch.setattr(agents.asyncio, "sleep", sleep)
    agent, heard = asyncio.run(story())
    assert pauses[:7] == [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0]
    assert pauses[7:11] == [0.5, 1.0, 2.0, 5.0]
    assert heard.words == ["online", "The connection ended."]
    assert agent.reason == "far cannot be reached"


def test_a_few_are_connected_at_a_time_and_silent_ones_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_AT_ONCE", 2)
    monkeypatch.setattr(agents, "_TURN", 0.01)
    connecting: set[str] = set()
    most: list[int] = []

    async def connect(gate: Gate, name: str, *, waits: bool, silent: bool) -> None:
        async with gate.turn(waits=waits) as over:
            connecting.add(name)
            most.append(len(connecting))
            await asyncio.sleep(0)
            if silent:
                await asyncio.Event().wait()
            connecting.remove(name)
            over()
            await asyncio.sleep(0)

    async def story() -> None:
        gate = Gate()
        await asyncio.gather(*(connect(gate, f"a{n}", waits=True, silent=False) for n in range(9)))
        assert max(most) == 2
        silent = [asyncio.create_task(connect(gate, f"s{n}", waits=True, silent=True)) for n in range(4)]
        await connect(gate, "own", waits=False, silent=False)
        await connect(gate, "last", waits=True, silent=False)
        assert connecting == {f"s{n}" for n in range(4)}
        for task in silent:
            task.cancel()
        await asyncio.gather(*silent, return_exceptions=True)

    asyncio.run(story())
