"""Supervisors on an agent: builds that are stopped at once, builds one after another, and ends that nobody planned."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from controller_process import wait_for

import byoci
from byoci.controller.agentside.record import start_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller]
_BUILDS = 20
_PROGRAM = "import sys; from byoci.controller.agentside.server import main; main(sys.argv[1])"


class Agent:
    """The agent's side in a process of its own, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder / "agent")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(byoci.__file__).parents[1])},
        )
        self.logs: dict[str, bytes] = {}
        self.ended: dict[str, dict[str, Any]] = {}

    def ask(self, **request: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, build: str, script: str) -> None:
        lists = ("clean", "before", "secrets", "limits", "after", "conditions", "keep", "prints", "read")
        plan = {
            "header": "",
            "workspace": str(self.folder / "work"),
            "environment": {"BUILD": build},
            "timestamps": False,
            "most": {"log": 1 << 20, "artifacts": 1 << 20, "files": 10},
            "steps": [{"shell": script, "unstable": None}],
            **{name: [] for name in lists},
        }
        self.ask(do="start", build=build, plan=plan)

    def until_ended(self, *builds: str) -> None:
        assert self.process.stdout is not None
        while not set(builds) <= self.ended.keys():
            line = self.process.stdout.readline()
            message = json.loads(line) if line.startswith(b"{") else {}
            data = self.process.stdout.read(message.get("bytes", 0))
            if "log" in message:
                self.logs[message["build"]] = self.logs.get(message["build"], b"") + data
            if "ended" in message:
                self.ended[message["build"]] = message["ended"]

    def run(self, build: str, script: str) -> dict[str, Any]:
        self.start(build, script)
        self.until_ended(build)
        return self.ended[build]

    def supervisor(self, build: str) -> int:
        """Its number, once there is one."""
        path = self.folder / "agent" / build / "status"
        wait_for(path.exists)
        return int(json.loads(path.read_text())["pid"])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Agent]:
    agent = Agent(folder)
    assert agent.process.stdin is not None
    with agent.process:
        try:
            yield agent
        finally:
            agent.process.stdin.close()


@pytest.mark.slow
def test_a_build_that_is_stopped_at_once(tmp_path: Path) -> None:
    """It ends as stopped: nothing of that is lost on the way."""
    builds = [str(number) for number in range(_BUILDS)]
    with running(tmp_path) as agent:
        for build in builds:
            agent.start(build, "sleep 1000")
            agent.ask(do="abort", build=build)
        agent.until_ended(*builds)
    assert {build: status.get("result", status) for build, status in agent.ended.items()} == dict.fromkeys(
        builds, "ABORTED"
    )


def test_one_supervisor_runs_builds_one_after_another_and_leaves_nothing_of_one_to_the_next(tmp_path: Path) -> None:
    with running(tmp_path) as agent:
        first = agent.run("1", "export LEFT=1; umask 077; cd /; sleep 1000 & echo $BUILD")
        second = agent.run("2", 'echo "$BUILD, $LEFT, $(umask), $(pwd), $(ls /proc/$PPID/fd | wc -l)"')
        third = agent.run("3", 'echo "$BUILD, $LEFT, $(umask), $(pwd), $(ls /proc/$PPID/fd | wc -l)"')
        stopped = agent.supervisor("3")
        agent.start("4", "sleep 1000")
        assert agent.supervisor("4") == stopped
        agent.ask(do="abort", build="4")
        agent.until_ended("4")
        wait_for(lambda: not start_of(stopped))  # who was asked to end a build is given no other one
        fifth = agent.run("5", "true")
    assert [one["result"] for one in (first, second, third, fifth)] == ["SUCCESS"] * 4
    assert first["pid"] == second["pid"] == third["pid"] == stopped != fifth["pid"]
    lines = [agent.logs[build].decode().splitlines()[-1] for build in ("2", "3")]
    assert lines[0].replace("2", "3", 1) == lines[1]
    assert lines[0].startswith(f"2, , {os.umask(0o022):04o}, {tmp_path / 'work'}, ")
    wait_for(lambda: not start_of(fifth["pid"]))  # nor does one stay when its server is gone


def test_a_supervisor_that_was_killed_is_told_at_once_and_another_one_takes_its_place(tmp_path: Path) -> None:
    with running(tmp_path) as agent:
        idle = agent.run("1", "true")["pid"]
        os.kill(idle, signal.SIGKILL)
        wait_for(lambda: not start_of(idle))
        assert agent.run("2", "true")["result"] == "SUCCESS"
        agent.start("3", "echo $$ >draft; mv draft group; exec sleep 1000")
        wait_for((tmp_path / "work" / "group").exists)
        os.kill(agent.supervisor("3"), signal.SIGKILL)
        agent.until_ended("3")
        assert agent.ended["3"] == {"lost": "the supervisor was killed"}
        assert agent.run("4", "kill $(cat group)")["result"] == "SUCCESS"


def test_builds_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    """Those of a supervisor's first build, and of one that has had others before."""
    end = tmp_path / "end"
    with running(tmp_path) as agent:
        agent.run("1", "true")
        for build in ("2", "3"):
            agent.start(build, f"while [ ! -e {end} ]; do sleep 0.01; done; echo whole")
        supervisors = [agent.supervisor(build) for build in ("2", "3")]
        agent.process.kill()
        agent.process.wait()
    assert all(map(start_of, supervisors))
    with running(tmp_path) as agent:
        for build in ("2", "3"):
            agent.ask(do="follow", build=build)
        end.touch()
        agent.until_ended("2", "3")
        assert [agent.ended[build]["result"] for build in ("2", "3")] == ["SUCCESS"] * 2
        assert all(agent.logs[build].endswith(b"whole\n") for build in ("2", "3"))
        wait_for(lambda: not any(map(start_of, supervisors)))
