"""`byoci host update-agent-access` with real sshds: nobody is locked out, nobody else's line touched, at any kill."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent_sshd import Sshd
from controller_process import ControllerProcess, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BYOCI = str(Path(sys.executable).with_name("byoci"))
USER = getpass.getuser()
PEOPLE = b"# people's own\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl ann\r\n\n"


class Fleet:
    """A site with agents, each with an sshd of its own whose authorized_keys hold a person's lines, too."""

    def __init__(self, root: Path, agents: int) -> None:
        self.root = root
        self.secrets = root / "testing/secrets"
        self.home = root / "testing/controller"
        self.api = ControllerProcess(self.home)
        self.servers = {f"agent{n}": Sshd(root.parent / f"agent{n}", "Welcome!\n") for n in range(1, agents + 1)}
        self.hosts = dict.fromkeys(self.servers, "host")  # the host key that the definition has
        self.more: dict[str, str] = {}
        assert self.byoci("host", "secrets").returncode == 0
        for server in self.servers.values():
            public = (self.secrets / "administration_ed25519.pub").read_bytes()
            (server.folder / "authorized").write_bytes(PEOPLE + public.rstrip())  # without an end of the line
        self.define(*self.servers)

    def define(self, *names: str) -> None:
        text = '[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n'
        for name in names:
            server = self.servers[name]
            key = " ".join((server.folder / f"{self.hosts[name]}.pub").read_text().split()[:2])
            text += (
                f'[agent.{name}]\nhost = "127.0.0.1"\nport = {server.port}\nuser = "{USER}"\nadministrator = "{USER}"\n'
                f'host_keys = ["{key} comment"]\nauthorized_keys = "{server.folder}/authorized"\nlabels = ["far"]\n'
                f'folder = "{server.folder}/builds"\n{self.more.get(name, "")}'
            )
        (self.root / "byoci.toml").write_text(text)

    def argv(self, *arguments: str) -> list[str]:
        return [BYOCI, "--config", str(self.root / "byoci.toml"), *arguments]

    def byoci(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = self.argv(*arguments) if (self.root / "byoci.toml").exists() else [BYOCI, *arguments]
        return subprocess.run(
            argv,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "BYOCI_HOME": str(self.root)}

    def update(self, *agents: str, code: int = 0) -> dict[str, str]:
        """The states of the agents."""
        run = self.byoci("host", "update-agent-access", "--json", *agents)
        assert run.returncode == code, run.stdout + run.stderr
        self.told: Any = json.loads(run.stdout)
        self.said = run.stdout + run.stderr
        return {row["agent"]: row["state"] for row in self.told["agents"]}

    def error(self, agent: str) -> str:
        return next(str(row["error"]) for row in self.told["agents"] if row["agent"] == agent)

    def ours(self, agent: str) -> list[str]:
        """The controller's keys that the agent lets in; what else stands there has to be as it was."""
        text = (self.servers[agent].folder / "authorized").read_bytes()
        assert text.startswith(PEOPLE)
        lines = text[len(PEOPLE) :].decode().splitlines()
        assert lines[0].endswith("administration_ed25519")
        assert all(line.startswith("restrict ssh-ed25519 ") and " byoci:testing:" in line for line in lines[1:])
        return [line.split()[2] for line in lines[1:]]

    def in_use(self) -> str:
        run = subprocess.run(
            ["ssh-keygen", "-y", "-f", self.home / "controller-key"], capture_output=True, text=True, check=True
        )
        return run.stdout.split()[1]

    def wanted(self) -> str:
        return (self.secrets / "controller/controller_ed25519.pub").read_text().split()[1]

    def online(self, agent: str) -> bool:
        return not self.api.get(f"computer/{agent}/api/json").json["offline"]

    def reason(self, agent: str) -> str:
        return str(self.api.get(f"computer/{agent}/api/json").json["offlineCauseReason"])


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]):
        pytest.skip("missing: sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    fleet = Fleet(tmp_path / "byoci", getattr(request, "param", 1))
    yield fleet
    fleet.byoci("down")
    for server in fleet.servers.values():
        server.cut()
        server.stop()


def test_an_agent_of_the_definition_runs_jobs(fleet: Fleet) -> None:
    server = fleet.servers["agent1"]
    assert fleet.byoci("host", "secrets", "--check").returncode == 2
    assert fleet.update() == {"agent1": "updated"}
    assert fleet.ours("agent1") == [fleet.wanted()] == [fleet.in_use()]
    assert fleet.update() == {"agent1": "current"}
    assert fleet.byoci("host", "secrets", "--check").returncode == 0
    own = (server.folder / "builds/workers-testing_ed25519.pub").read_text().split()[1]
    assert (fleet.secrets / "agents/agent1/workers.pub").read_text().split()[1] == own
    assert (server.folder / "builds/workers-testing_ed25519").stat().st_mode & 0o777 == 0o600

    assert fleet.byoci("up", "--port", "0").returncode == 0
    wait_for(lambda: fleet.online("agent1"))
    fleet.api.shell("far", "true", "<assignedNode>far</assignedNode><canRoam>false</canRoam>")
    assert fleet.api.run("far")[0]["builtOn"] == "agent1"

    fleet.more["agent1"] = "executors = 5\n"
    fleet.define("agent1")
    assert fleet.update() == {"agent1": "current", "loopback": "current"}
    assert fleet.api.get("computer/agent1/api/json").json["numExecutors"] == 5
    fleet.define()
    assert fleet.update() == {"agent1": "revoked", "loopback": "current"}
    assert fleet.ours("agent1") == []
    assert fleet.api.get("computer/agent1/api/json").status == 404
    assert "agent1" not in (fleet.home / "known_hosts").read_text()
    assert not (fleet.secrets / "agents/agent1").exists()
    assert fleet.byoci("host", "update-agent-access", "agent1").returncode == 2


@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_a_new_key_takes_over_when_it_works_everywhere(fleet: Fleet) -> None:
    fleet.update()
    assert fleet.byoci("up", "--port", "0").returncode == 0
    wait_for(lambda: fleet.online("agent1") and fleet.online("agent2"))
    old = fleet.in_use()
    fleet.servers["agent2"].cut()
    fleet.servers["agent2"].stop()
    assert fleet.byoci("host", "secrets", "--rotate").returncode == 0
    new = fleet.wanted()
    assert new != old
    assert "still uses another key" in fleet.byoci("host", "secrets", "--check").stdout

    states = fleet.update(code=75)
    assert (states["agent1"], states["agent2"]) == ("updated", "failed")
    assert "cannot be reached" in fleet.error("agent2")
    assert fleet.told["unfinished"]
    assert fleet.in_use() == old
    assert set(fleet.ours("agent1")) == {old, new}
    assert fleet.update("agent1", code=75) == {"agent1": "current"}
    assert fleet.in_use() == old
    fleet.servers["agent1"].cut()
    wait_for(lambda: fleet.online("agent1"))

    fleet.servers["agent2"].start("host")
    assert fleet.update() == {"agent1": "updated", "agent2": "updated", "loopback": "updated"}
    assert fleet.in_use() == new
    assert fleet.ours("agent1") == fleet.ours("agent2") == [new]
    assert not fleet.told["unfinished"]
    for server in fleet.servers.values():
        server.cut()
    wait_for(lambda: fleet.online("agent1") and fleet.online("agent2") and fleet.online("loopback"))
    secret = (fleet.home / "controller-key").read_text().splitlines()[2]
    assert secret not in fleet.said + (fleet.home / "log").read_text()


def test_a_changed_host_key_is_refused_until_the_definition_has_it(fleet: Fleet) -> None:
    fleet.update()
    server = fleet.servers["agent1"]
    pinned = (fleet.home / "known_hosts").read_text()
    server.stop()
    server.start("host2")
    assert fleet.update(code=75) == {"agent1": "failed"}
    assert "none of those that are pinned" in fleet.error("agent1")
    assert "host_keys" in fleet.error("agent1")
    assert (fleet.home / "known_hosts").read_text() == pinned
    assert fleet.ours("agent1") == [fleet.in_use()]
    fleet.hosts["agent1"] = "host2"
    fleet.define("agent1")
    assert fleet.update() == {"agent1": "updated"}
    key = (server.folder / "host2.pub").read_text().split()[1]
    assert (fleet.home / "known_hosts").read_text().split()[2::4] == [key]


def test_who_is_not_let_in_is_told_what_to_add(fleet: Fleet) -> None:
    (fleet.servers["agent1"].folder / "authorized").write_bytes(PEOPLE)
    assert fleet.update(code=75) == {"agent1": "failed"}
    assert "does not accept the key administration_ed25519" in fleet.error("agent1")
    assert (fleet.secrets / "administration_ed25519.pub").read_text().split()[1] in fleet.error("agent1")


def test_a_place_of_before_loses_the_key(fleet: Fleet) -> None:
    fleet.update()
    server = fleet.servers["agent1"]
    before = server.folder / "authorized"
    shutil.copy(before, server.folder / "authorized2")
    config = server.folder / "sshd_config"
    server.stop()
    text = config.read_text().replace(f"{before}", f"{before} {before}2")
    server.start("host")
    server.stop()
    config.write_text(text)
    server.start("", text)
    toml = (fleet.root / "byoci.toml").read_text()
    (fleet.root / "byoci.toml").write_text(toml.replace(f'"{before}"', f'"{before}2"'))
    assert fleet.update() == {"agent1": "updated"}
    assert fleet.ours("agent1") == []
    assert fleet.wanted() in (server.folder / "authorized2").read_text()
    assert fleet.update() == {"agent1": "current"}


@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_killed_at_any_moment_it_locks_nobody_out_and_is_finished_by_the_next(fleet: Fleet) -> None:
    fleet.update()
    began = time.monotonic()
    fleet.update()
    whole = time.monotonic() - began
    for kill in range(12):
        fleet.byoci("host", "secrets", "--rotate")
        process = subprocess.Popen(
            fleet.argv("host", "update-agent-access"),
            env=fleet.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        time.sleep(0.2 + 1.5 * whole * kill / 12)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for agent in fleet.servers:
            assert fleet.in_use() in fleet.ours(agent)
    fleet.update()
    assert fleet.ours("agent1") == fleet.ours("agent2") == [fleet.wanted()] == [fleet.in_use()]
    left = [path for path in fleet.servers["agent1"].folder.iterdir() if path.name.startswith(".authorized_keys.")]
    assert len(left) <= 12  # of runs that were killed in the midst of writing
    assert fleet.byoci("host", "secrets", "--check").returncode == 0


def test_the_older_program_is_the_same(fleet: Fleet) -> None:
    program = Path(BYOCI).with_name("byo-ci-host")
    argv = [program, "--config", fleet.root / "byoci.toml", "update-slave-access"]
    run = subprocess.run(argv, env=fleet.environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert fleet.ours("agent1") == [fleet.wanted()]
