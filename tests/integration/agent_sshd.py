"""An agent's sshd for tests: OpenSSH's own, on a free port of loopback, for the user who runs the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from controller_process import wait_for


def need_sshd() -> None:
    """Skip a test where there is no sshd; root's needs a folder that a service would make."""
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]):
        pytest.skip("missing: sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


class Sshd:
    """OpenSSH's server on a free port of loopback, for this user alone."""

    def __init__(self, folder: Path, banner: str = "") -> None:
        need_sshd()
        folder.mkdir()
        self.folder = folder
        for name in ("host", "host2", "client"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copy(folder / "client.pub", folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (folder / "banner").write_text(banner)
        self.process: subprocess.Popen[bytes] | None = None
        self.start("host")

    @staticmethod
    def _run(*argv: str) -> None:
        subprocess.run(argv, check=True, capture_output=True)

    def start(self, key: str, settings: str = "") -> None:
        """With one of its host keys; `settings` take the place of the usual ones."""
        config = self.folder / "sshd_config"
        config.write_text(
            settings
            or f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder / key}\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {self.folder / 'authorized'}\nPidFile none\nPasswordAuthentication no\n"
            f"PermitRootLogin yes\nKbdInteractiveAuthentication no\nMaxStartups 100\n"
            f'ForceCommand cat {self.folder / "banner"}; eval "$SSH_ORIGINAL_COMMAND"\n'
        )
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
        assert program is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.argv(program, config), stdout=log, stderr=log)
        wait_for(self._answers)

    def argv(self, program: str, config: Path) -> list[str]:
        return [program, "-D", "-e", "-f", str(config)]

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def known_host(self, key: str = "host") -> str:
        return f"[127.0.0.1]:{self.port} {(self.folder / f'{key}.pub').read_text()}"

    def cut(self) -> None:
        """End every connection at once, as a cable does that is pulled out."""
        import psutil

        assert self.process is not None
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children():
                child.kill()

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
