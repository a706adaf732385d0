"""The controller in the background: started, found and ended by whoever may read its state folder."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

PID_FILE: Final = "pid"
ADDRESS_FILE: Final = "address"
LOG_FILE: Final = "log"
_PATIENCE: Final = 30.0  # seconds for it to start, or to end
_LOOK: Final = 0.02  # seconds between looks
_HANDED_ON: Final = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "XDG_RUNTIME_DIR")


@dataclass(frozen=True, slots=True)
class Found:
    """A controller that runs; `url` is "" while it starts."""

    pid: int
    url: str


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


def start(home: Path, port: int) -> Found:
    """Start it and wait until it answers. Raises `UnavailableError` with its own words where it does not."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    log = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        process = proc.start(
            [sys.executable, "-I", "-m", "byoci.controller", str(home), str(port)],
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
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while find(home) is not None:
        if time.monotonic() > deadline:
            raise UnavailableError(f"the controller, process {found.pid}, does not end", resolution="Kill it.")
        time.sleep(_LOOK)
    return True
