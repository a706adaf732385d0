"""What a hostile agent, or a hostile build on it, tells the controller: nonsense, and what belongs to others."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from byoci.controller.changes import read_changes
from byoci.controller.controller import Controller
from byoci.controller.job import Result
from byoci.controller.nodexml import Node, Ssh
from byoci.controller.rows import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from byoci.controller.connection import Link
    from byoci.controller.rows import BuildRow

pytestmark = pytest.mark.controller

ARCHIVER = "hudson.tasks.ArtifactArchiver"
ENDED = {
    "result": "SUCCESS",
    "reason": "",
    "size": 0,
    "files": [],
    "prints": [],
    "variables": {},
    "workspace": "/w",
    "texts": {},
    "conditions": [],
    "changes": "",
}


class Evil:
    """An agent that begins as agents do, and then tells what the test says; it hears what it is asked for."""

    def __init__(self) -> None:
        self.begins = 0
        self.heard: list[dict[str, Any]] = []
        self.words: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self.words.get()

    async def write(self, data: bytes) -> None:
        if data.startswith(b'{"do"'):
            self.heard.append(json.loads(data))

    async def close(self) -> None:
        pass

    def tell(self, data: bytes = b"", **message: Any) -> None:
        self.words.put_nowait(json.dumps(message).encode() + b"\n" + data)


def tell_story(home: Path, story: Callable[[Controller, Evil], Awaitable[None]]) -> None:
    """With a controller whose nodes are one that tells nothing, and the hostile one; each has a job of its own."""

    async def whole() -> None:
        evil = Evil()

        async def dial(node: Node) -> Link:
            link = Evil() if node.ssh is None else evil
            link.begins += 1
            link.words.put_nowait(b"\nbyoci agent 1\n")
            return link

        controller = Controller(home, "http://127.0.0.1:1/", dial)
        await controller.open()
        try:
            controller.save_node(Node("evil", ssh=Ssh("evil.example")), new=True)
            for job, label, script in (("there", "evil", "true"), ("here", "built-in", "true")):
                step = f"<builders><hudson.tasks.Shell><command>{script}</command></hudson.tasks.Shell></builders>"
                wanted = "<artifacts>**</artifacts><allowEmptyArchive>true</allowEmptyArchive>"
                keep = f"<publishers><{ARCHIVER}>{wanted}</{ARCHIVER}></publishers>"
                node = f"<assignedNode>{label}</assignedNode><canRoam>false</canRoam>"
                controller.catalog.create("", job, f"<project>{node}{step}{keep}</project>".encode())
            async with asyncio.timeout(20):
                await story(controller, evil)
        finally:
            await controller.close()

    asyncio.run(whole())


async def wait_for(what: Callable[[], Any]) -> Any:
    while not (found := what()):  # noqa: ASYNC110 - of what agents tell, nobody tells us
        await asyncio.sleep(0.01)
    return found


async def begin(controller: Controller, job: str) -> BuildRow:
    """A build of the job that its agent was told of."""
    controller.submit(job, {}, Request({}, "Started by a test", "x"))
    build: BuildRow = await wait_for(lambda: controller.state.last(job, "lastBuild"))
    return build


async def end(controller: Controller, build: BuildRow) -> BuildRow:
    def ended() -> BuildRow | None:
        found = controller.state.build(build.job, build.number)
        return found if found and found.ended is not None else None

    row: BuildRow = await wait_for(ended)
    return row


def test_an_agent_tells_nothing_of_another_ones_builds(tmp_path: Path) -> None:
    async def story(controller: Controller, evil: Evil) -> None:
        build = await begin(controller, "here")
        evil.tell(b"forged", build=str(build.id), log=0, bytes=6)
        evil.tell(build=str(build.id), ended=ENDED)
        own = await begin(controller, "there")
        evil.tell(build=str(own.id), ended=ENDED)
        await end(controller, own)
        assert build.id in controller.running
        assert b"forged" not in controller.places.log("here", 1).read_bytes()

    tell_story(tmp_path, story)


@pytest.mark.parametrize(
    "change",
    [
        {"result": "GREAT"},
        {"result": ["SUCCESS"]},
        {"size": "1"},
        {"size": -1},
        {"size": None},
        {"files": [["../../../../controller.sqlite"]]},
        {"files": [[1]]},
        {"files": 5},
        {"prints": [["x"]]},
        {"variables": {"A": 1}},
        {"variables": []},
        {"workspace": None},
        {"texts": {"x": None}},
        {"conditions": [{"kind": "not", "operands": []}]},
        {"conditions": [{"kind": "status", "best": "x", "worst": "y"}]},
        {"changes": 1},
    ],
)
def test_an_end_that_makes_no_sense_is_a_loss(tmp_path: Path, change: dict[str, Any]) -> None:
    async def story(controller: Controller, evil: Evil) -> None:
        build = await begin(controller, "there")
        evil.tell(build=str(build.id), ended={**ENDED, **change})
        found = await end(controller, build)
        assert found.facts == {"lost": True}
        assert "makes no sense" in controller.places.log("there", 1).read_text()

    tell_story(tmp_path, story)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 10**15},
        {"variables": {"GIT_COMMIT": "\ud800\x00", "BZR_REVISION": "x" * 100_000}},
        {"changes": "\x01" + "a" * 40 + "\x02me\x02me@x\x02soon\x02message\x02"},
        {"changes": "\x01" + "a" * 40 + "\x02me\x02me@x\x02" + "9" * 400 + "\x02message\x02"},
        {"changes": "-" * 60 + "\nrevision-id: x\ntimestamp: Fri 9999-99-99\n"},
        {"reason": "\x1b[2J\ud800", "workspace": "\0"},
        {"conditions": [{"kind": "never"}] * 10},
    ],
)
def test_an_end_that_is_odd_is_an_end(tmp_path: Path, change: dict[str, Any]) -> None:
    async def story(controller: Controller, evil: Evil) -> None:
        build = await begin(controller, "there")
        evil.tell(build=str(build.id), ended={**ENDED, **change})
        found = await end(controller, build)
        assert not (found.facts or {}).get("lost")
        assert controller.places.log("there", 1).stat().st_size < 10_000

    tell_story(tmp_path, story)


@pytest.mark.parametrize(
    "words",
    [
        b"garbage\n",
        b"[1, 2]\n",
        b'"build"\n',
        b"[" * 100_000 + b"\n",
        b'{"build": "x"}\n',
        b'{"build": 1e999}\n',
        b'{"build": "%d", "log": "0", "bytes": 0}\n',
        b'{"build": "%d", "log": 4611686018427387904, "bytes": 1}\nx',
        b'{"build": "%d", "log": 0, "bytes": -1}\n',
        b'{"build": "%d", "log": 0, "bytes": 99999999999}\n',
        b'{"build": "%d", "file": "0/../../../x", "bytes": 0}\n',
        b'{"build": "%d", "file": "/etc/passwd", "bytes": 0}\n',
        b'{"build": "%d", "file": "tests-0.json/x", "bytes": 0}\n',
        b'{"build": "%d", "ask": {"trigger": "x"}}\n',
        b"\xff" * (17 * 1024 * 1024),
    ],
    ids=range(15),
)
def test_nonsense_ends_the_connection_and_no_more(
    tmp_path: Path, words: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byoci.controller.agents._PAUSES", (0.01,))

    async def story(controller: Controller, evil: Evil) -> None:
        build = await begin(controller, "there")
        evil.words.put_nowait(words.replace(b"%d", str(build.id).encode()))
        await wait_for(lambda: evil.begins > 1)
        evil.tell(b"whole\n", build=str(build.id), log=0, bytes=6)
        evil.tell(build=str(build.id), ended={**ENDED, "size": 6})
        assert (await end(controller, build)).result is Result.SUCCESS
        assert controller.places.log("there", 1).read_text().startswith("whole\n")

    tell_story(tmp_path, story)
    assert "bug" not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.name in ("x", "passwd")]


def test_names_of_files_that_cannot_be_here_are_left_out(tmp_path: Path) -> None:
    async def story(controller: Controller, evil: Evil) -> None:
        build = await begin(controller, "there")
        names = ["a", "a/b", "x" * 300, "/".join(["y" * 200] * 30), "c\udcff"]
        evil.tell(build=str(build.id), ended={**ENDED, "files": [names]})
        await wait_for(lambda: any(request["do"] == "fetch" for request in evil.heard))
        for name in names:
            evil.tell(b"1", build=str(build.id), file=f"0/{name}", bytes=1)
        evil.tell(build=str(build.id), fetched=True)
        found = await end(controller, build)
        assert (found.facts or {})["artifacts"] == [[0, "a"], [0, "c\udcff"]]

    tell_story(tmp_path, story)


def test_a_committers_name_does_not_hold_up_the_controller() -> None:
    told = "-" * 60 + "\ncommitter: a" + " " * 200_000 + "b\nrevision-id: x\n"
    assert [change.id for change in read_changes(told, "")] == ["x"]
