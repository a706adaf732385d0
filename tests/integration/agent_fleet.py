"""A site with agents, for tests of how it gets at them."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent_sshd import Sshd
from controller_process import ControllerProcess

BYOCI = str(Path(sys.executable).with_name("byoci"))
USER = getpass.getuser()
PEOPLE = b"# people's own\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl ann\r\n\n"


class Fleet:
    """A site with agents, each with an sshd of its own whose authorized_keys hold a person's lines, too."""

    def __init__(self, root: Path, agents: int, server: type[Sshd] = Sshd) -> None:
        self.root = root
        self.secrets = root / "testing/secrets"
        self.home = root / "testing/controller"
        self.api = ControllerProcess(self.home)
        self.servers = {f"agent{n}": server(root.parent / f"agent{n}", "Welcome!\n") for n in range(1, agents + 1)}
        self.hosts = dict.fromkeys(self.servers, "host")  # the host key that the definition has
        self.more: dict[str, str] = {}
        assert self.byoci("host", "secrets").returncode == 0
        for running in self.servers.values():
            public = (self.secrets / "administration_ed25519.pub").read_bytes()
            (running.folder / "authorized").write_bytes(PEOPLE + public.rstrip())  # without an end of the line
        self.define(*self.servers)

    def define(self, *names: str) -> None:
        text = '[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n[monitor]\nport = 0\n'
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
