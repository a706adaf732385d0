"""A controller that is killed at any point loses no build and no line, on its own host and over ssh."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from agent_sshd import Sshd
from controller_process import ControllerProcess, wait_for

from byoci.controller.agentside.record import start_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

SCRIPT = """set +x
i=0
while [ ! -e {} ]; do
    i=$((i+1)); echo line $i; sleep 0.01
done
echo total $i
echo kept > kept.txt"""
ARCHIVE = """<publishers><hudson.tasks.ArtifactArchiver><artifacts>kept.txt</artifacts></hudson.tasks.ArtifactArchiver>
</publishers>"""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd", banner="Welcome!\nThis machine is watched.\n")
    yield server
    server.cut()
    server.stop()


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[ControllerProcess]:
    process = ControllerProcess(tmp_path / "home")
    process.start()
    yield process
    process.stop()
    for path in tmp_path.rglob("status"):  # of a test that failed: its builds would outlive it, too
        status = json.loads(path.read_text())
        with contextlib.suppress(ProcessLookupError):
            if "result" not in status and start_of(status["pid"]) == status["start"]:
                os.kill(status["pid"], signal.SIGTERM)
    assert "Traceback" not in process.errors.read_text()


def add_agent(
    controller: ControllerProcess, sshd: Sshd, key: str = "host", *, executors: int = 2, label: str = "far"
) -> None:
    shutil.copy(sshd.folder / "client", controller.home / "controller-key")
    (controller.home / "known_hosts").write_text(sshd.known_host(key))
    import getpass
    from urllib.parse import urlencode

    launcher = {
        "stapler-class": "hudson.plugins.sshslaves.SSHLauncher",
        "host": "127.0.0.1",
        "port": sshd.port,
        "username": getpass.getuser(),
    }
    node = {
        "numExecutors": executors,
        "remoteFS": str(sshd.folder / "agent"),
        "labelString": label,
        "launcher": launcher,
    }
    form = urlencode({"name": "remote", "json": json.dumps(node)}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert controller.post("computer/doCreateItem", form, headers=headers).status == 302


def online(controller: ControllerProcess) -> bool:
    return not controller.get("computer/remote/api/json").json["offline"]


def whole(controller: ControllerProcess, name: str) -> None:
    """The build is there, every line once, and what it kept."""
    facts = controller.finished(name)
    log = controller.get(f"job/{name}/1/consoleText").text
    (total,) = [int(line.split()[1]) for line in log.splitlines() if line.startswith("total ")]
    assert [line for line in log.splitlines() if line.startswith("line ")] == [f"line {n + 1}" for n in range(total)]
    assert log.endswith("Archived artifacts: 1\nFinished: SUCCESS\n")
    assert log.count("Finished:") == 1
    assert facts["result"] == "SUCCESS"
    assert controller.get(f"job/{name}/1/artifact/kept.txt").body == b"kept\n"
    assert controller.get(f"job/{name}/api/json").json["nextBuildNumber"] == 2


def lines_told(controller: ControllerProcess, name: str) -> int:
    reply = controller.get(f"job/{name}/1/consoleText")
    return reply.text.count("line ") if reply.status == 200 else 0


@pytest.mark.parametrize("far", [False, True], ids=["own-host", "ssh"])
def test_a_killed_controller_loses_nothing(
    far: bool, controller: ControllerProcess, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    node = ""
    if far:
        add_agent(controller, request.getfixturevalue("sshd"))
        wait_for(lambda: online(controller))
        node = "<assignedNode>far</assignedNode><canRoam>false</canRoam>"
    end = tmp_path / "end"
    controller.shell("long", SCRIPT.format(end), ARCHIVE + node)
    controller.build("long")
    for kill in range(25):
        if kill == 18:
            end.touch()  # the rest is about its end: collecting, judging, remembering
        time.sleep(0.03 * (kill % 4))
        controller.kill()
        if kill in (9, 20):
            time.sleep(0.3)  # the build goes on, and may end, while nobody listens
        controller.start()
    whole(controller, "long")


def test_builds_at_once_keep_their_workspaces_over_a_kill(controller: ControllerProcess, tmp_path: Path) -> None:
    parameter = "<hudson.model.StringParameterDefinition><name>N</name></hudson.model.StringParameterDefinition>"
    definitions = f"<parameterDefinitions>{parameter}</parameterDefinitions>"
    more = f"<properties><hudson.model.ParametersDefinitionProperty>{definitions}"
    more += "</hudson.model.ParametersDefinitionProperty></properties><concurrentBuild>true</concurrentBuild>"
    controller.shell("j", f"touch {tmp_path}/began-$N; while [ ! -e {tmp_path}/go-$N ]; do sleep 0.02; done; pwd", more)
    for number in (1, 2):
        controller.build("j", f"N={number}")
        wait_for((tmp_path / f"began-{number}").exists)
    controller.kill()
    controller.start()
    (tmp_path / "go-1").touch()
    controller.finished("j", 1)
    controller.build("j", "N=3")
    wait_for((tmp_path / "began-3").exists)
    for number in (2, 3):
        (tmp_path / f"go-{number}").touch()
        controller.finished("j", number)
    logs = [controller.get(f"job/j/{number}/consoleText").text for number in (2, 3)]
    assert len({log.splitlines()[-2] for log in logs}) == 2


def test_a_restart_is_not_noticed_by_builds(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("long", SCRIPT.format(tmp_path / "end"), ARCHIVE)
    controller.build("long")
    url, token = controller.url, controller.token
    for _ in range(2):
        told = lines_told(controller, "long")
        wait_for(lambda told=told: lines_told(controller, "long") > told)
        written = (controller.home / "address").stat().st_mtime_ns
        assert controller.post("safeRestart").status == 302
        wait_for(lambda written=written: (controller.home / "address").stat().st_mtime_ns != written)
        assert (controller.url, controller.token) == (url, token)
    (tmp_path / "end").touch()
    whole(controller, "long")


def test_a_cut_connection_loses_nothing(controller: ControllerProcess, sshd: Sshd) -> None:
    add_agent(controller, sshd)
    node = "<assignedNode>remote</assignedNode><canRoam>false</canRoam>"
    for point in range(7):  # each build is cut off three times: as it begins, while it runs, as it ends
        name, end = f"cut-{point}", sshd.folder / f"end-{point}"
        wait_for(lambda: online(controller))
        controller.shell(name, SCRIPT.format(end), ARCHIVE + node)
        controller.build(name)
        time.sleep(0.03 * point)  # asked for, its workspace, its files, its start
        sshd.cut()
        wait_for(lambda name=name, point=point: lines_told(controller, name) > 10 * point)
        sshd.cut()
        told = lines_told(controller, name)
        wait_for(lambda name=name, told=told: lines_told(controller, name) > told)
        end.touch()
        time.sleep(0.02 * point)  # its last lines, what it keeps, its result
        sshd.cut()
        whole(controller, name)
    assert "Building on remote in workspace" in controller.get("job/cut-0/1/consoleText").text


def test_a_lost_supervisor_is_our_failure_and_the_build_is_queued_again_once(
    controller: ControllerProcess, tmp_path: Path
) -> None:
    import psutil

    controller.shell("lost", f"echo $PPID > {tmp_path}/supervisor; test $BUILD_NUMBER = 3 || sleep 1000")
    controller.build("lost")
    for number in (1, 2):
        pid = int(
            wait_for(lambda: (tmp_path / "supervisor").exists() and (tmp_path / "supervisor").read_text().strip())
        )
        (tmp_path / "supervisor").unlink()
        children = psutil.Process(pid).children(recursive=True)
        psutil.Process(pid).kill()
        for child in children:
            child.kill()
        assert controller.finished("lost", number)["result"] == "ABORTED"
        assert "The build was lost: the supervisor was killed" in controller.get(f"job/lost/{number}/consoleText").text
    wait_for(lambda: not controller.get("queue/api/json").json["items"])
    assert controller.get("job/lost/3/api/json").status == 404


def test_a_changed_host_key_is_not_trusted(controller: ControllerProcess, sshd: Sshd) -> None:
    add_agent(controller, sshd, key="host2")

    def reason() -> str:
        return str(controller.get("computer/remote/api/json").json["offlineCauseReason"])

    wait_for(lambda: "is not the one that is pinned" in reason())
    (controller.home / "known_hosts").write_text(sshd.known_host())
    wait_for(lambda: online(controller))
