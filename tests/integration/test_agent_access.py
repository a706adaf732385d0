"""`byoci host update-agent-access` with real sshds: nobody is locked out, nobody else's line touched, at any kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from agent_fleet import BYOCI, PEOPLE, Fleet
from agent_sshd import need_sshd
from controller_process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    need_sshd()
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
    said = fleet.byoci("-vv", "host", "update-agent-access").stderr
    assert "ssh -F none" in said
    for path in fleet.secrets.rglob("*"):
        if path.is_file() and not path.name.endswith((".pub", ".json", "site")):
            assert not any(line in said for line in path.read_text().splitlines() if "-----" not in line), path
    own = (server.folder / "builds/testing/workers_ed25519.pub").read_text().split()[1]
    assert (fleet.secrets / "agents/agent1/workers.pub").read_text().split()[1] == own
    assert (server.folder / "builds/testing/workers_ed25519").stat().st_mode & 0o777 == 0o600

    assert fleet.byoci("up", "--port", "0").returncode == 0
    wait_for(lambda: fleet.online("agent1"))
    fleet.api.shell("far", "true", "<assignedNode>far</assignedNode><canRoam>false</canRoam>")
    assert fleet.api.run("far")[0]["builtOn"] == "agent1"
    assert (server.folder / "builds/testing/workspace/far").is_dir()

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
    for kill in range(5):
        fleet.byoci("host", "secrets", "--rotate")
        process = subprocess.Popen(
            fleet.argv("host", "update-agent-access"),
            env=fleet.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        time.sleep(0.2 + 1.5 * whole * kill / 5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for agent in fleet.servers:
            assert fleet.in_use() in fleet.ours(agent)
    fleet.update()
    assert fleet.ours("agent1") == fleet.ours("agent2") == [fleet.wanted()] == [fleet.in_use()]
    left = [path for path in fleet.servers["agent1"].folder.iterdir() if path.name.startswith(".authorized_keys.")]
    assert len(left) <= 5  # of runs that were killed in the midst of writing
    assert fleet.byoci("host", "secrets", "--check").returncode == 0


def test_the_older_program_is_the_same(fleet: Fleet) -> None:
    program = Path(BYOCI).with_name("byo-ci-host")
    argv = [program, "--config", fleet.root / "byoci.toml", "update-slave-access"]
    run = subprocess.run(argv, env=fleet.environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert fleet.ours("agent1") == [fleet.wanted()]


@pytest.mark.parametrize("fleet", [2], indirect=True)
def test_a_new_administration_key_and_a_new_token_lock_nobody_out(fleet: Fleet) -> None:
    fleet.update()
    assert fleet.byoci("up", "--port", "0").returncode == 0
    key = fleet.secrets / "administration_ed25519.pub"
    old = key.read_text().split()[1]
    servers = fleet.servers
    servers["agent2"].cut()
    servers["agent2"].stop()
    assert fleet.byoci("host", "secrets", "--rotate", "administration").returncode == 0
    assert fleet.byoci("host", "secrets", "--rotate", "administration").returncode == 0  # the oldest one stays
    new = key.read_text().split()[1]
    assert (fleet.secrets / "administration_ed25519.older.pub").read_text().split()[1] == old
    assert fleet.update(code=75)["agent1"] == "updated"
    first, second = ((servers[name].folder / "authorized").read_bytes() for name in ("agent1", "agent2"))
    assert first.startswith(PEOPLE)
    assert (old.encode() in first, new.encode() in first) == (False, True)
    assert old.encode() in second
    servers["agent2"].start("host")
    assert fleet.update() == {"agent1": "current", "agent2": "updated", "loopback": "current"}
    second = (servers["agent2"].folder / "authorized").read_bytes()
    assert (old.encode() in second, new.encode() in second) == (False, True)
    assert not list(fleet.secrets.glob("*.older*"))
    assert fleet.update() == dict.fromkeys(("agent1", "agent2", "loopback"), "current")
    assert fleet.byoci("host", "secrets", "--check").returncode == 0

    token = (fleet.home / "admin-token").read_text().strip()
    assert fleet.api.get("me/api/json", auth=f"admin:{token}").status == 200
    assert fleet.byoci("host", "secrets", "--rotate", "token").returncode == 0
    assert fleet.api.get("me/api/json", auth=f"admin:{token}").status == 401
    now = (fleet.home / "admin-token").read_text().strip()
    assert fleet.api.get("me/api/json", auth=f"admin:{now}").status == 200
    assert (fleet.home / "admin-token").stat().st_mode & 0o777 == 0o600
