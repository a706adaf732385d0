"""An agent that never returns: its builds are told as lost and queued again once; coming back, it ends what it has."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from byoci.controller.connection import LocalLink
from byoci.controller.controller import Controller
from byoci.controller.nodexml import Node, Ssh
from byoci.controller.rows import Request
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from byoci.controller.connection import Link

pytestmark = [pytest.mark.controller, pytest.mark.slow]


class Line:
    """The way to the agent `far`, which can be cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cut = False
        self.links: list[LocalLink] = []

    async def dial(self, node: Node) -> Link:
        if node.name and self.cut:
            raise UnavailableError("the line is cut")
        link = LocalLink(str(self.folder / (node.name or "own")), sys.executable)
        if node.name:
            self.links.append(link)
        return link


async def until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def alive(path: Path) -> bool:
    try:
        os.kill(int(path.read_text()), 0)
    except (ProcessLookupError, ValueError):
        return False
    return True


async def story(folder: Path) -> None:
    line = Line(folder)
    controller = Controller(folder, "http://127.0.0.1:1/", line.dial, patience=1.0)
    await controller.open()
    try:
        controller.save_node(Node("far", root=str(folder / "far"), labels=("l",), ssh=Ssh("far.example")), new=True)
        script = f"echo $$ &gt; {folder}/pid-$BUILD_NUMBER; test -e {folder}/stop || exec sleep 1000"
        step = f"<hudson.tasks.Shell><command>{script}</command></hudson.tasks.Shell>"
        config = f"<project><assignedNode>l</assignedNode><builders>{step}</builders></project>"
        controller.catalog.create("", "j", config.encode())
        controller.submit("j", {}, Request({}, "Started by a test"))
        await until((folder / "pid-1").exists)
        line.cut = True
        await line.links[-1].close()
        await until(lambda: (row := controller.state.build("j", 1)) and row.ended)
        log = controller.places.log("j", 1).read_text()
        assert "The build was lost: agent far has been away for 1." in log
        assert [queued.job for queued in controller.state.waiting()] == ["j"]
        assert alive(folder / "pid-1")
        (folder / "stop").touch()
        line.cut = False
        await until(lambda: (row := controller.state.build("j", 2)) and row.ended)
        await until(lambda: not alive(folder / "pid-1"))
        assert str(controller.state.build("j", 2).result) == "SUCCESS"  # type: ignore[union-attr]
        assert controller.state.take_abandoned("far") == []
    finally:
        await controller.close()


def test_an_agent_that_stays_away(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
