"""What all servers do before they answer: hold their state folder, and listen."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING, Final

from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PID_FILE: Final = "pid"
"""Locked by who has the folder, and in it his process' number."""
ADDRESS_FILE: Final = "address"
"""With the URL for this machine, once he answers."""
_QUEUE: Final = 1024  # connections that the system keeps until they are taken


def hold(folder: Path, whose: str, resolution: str) -> int:
    """Hold the folder for this process; the kernel gives it back however that ends. Gives the descriptor that does it.

    Raises `UsageError` where another one of these servers has it; `whose` is what it is called.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / PID_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UsageError(f"another {whose} is running on {folder}", resolution=resolution) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


class _Listener(socket.socket):
    """Has the system keep those whom asyncio, which is told one number for both, does not take at once."""

    def listen(self, backlog: int = _QUEUE) -> None:
        super().listen(max(backlog, _QUEUE))


@contextlib.contextmanager
def listening(address: str, port: int, resolution: str) -> Iterator[socket.socket]:
    """A socket that listens at an address of this machine. Raises `UsageError` where the port cannot be used."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # With the protocol named: asyncio sends small answers at once (TCP_NODELAY) only where it is.
    with _Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            where = "" if error.errno == errno.EADDRINUSE else f" of {address}"
            raise UsageError(
                f"port {port}{where} cannot be used", details=str(error.strerror), resolution=resolution
            ) from error
        listener.listen()
        listener.setblocking(False)
        yield listener
