"""The controller in the background: started, found and ended by whoever may read its state folder."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.controller.bounds import Bounds
from byoci.errors import UnavailableError
from byoci.web import serving as servers
from byoci.web.serving import ADDRESS_FILE, PID_FILE

if TYPE_CHECKING:
    from pathlib import Path

LOG_FILE: Final = "log"
_PATIENCE: Final = 30.0  # seconds for it to start, or to end
_LOOK: Final = 0.02  # seconds between looks
_AGAIN: Final = 1.0  # seconds between signals
_HANDED_ON: Final = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "XDG_RUNTIME_DIR")


@dataclass(frozen=True, slots=True)
class Found:
    """A controller that runs; `url` is "" while it starts."""

    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a controller answers.

    port    0: any free one
    listen  an address of this machine
    url     its address as people see it, with a slash at its end; "": the one that it listens at
    bounds  of what is kept of a build
    """

    port: int
    listen: str = "127.0.0.1"
    url: str = ""
    bounds: Bounds = field(default_factory=Bounds)


def find(home: Path) -> Found | None:
    """The controller that has this state folder; None where none does."""
    try:
        descriptor = os.open(home / PID_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode("ascii", "replace")
        address = home / ADDRESS_FILE
        return Found(int(text), address.read_text().strip() if address.exists() else "") if text.isdigit() else None
    else:
        return None  # whoever wrote the file is gone: the lock went with him
    finally:
        os.close(descriptor)


def hold(home: Path, held: int = -1) -> int:
    """Hold the folder for this process; the kernel gives it back however that ends. Gives the descriptor that does it.

    held  the one with which it is held already, by what this process was before

    Raises `UsageError` where another controller has the folder.
    """
    if held < 0:
        return servers.hold(home, "controller", "Stop it first: byoci down.")
    os.set_inheritable(held, False)
    return held


def command(home: Path, serving: Serving) -> tuple[str, ...]:
    """The controller's program, which serves until it is ended."""
    options = ("--listen", serving.listen, "--url", serving.url, "--most", *serving.bounds.words())
    return (sys.executable, "-I", "-m", "byoci.controller", *options, str(home), str(serving.port))


def start(home: Path, serving: Serving) -> Found:
    """Start it and wait until it answers. Raises `UnavailableError` with its own words where it does not."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    log = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        process = proc.start(
            command(home, serving),
            env={**proc.base_environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    finally:
        os.close(log)
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        found = find(home)
        if found and found.url:
            return found
        time.sleep(_LOOK)
    proc.kill(process)
    words = (home / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip()
    raise UnavailableError("the controller did not start", details=words[-2000:], resolution=f"See {home / LOG_FILE}.")


def stop(home: Path) -> bool:
    """End it and wait until it has ended; whether there was one. Builds on agents go on."""
    found = find(home)
    if found is None:
        return False
    try:
        process = os.pidfd_open(found.pid)
    except ProcessLookupError:
        return find(home) is None  # it is ending by itself
    ended = select.poll()
    ended.register(process, select.POLLIN)
    deadline = time.monotonic() + _PATIENCE
    try:
        while find(home) is not None:  # whose number it still is
            # Again and again: one that is about to take its own place overlooks a signal.
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if ended.poll(_AGAIN * 1000):
                break
            if time.monotonic() > deadline:
                raise UnavailableError(f"the controller, process {found.pid}, does not end", resolution="Kill it.")
        ended.poll(_PATIENCE * 1000)
    finally:
        os.close(process)
    return True
