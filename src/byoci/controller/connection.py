"""The controller's end of a connection to an agent: requests out, messages in, whatever carries them.

`Link` is what carries: bytes to and from a Python on the agent. The agent's side is sent at its beginning, so nothing
is installed there and both ends are always of one version.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shlex
import subprocess
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Protocol

from byoci import proc
from byoci.controller.told import checked_message
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_MODULES: Final = ("files", "conditions", "record", "build", "supervisors", "server")
_PACKAGE: Final = "byoci.controller.agentside"
_READY: Final = b"byoci agent 1\n"
_MOST_BANNER: Final = 1 << 16  # bytes that a login shell may print before the agent's side begins
_LONGEST: Final = 1 << 24  # bytes of a message's line, and of what follows it
# Reads the modules from standard input, byte for byte, and hands that on to the server.
_LOADER: Final = """
import os, sys, types
def read(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            sys.exit("the connection ended")
        data += more
    return data
for name, size in zip(sys.argv[2::2], sys.argv[3::2]):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(read(int(size)), name, "exec"), module.__dict__)
module.main(sys.argv[1])
"""


@functools.cache
def _sources() -> tuple[tuple[str, bytes], ...]:
    folder = resources.files(_PACKAGE)
    return tuple((f"{_PACKAGE}.{name}", folder.joinpath(f"{name}.py").read_bytes()) for name in _MODULES)


def agent_argv(python: str, root: str) -> list[str]:
    """The program to start on the agent, which keeps its builds in the folder `root`; `sources` are its first input."""
    sizes = [word for name, source in _sources() for word in (name, str(len(source)))]
    return [python, "-I", "-S", "-c", _LOADER, root, *sizes]


def agent_command(python: str, root: str) -> str:
    """`agent_argv` as a shell command, for whatever login shell there is."""
    return "exec " + shlex.join(agent_argv(python, root))


def sources() -> bytes:
    """What the agent reads first."""
    return b"".join(source for _, source in _sources())


class Link(Protocol):
    """Bytes to and from an agent. Reading gives b"" at the end; writing waits while the other end is slow."""

    async def read(self) -> bytes:
        """Some bytes, as soon as there are any."""

    async def write(self, data: bytes) -> None:
        """Send these."""

    async def close(self) -> None:
        """End it; safe to call twice."""


class Connection:
    """An agent that answers. `on_message` is called with each message and its bytes, in their order.

    Order: `open` first. Concurrency: for the one event loop it was made in. Errors: `UnavailableError` where the
    agent's side does not begin, or tells nonsense later on; the end of the connection is the end of `run`.
    """

    def __init__(self, link: Link, on_message: Callable[[dict[str, Any], bytes], None]) -> None:
        self._link = link
        self._on_message = on_message
        self._buffer = bytearray()

    async def open(self, patience: float) -> None:
        """Send the agent's side and wait for its first line, for at most so many seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._link.write(sources())
                await self._begin()
        except (TimeoutError, OSError) as error:
            await self._link.close()
            raise UnavailableError("the agent did not begin to answer", details=str(error)) from error
        except UnavailableError:
            await self._link.close()
            raise

    async def _begin(self) -> None:
        while (at := self._buffer.find(_READY)) < 0:
            data = await self._link.read()
            self._buffer += data
            if not data or len(self._buffer) > _MOST_BANNER:
                raise UnavailableError(
                    "the agent did not begin to answer",
                    details=bytes(self._buffer[-2000:]).decode("utf-8", "replace").strip(),
                    resolution="It needs Python 3.9 or newer as python3, and a login shell that leaves commands alone.",
                )
        del self._buffer[: at + len(_READY)]

    async def run(self) -> None:
        """Hand on messages until the connection ends."""
        try:
            while (message := await self._message()) is not None:
                self._on_message(*message)
        finally:
            await self._link.close()

    async def send(self, **request: Any) -> None:
        """Ask for something; see the agent's `server`. On a connection that ended nothing happens."""
        with contextlib.suppress(OSError):
            await self._link.write(json.dumps(request).encode() + b"\n")

    async def close(self) -> None:
        """End the connection; builds go on."""
        await self._link.close()

    async def _message(self) -> tuple[dict[str, Any], bytes] | None:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST or not await self._more():
                return None
        message = checked_message(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        size = message.get("bytes", 0)
        if size > _LONGEST:
            return None
        while len(self._buffer) < size:
            if not await self._more():
                return None
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return message, data

    async def _more(self) -> bool:
        try:
            data = await self._link.read()
        except OSError:
            return False
        self._buffer += data
        return bool(data)


class LocalLink:
    """The controller's own host as an agent: the same program, over pipes."""

    def __init__(self, root: str, python: str) -> None:
        environment = {**proc.base_environment(), **_own_environment()}
        self._process = proc.start(
            agent_argv(python, root), env=environment, stdin=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._reader: asyncio.StreamReader | None = None
        self._transport: asyncio.ReadTransport | None = None

    async def read(self) -> bytes:
        """See `Link`."""
        if self._reader is None:
            self._reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(self._reader)
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.connect_read_pipe(lambda: protocol, self._process.stdout)
        return await self._reader.read(1 << 18)

    async def write(self, data: bytes) -> None:
        """See `Link`."""
        assert self._process.stdin is not None
        # A plan or the sources are larger than a pipe; the agent's side reads at once.
        await asyncio.to_thread(self._write, data) if len(data) > 1 << 12 else self._write(data)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    async def close(self) -> None:
        """See `Link`."""
        if self._transport is not None:
            self._transport.close()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        await asyncio.to_thread(self._process.wait)


def _own_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HOME", "USER", "LOGNAME", "SHELL", "LANG") if name in os.environ}
