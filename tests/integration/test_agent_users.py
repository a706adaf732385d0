"""One user sets an agent up, another one runs jobs: with real users, in a mount namespace with an /etc of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from agent_fleet import Fleet
from agent_sshd import Sshd
from controller_process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

# Users come and go in a copy of /etc; /home and what useradd writes besides are this namespace's own.
APART = """
set -e
cp -a /etc "$0"
mount --bind "$0" /etc
for place in /home /var/mail /var/log; do mount -t tmpfs tmpfs "$place"; done
exec "$@"
"""


class Machine(Sshd):
    """An sshd as on a machine of its own: it looks for keys where sshd does, but for root's."""

    def start(self, key: str, settings: str = "") -> None:
        del settings
        super().start(
            key,
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder / key}\nUsePAM no\nPidFile none\n"
            f"PermitRootLogin prohibit-password\nPasswordAuthentication no\nMatch User root\n"
            f"  AuthorizedKeysCommand /bin/cat {self.folder / 'authorized'}\n  AuthorizedKeysCommandUser root\n",
        )

    def argv(self, program: str, config: Path) -> list[str]:
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", APART, str(self.folder / "etc")]
        return [*inside, *super().argv(program, config)]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    apart = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/home"]
    if os.geteuid() != 0 or subprocess.run(apart, capture_output=True, check=False).returncode:
        pytest.skip("only root can make users, and a mount namespace for them")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    fleet = Fleet(tmp_path / "byoci", 1, Machine)
    yield fleet
    fleet.byoci("down")
    for server in fleet.servers.values():
        server.cut()
        server.stop()


def test_a_user_that_only_runs_jobs_is_made_and_let_in(fleet: Fleet) -> None:
    server = fleet.servers["agent1"]
    key = " ".join((server.folder / "host.pub").read_text().split()[:2])
    agent = f'host = "127.0.0.1"\nport = {server.port}\nadministrator = "root"\nhost_keys = ["{key}"]\n'
    text = f'[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n[agent.agent1]\n{agent}'
    (fleet.root / "byoci.toml").write_text(text)
    assert fleet.update() == {"agent1": "updated"}, fleet.said
    assert fleet.update() == {"agent1": "current"}
    assert fleet.ours("agent1") == []  # that is root's
    assert fleet.byoci("up", "--port", "0").returncode == 0
    wait_for(lambda: fleet.online("agent1"))
    script = "set +x; id -un; id -Gn; stat -c '%U %a' ~/.ssh ~/.ssh/authorized_keys ~/.byoci/agent/*/workers_ed25519"
    fleet.api.shell("who", script, "<assignedNode>agent1</assignedNode><canRoam>false</canRoam>")
    _, log = fleet.api.run("who")
    lines = log.splitlines()[3:]
    assert lines[:2] == ["jenkins", "jenkins developers"]
    assert lines[2:5] == ["jenkins 700", "jenkins 600", "jenkins 600"]
    (fleet.root / "byoci.toml").write_text(text.replace(f"[agent.agent1]\n{agent}", ""))
    assert fleet.update()["agent1"] == "revoked"
    assert "jenkins" not in Path("/etc/passwd").read_text()
