"""bzr over ssh by the OpenSSH client: it never asks, forwards nothing, and starts with an explicit environment."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import TYPE_CHECKING, Final

from breezy.transport import ssh

from byoci import effects, proc

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

VENDOR: Final = "byoci"
_OPTIONS: Final = (
    "-oBatchMode=yes",
    "-oForwardX11=no",
    "-oForwardAgent=no",
    "-oClearAllForwardings=yes",
    "-oConnectTimeout=30",
    "-oServerAliveInterval=30",
)

_CONNECT = effects.declare(
    "bzr.connect",
    "ssh is started, with bzr on the other end",
    half="It ends when byoci is gone.",
    done="It ends when byoci is gone.",
)

_connections: list[_Connection] = []


def use(config: Path | None) -> None:
    """Make breezy connect this way. `config` is for ssh instead of the user's own: a site's keys and host keys."""
    ssh.register_ssh_vendor(VENDOR, _OpenSsh(config))
    ssh._ssh_vendor_manager.clear_cache()  # noqa: SLF001 - it would keep the one of the last call


def end() -> str:
    """End all connections that are still there, with their processes; what ssh had to say about them."""
    words = [_connections.pop().end() for _ in range(len(_connections))]
    return "\n".join(filter(None, words))


class _OpenSsh(ssh.SSHVendor):  # type: ignore[misc]
    def __init__(self, config: Path | None) -> None:
        self._config = config

    def connect_ssh(
        self, username: str | None, _password: str | None, host: str, port: int | None, command: Sequence[str]
    ) -> _Connection:
        """Start `command` on `host`; a password is never sent, and none is asked for."""
        argv = ["ssh", *_OPTIONS, *(["-F", str(self._config)] if self._config else [])]
        argv += ["-p", str(port)] if port is not None else []
        argv += ["-l", username] if username is not None else []
        connection = _Connection([*argv, "--", host, *command])
        _connections.append(connection)
        return connection


class _Connection(ssh.SSHConnection):  # type: ignore[misc]
    """A running ssh client, until `end`."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._socket, theirs = socket.socketpair()
        environment = proc.base_environment() | {
            name: os.environ[name] for name in ("HOME", "SSH_AUTH_SOCK") if name in os.environ
        }
        with _CONNECT, theirs:
            self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the connection
            self._process: subprocess.Popen[bytes] = proc.start(
                argv, env=environment, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._words.fileno()
            )

    def get_sock_or_pipes(self) -> tuple[str, socket.socket]:
        """Both ends of the line, as breezy asks for them."""
        return "socket", self._socket

    def close(self) -> None:
        """It is needed no more; the server sees the end of the line."""
        self._socket.close()

    def end(self) -> str:
        """End the client, and tell what it wrote on standard error."""
        self.close()
        proc.kill(self._process)
        with self._words:
            self._words.seek(0)
            return self._words.read(4096).decode("utf-8", "replace").strip()
