"""What goes wrong around the controller: disks that are full, logs without end, agents that talk nonsense, clocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import pytest
from controller_process import ControllerProcess, running, wait_for

from byoci.controller.connection import Connection
from byoci.controller.triggers import Timers
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.controller.catalog import Catalog

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><slave><name>&b;</name></slave>'


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        yield process


@pytest.mark.parametrize("body", [b"", b"<slave>", BOMB, b"\xff\xfe", b"<slave><name>..</name></slave>", b"<x/>"])
def test_a_hostile_description_of_a_node_or_a_view_is_refused(controller: ControllerProcess, body: bytes) -> None:
    assert controller.post("computer/(built-in)/config.xml", body).status in (400, 500)
    assert controller.post("createView?name=hostile", body).status in (400, 500)
    assert controller.get("view/hostile/api/json").status == 404


@pytest.mark.parametrize("name", ["..", "a/b", "a\nb", "\x00", "x" * 10_000, "<script>", "\udcff", ""])
def test_hostile_names_of_nodes_are_refused(controller: ControllerProcess, name: str) -> None:
    described = '{"launcher": {"stapler-class": "hudson.plugins.sshslaves.SSHLauncher", "host": "a.example"}}'
    form = f"name={quote(name, errors='surrogateescape')}&json={quote(described)}"
    reply = controller.post(
        "computer/doCreateItem", form.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert reply.status in (400, 500)
    assert [node["displayName"] for node in controller.get("computer/api/json").json["computer"]] == ["Built-In Node"]


def test_hostile_names_of_artifacts_are_kept_as_they_are(controller: ControllerProcess) -> None:
    script = r"""mkdir -p a; touch 'a/<script>alert(1)<' ' x' "$(printf 'n\nl')" "$(printf '\033[31mred')" '%2e%2e'
ln -s /etc/passwd link; ln -s /etc folder; mkfifo pipe; touch "$(head -c 250 /dev/zero | tr '\0' y)" """
    archiver = "<publishers><hudson.tasks.ArtifactArchiver><artifacts>**</artifacts></hudson.tasks.ArtifactArchiver>"
    controller.shell("names", script, f"{archiver}</publishers>")
    facts, _ = controller.run("names")
    paths = {artifact["relativePath"] for artifact in facts["artifacts"]}
    assert paths == {"a/<script>alert(1)<", " x", "n\nl", "\x1b[31mred", "%2e%2e", "y" * 250}
    for path in paths:
        reply = controller.get(f"job/names/1/artifact/{quote(path)}")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/octet-stream")
    assert controller.get("job/names/1/api/xml").status == 200


def test_a_line_of_a_gigabyte(controller: ControllerProcess) -> None:
    size = 1 << 30
    if shutil.disk_usage(controller.home).free < 6 * size:
        pytest.skip("missing: six gigabytes of room")
    controller.shell("long", f"#!/bin/sh\nhead -c {size} /dev/zero | tr '\\0' x; echo; echo after")
    assert controller.process is not None
    memory = psutil.Process(controller.process.pid)
    controller.build("long")
    largest = 0

    def ended() -> bool:
        nonlocal largest
        largest = max(largest, memory.memory_info().rss)
        return not controller.get("job/long/1/api/json?tree=building").json["building"]

    wait_for(lambda: controller.get("job/long/1/api/json").status == 200)
    wait_for(ended, 300)
    assert largest < 200e6
    log = controller.home / "jobs/long/builds/1/log"
    assert log.stat().st_size > size
    with log.open("rb") as file:
        file.seek(size)
        assert file.read().endswith(b"x\nafter\nFinished: SUCCESS\n")
    part = controller.get(f"job/long/1/logText/progressiveText?start={log.stat().st_size - 30}")
    assert part.text.endswith("Finished: SUCCESS\n")
    controller.post("job/long/doDelete")


class Noise:
    """A login shell that never ends to talk, or says other things than an agent does."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)
        self.closed = False

    async def read(self) -> bytes:
        """See `Link`."""
        return self.parts.pop(0) if len(self.parts) > 1 else self.parts[0]

    async def write(self, data: bytes) -> None:
        """See `Link`."""

    async def close(self) -> None:
        """See `Link`."""
        self.closed = True


def nobody(message: dict[str, Any], data: bytes) -> None:
    raise AssertionError(f"told {message} with {len(data)} bytes")


@pytest.mark.parametrize(
    ("parts", "told"), [((b"Welcome! " * 1000,), "Welcome!"), ((b"bash: python3: not found\n", b""), "not found")]
)
def test_a_shell_that_does_not_begin(parts: tuple[bytes, ...], told: str) -> None:
    noise = Noise(*parts)
    with pytest.raises(UnavailableError) as caught:
        asyncio.run(Connection(noise, nobody).open(10))
    assert told in caught.value.details
    assert noise.closed


@pytest.mark.parametrize("data", [b"x" * (1 << 25), b'{"build": "1", "bytes": 99999999999}\n', b""])
def test_an_agent_that_sends_without_end_is_hung_up_on(data: bytes) -> None:
    noise = Noise(b"byoci agent 1\n", data, b"")

    async def talk() -> None:
        connection = Connection(noise, nobody)
        await connection.open(10)
        await connection.run()

    asyncio.run(talk())
    assert noise.closed


def test_timers_and_a_clock_that_jumps(empty_catalog: Catalog) -> None:
    timer = "hudson.triggers.TimerTrigger"
    config = f"<project><triggers><{timer}><spec>* * * * *</spec></{timer}></triggers></project>"
    empty_catalog.create("", "minutely", config.encode())
    started: list[str] = []
    timers = Timers(empty_catalog, lambda job: job.cron, started.append)
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    done = timers.step(noon, noon + timedelta(minutes=1))
    assert len(started) == 1
    done = timers.step(done, noon - timedelta(hours=1))  # set back
    done = timers.step(done, noon + timedelta(seconds=30))
    assert len(started) == 1
    done = timers.step(done, noon + timedelta(days=40))  # set forward, or the machine slept: not all of it at once
    assert len(started) == 2
    timers.step(done, noon + timedelta(days=40, minutes=1))
    assert len(started) == 3


@pytest.fixture
def empty_catalog(tmp_path: Path) -> Catalog:
    from byoci.controller.catalog import Catalog
    from byoci.controller.places import Places
    from byoci.controller.state import State

    return Catalog(State(tmp_path / "state.sqlite"), Places(tmp_path))


class SmallDisk(ControllerProcess):
    """A controller whose state is on a file system of a few megabytes that only it and its builds see."""

    def start(self, port: int = 0) -> None:
        self.home.mkdir(exist_ok=True)
        script = f'mount -t tmpfs -o size=6m,mode=700 small "{self.home}" && exec "$@"'
        program = [sys.executable, "-m", "byoci.controller", str(self.home), str(port)]
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script, "sh", *program],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
            )
        self.home = Path(f"/proc/{self.process.pid}/root{self.home}")
        wait_for((self.home / "address").exists)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk(tmp_path: Path) -> None:
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("missing: root, and mount namespaces")
    controller = SmallDisk(tmp_path / "home")
    controller.start()
    try:
        controller.shell("some", "echo hello")
        assert controller.run("some")[0]["result"] == "SUCCESS"
        filler = controller.home / "filler"
        fill(filler)
        reply = controller.post(
            "createItem?name=more", b"<project><description>" + b"x" * 100_000 + b"</description></project>"
        )
        assert reply.status == 503, reply.text
        assert "No space" in reply.text or "full" in reply.text
        assert controller.get("api/json").status == 200
        controller.post("job/some/build")  # is taken or refused: either way nothing is lost
        time.sleep(0.5)
        filler.unlink()
        assert controller.get("job/some/1/consoleText").text.endswith("Finished: SUCCESS\n")
        before = controller.get("job/some/api/json").json
        if not before["inQueue"] and before["nextBuildNumber"] == 2:
            controller.build("some")
        controller.finished("some", 2)
        assert controller.get("job/more/api/json").status == 404
        controller.create("more", "")
        assert "Traceback" not in controller.errors.read_text()
    finally:
        assert controller.process is not None
        controller.process.send_signal(signal.SIGTERM)
        controller.process.wait(30)
