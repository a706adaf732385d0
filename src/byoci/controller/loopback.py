"""The site's own agent over ssh: an sshd of this user's on a free port of loopback, while the controller runs.

What it is made of is in the state folder below `sshd/`: `host_key` and `authorized_keys`, which `byoci up` put there,
and what is written here. It lets in this user only, with the controller's key only, and forwards nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from byoci import durable, proc
from byoci.controller import known_hosts
from byoci.controller.nodexml import Node, Ssh
from byoci.controller.places import AUTHORIZED, HOST_KEY, HOSTS_FILE, LOOPBACK, NO_SSHD, SSHD, sshd_program
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.controller.controller import Controller

_log = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 15.0  # seconds for sshd to answer
_GREETING: Final = 0.5  # seconds for its first word, before one looks whether it lives
_PAUSES: Final = (0.0, 0.5, 2.0, 10.0)  # seconds between tries, the last one for ever
_LASTING: Final = 60.0  # seconds after which one that ended counts as the first that did
_PRIVILEGE_SEPARATION: Final = "/run/sshd"  # where root's sshd shuts its children in
# Becomes a program that ends with the controller, however that ends (PR_SET_PDEATHSIG is 1).
_TIED: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
# What is not named here is off by DisableForwarding, or by what the key says in authorized_keys.
_CONFIG: Final = f"""\
ListenAddress {{host}}
Port {{port}}
HostKey "{{folder}}/{HOST_KEY}"
AuthorizedKeysFile "{{tokens}}/{AUTHORIZED}"
AllowUsers {{user}}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
DisableForwarding yes
PermitTTY no
PermitUserRC no
PermitUserEnvironment no
PrintMotd no
PrintLastLog no
UsePAM no
UseDNS no
StrictModes no
LoginGraceTime 20
MaxStartups 20:50:100
PidFile none
"""


class Loopback:
    """See the module. Order: `keep` runs until it is cancelled; `ready` may be waited for at any time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / SSHD
        self._ready = asyncio.Event()
        self._problem: UnavailableError | None = None

    @property
    def wanted(self) -> bool:
        """Whether the site has such an agent."""
        return (self._folder / HOST_KEY).is_file()

    async def ready(self) -> None:
        """Wait until sshd answers. Raises `UnavailableError` with the reason where it does not."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._ready.wait()
        except TimeoutError as error:
            raise self._problem or UnavailableError("the site's own sshd does not answer") from error

    async def keep(self, controller: Controller) -> None:
        """Run it, again whenever it ended, and tell the controller where it is."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._once(controller)
            except UnavailableError as error:
                self._problem = error
            if loop.time() - began > _LASTING:
                failures = 0
            _log.warning("the site's own sshd is started again: %s", self._problem)
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    async def _once(self, controller: Controller) -> None:
        port = self._port()
        process = self._start(port)
        try:
            await self._answers(process, port)
            self._announce(controller, port)
            self._problem = None
            self._ready.set()
            _log.info("the site's own sshd answers at %s:%s", _HOST, port)
            await _end_of(process)
            raise UnavailableError(f"it ended with status {process.poll()}", details=self._words())
        finally:
            self._ready.clear()
            proc.kill(process)

    def _port(self) -> int:
        """The port of last time, so that others find it again; any free one where there was none."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / "port").read_text())
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            return int(probe.getsockname()[1])

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        sshd = sshd_program()
        if sshd is None:
            raise UnavailableError(NO_SSHD)
        folder = str(self._folder)
        if '"' in folder or "\\" in folder or not folder.isprintable():
            raise UnavailableError("sshd cannot be told the name of the state folder", details=ascii(folder))
        user = pwd.getpwuid(os.geteuid()).pw_name
        text = _CONFIG.format(host=_HOST, port=port, folder=folder, tokens=folder.replace("%", "%%"), user=user)
        durable.replace(self._folder / "config", text.encode())
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                os.makedirs(_PRIVILEGE_SEPARATION, 0o755, exist_ok=True)  # noqa: PTH103 - of the system, not of a site
        log = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            argv = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid())]
            argv += [sshd, "-D", "-e", "-f", f"{folder}/config"]
            return proc.start(argv, env=proc.base_environment(), stdout=subprocess.DEVNULL, stderr=log)
        finally:
            os.close(log)

    async def _answers(self, process: subprocess.Popen[bytes], port: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while process.poll() is None:
                    if await _is_ssh(port):
                        return
                    await asyncio.sleep(0.01)
        (self._folder / "port").unlink(missing_ok=True)  # somebody else may have it
        raise UnavailableError("sshd does not start", details=self._words())

    def _announce(self, controller: Controller, port: int) -> None:
        """Pin its host key at that port, and have a node for it; what people changed of the node stays."""
        durable.replace(self._folder / "port", str(port).encode())
        key = (self._folder / f"{HOST_KEY}.pub").read_text(encoding="utf-8")
        known_hosts.pin(self._home / HOSTS_FILE, LOOPBACK, [known_hosts.line(_HOST, port, key)])
        ssh = Ssh(_HOST, port, pwd.getpwuid(os.geteuid()).pw_name)
        known = controller.nodes.get(LOOPBACK)
        if known is None:
            node = Node(LOOPBACK, "This host, over ssh", str(self._home / LOOPBACK), labels=("ssh",), ssh=ssh)
            controller.save_node(node, new=True)
        elif known.ssh != ssh:
            controller.save_node(replace(known, ssh=ssh), new=False)

    def _words(self) -> str:
        """The last that it said."""
        log = self._folder / "log"
        return log.read_text(encoding="utf-8", errors="replace")[-1000:].strip() if log.exists() else ""


async def _is_ssh(port: int) -> bool:
    """Whether a server of ssh answers there."""
    try:
        reader, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(_GREETING):
            return await reader.read(4) == b"SSH-"
    except (OSError, TimeoutError):  # somebody else, who waits for us to begin
        return False
    finally:
        writer.close()


async def _end_of(process: subprocess.Popen[bytes]) -> None:
    """Wait for a program's end without a thread, so that nothing has to be waited for when one stops waiting."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
