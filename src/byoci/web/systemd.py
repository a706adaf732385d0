"""What a server tells systemd, where that has started it: that it answers, that it is alive, that it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
_ALIVE: Final = "WATCHDOG=1"


def notify(word: str) -> None:
    """Tell systemd; nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker,
    ):
        speaker.sendto(word.encode(), f"\0{address[1:]}" if address[0] == "@" else address)


def patience() -> float | None:
    """After how many seconds without a sign of life systemd starts this process again; None where it does not."""
    told, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not told.isdecimal() or int(told) == 0 or whose not in ("", str(os.getpid())):
        return None
    return int(told) / 1e6


@contextlib.asynccontextmanager
async def answering(silent: Callable[[], float] = lambda: 0.0) -> AsyncIterator[None]:
    """Tell systemd that the server answers, and within, as long as the event loop turns, that it is alive.

    silent  for how many seconds that which works beside the event loop has given no sign of life
    """
    notify(READY)
    longest = patience()
    task = asyncio.create_task(_tell(longest, silent)) if longest is not None else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _tell(longest: float, silent: Callable[[], float]) -> None:
    while True:
        if silent() < longest:
            notify(_ALIVE)
        await asyncio.sleep(longest / 3)
