"""Agents over ssh. A host's key is one of those that are pinned, or the connection is not made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import asyncssh

from byoci.controller.connection import agent_command
from byoci.controller.places import HOSTS_FILE, KEY_FILE
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.controller.nodexml import Ssh

_PATIENCE: Final = 20.0  # seconds for a connection to be made
_ALIVE: Final = 15.0  # seconds between looks at whether the other end is there; three without an answer end it


class SshLink:
    """See `Link`."""

    def __init__(self, connection: asyncssh.SSHClientConnection, process: asyncssh.SSHClientProcess[bytes]) -> None:
        self._connection = connection
        self._process = process

    async def read(self) -> bytes:
        """See `Link`."""
        try:
            return bytes(await self._process.stdout.read(1 << 18))
        except asyncssh.Error as error:
            raise OSError(str(error)) from error

    async def write(self, data: bytes) -> None:
        """See `Link`."""
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except asyncssh.Error as error:
            raise OSError(str(error)) from error

    async def close(self) -> None:
        """See `Link`."""
        self._connection.close()
        await self._connection.wait_closed()


async def dial(home: Path, ssh: Ssh, root: str) -> SshLink:
    """Connect with the controller's key to an agent whose host key `known_hosts` pins; both are files in `home`.

    Raises `UnavailableError` that tells which of these is missing, wrong or refused.
    """
    where = f"{ssh.user}@{ssh.host}:{ssh.port}"
    for name, what in ((KEY_FILE, "the controller's key"), (HOSTS_FILE, "the agents' pinned host keys")):
        if not (home / name).is_file():
            raise UnavailableError(
                f"{what} is missing",
                details=str(home / name),
                resolution="For agents of the definition type byoci host update-agent-access; for others put it there.",
            )
    try:
        async with asyncio.timeout(_PATIENCE):
            connection = await asyncssh.connect(
                ssh.host,
                ssh.port,
                username=ssh.user,
                client_keys=[str(home / KEY_FILE)],
                known_hosts=str(home / HOSTS_FILE),
                config=None,  # nobody's own settings
                agent_path=None,
                password=None,
                preferred_auth="publickey",
                keepalive_interval=_ALIVE,
            )
            try:
                # What a shell complains of tells why the agent's side does not begin.
                process = await connection.create_process(
                    agent_command("python3", root), encoding=None, stderr=asyncssh.STDOUT
                )
            except BaseException:
                connection.abort()
                raise
    except asyncssh.HostKeyNotVerifiable as error:
        raise UnavailableError(
            f"the host key of {where} is not the one that is pinned",
            details=str(error),
            resolution="If the agent was made anew, put its new keys into agent.NAME.host_keys of the definition and "
            f"type byoci host update-agent-access, or pin them in {home / HOSTS_FILE}. Otherwise do not go on: "
            "somebody may be in its place.",
        ) from error
    except asyncssh.PermissionDenied as error:
        raise UnavailableError(
            f"{where} does not accept the controller's key",
            details=str(error),
            resolution="For an agent of the definition type byoci host update-agent-access; for another one add the "
            f"public key of {home / KEY_FILE} to that user's authorized_keys.",
        ) from error
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise UnavailableError(f"{where} cannot be reached", details=str(error) or "It did not answer.") from error
    return SshLink(connection, process)
