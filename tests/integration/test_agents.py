"""What an agent over ssh has to have, and what is told of one that has it not."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import psutil
import pytest
from agent_sshd import Sshd, need_sshd
from controller_process import ControllerProcess, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

ON_LEAN = "<assignedNode>lean</assignedNode><canRoam>false</canRoam>"


class Lean(Sshd):
    """A machine whose user has the programs of one folder, and a login shell that may talk."""

    def __init__(self, folder: Path, *, python: str | None, talk: str = "") -> None:
        self.programs = folder.with_name(f"{folder.name}-bin")
        self.programs.mkdir()
        self.talk = talk
        (self.programs / "sh").symlink_to("/bin/sh")
        if python:
            (self.programs / "python3").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
            (self.programs / "python3").chmod(0o755)
        super().__init__(folder)

    def start(self, key: str, settings: str = "") -> None:
        super().start(key, settings)
        self.stop()
        config = (self.folder / "sshd_config").read_text().partition("ForceCommand")[0]
        environment = f"/usr/bin/env -i PATH={self.programs} HOME={self.folder}"
        super().start(key, f'{config}ForceCommand {self.talk}{environment} sh -c "$SSH_ORIGINAL_COMMAND"\n')


def oldest_python() -> str:
    """The oldest Python from 3.9 on that is here."""
    for minor in range(9, sys.version_info.minor):
        found = shutil.which(f"python3.{minor}")
        if found:
            itself = [found, "-c", "import sys; print(sys.executable)"]  # of another name: what finds it may need more
            run = subprocess.run(itself, capture_output=True, text=True, check=False)
            if run.returncode == 0:
                return run.stdout.strip()
    return sys.executable


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[ControllerProcess]:
    need_sshd()
    with running(tmp_path / "home") as process:
        yield process


def connect(controller: ControllerProcess, server: Sshd) -> None:
    shutil.copy(server.folder / "client", controller.home / "controller-key")
    (controller.home / "known_hosts").write_text(server.known_host())
    launcher = {
        "stapler-class": "hudson.plugins.sshslaves.SSHLauncher",
        "host": "127.0.0.1",
        "port": server.port,
        "username": getpass.getuser(),
    }
    node = {"numExecutors": 1, "remoteFS": str(server.folder / "agent"), "launcher": launcher}
    form = urlencode({"name": "lean", "json": json.dumps(node)}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert controller.post("computer/doCreateItem", form, headers=headers).status == 302


def reason(controller: ControllerProcess) -> str:
    return str(controller.get("computer/lean/api/json").json["offlineCauseReason"])


def test_sshd_a_python_and_a_shell_are_enough(controller: ControllerProcess, tmp_path: Path) -> None:
    python = oldest_python()
    server = Lean(tmp_path / "lean", python=python, talk="echo Welcome; echo to you >&2; ")
    try:
        connect(controller, server)
        wait_for(lambda: not controller.get("computer/lean/api/json").json["offline"], 20), reason(controller)
        controller.shell("job", "set +x\necho hello > kept.txt; exit 3", ON_LEAN)
        archive = (
            "<publishers><hudson.tasks.ArtifactArchiver><artifacts>kept.txt</artifacts>"
            "</hudson.tasks.ArtifactArchiver></publishers>"
        )
        controller.shell("kept", "set +x\necho hello > kept.txt", archive + ON_LEAN)
        facts, log = controller.run("job")
        assert (facts["result"], facts["builtOn"]) == ("FAILURE", "lean"), log
        facts, log = controller.run("kept")
        assert facts["result"] == "SUCCESS", log
        assert controller.get("job/kept/1/artifact/kept.txt").body == b"hello\n"
    finally:
        server.cut()
        server.stop()


@pytest.mark.parametrize(
    ("python", "talk", "told"),
    [
        (None, "", "not found"),
        ("/bin/echo no Python is", "", "no Python is"),
        (sys.executable, "yes | head -c 100000; ", "login shell that leaves commands alone"),
        (sys.executable, "echo no entry today; exit 1; ", "no entry today"),
    ],
    ids=["no-python", "no-real-python", "endless-banner", "shell-that-ends"],
)
def test_what_is_missing_is_told(
    controller: ControllerProcess, tmp_path: Path, python: str | None, talk: str, told: str
) -> None:
    server = Lean(tmp_path / "lean", python=python, talk=talk)
    try:
        connect(controller, server)
        wait_for(lambda: told in reason(controller))
        assert "the agent did not begin to answer" in reason(controller)
        assert "It needs Python 3.9 or newer as python3" in reason(controller)
    finally:
        server.cut()
        server.stop()


def test_an_agent_that_refuses_programs_is_not_left_with_connections(
    controller: ControllerProcess, tmp_path: Path
) -> None:
    server = Sshd(tmp_path / "full")
    server.stop()
    server.start("host", f"{(server.folder / 'sshd_config').read_text()}MaxSessions 0\n")
    try:
        connect(controller, server)
        log = server.folder / "log"
        wait_for(lambda: log.read_text().count("Accepted publickey") >= 4)
        wait_for(lambda: "cannot be reached" in reason(controller))
        assert len(psutil.Process(server.process.pid).children()) <= 1
    finally:
        server.cut()
        server.stop()
