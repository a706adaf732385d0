"""The monitor as a process: it works until it is told to end, and leaves the landings that are under way alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from byoci.errors import UsageError
from byoci.monitor.brain import Brain
from byoci.monitor.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from byoci.jenkins.client import Jenkins
    from byoci.monitor.watched import Watched

PID_FILE: Final = "pid"


def serve(
    folder: Path, projects: Sequence[Watched], jenkins: Jenkins, longest: float, tell: Callable[[str], None]
) -> None:
    """Work until SIGTERM or SIGINT. Raises `UsageError` where another monitor has the folder.

    folder   the monitor's state
    longest  seconds between two looks at a forge where nothing happens
    """
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with hold(folder), contextlib.closing(State(folder)) as state:
        brain = Brain(projects, state, jenkins, longest, tell)
        tell(f"watching {len(projects)} trunks")
        while not ending.is_set():
            ending.wait(brain.work())


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the kernel gives it back however that ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / PID_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another monitor is running on {folder}", resolution="Stop it first.") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
