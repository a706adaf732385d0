"""Servers in the background: started, found and ended by whoever may read their state folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci import durable, proc
from byoci.errors import UnavailableError
from byoci.web.serving import ADDRESS_FILE, PID_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOG_FILE: Final = "log"
_MARK_FILE: Final = "started-as"
_PATIENCE: Final = 30.0  # seconds for it to start, or to end
_LOOK: Final = 0.02  # seconds between looks
_AGAIN: Final = 1.0  # seconds between signals
_HANDED_ON: Final = ("HOME", "USER", "LOGNAME", "SHELL", "LANG", "XDG_RUNTIME_DIR")


@dataclass(frozen=True, slots=True)
class Found:
    """A server that runs; `url` is "" while it starts."""

    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class Program:
    """How a server is started.

    what         what people call it
    environment  in addition to what every program of a person gets
    made_of      what it reads at its start, as text: one that was made of something else has to be started again
    """

    what: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    made_of: str = ""

    @property
    def mark(self) -> str:
        """A digest of all that it is made of, which may hold secrets."""
        parts = (*self.argv, *(f"{name}={value}" for name, value in sorted(self.environment.items())), self.made_of)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def find(home: Path) -> Found | None:
    """The server that has this state folder; None where none does."""
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


def is_as_started(home: Path, mark: str) -> bool:
    """Whether what `start` started last in this folder had this mark."""
    path = home / _MARK_FILE
    return path.exists() and path.read_text(encoding="ascii") == mark


def start(home: Path, program: Program, mark: str = "") -> Found:
    """Start it and wait until it answers. Raises `UnavailableError` with its own words where it does not.

    mark  by which `is_as_started` knows it again; "": the program's own
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / ADDRESS_FILE).unlink(missing_ok=True)
    durable.replace(home / _MARK_FILE, (mark or program.mark).encode())
    log = os.open(home / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        process = proc.start(
            program.argv,
            env={**proc.base_environment(), **environment, **program.environment},
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
            process.returncode = 0  # it is not ours to wait for any more
            return found
        time.sleep(_LOOK)
    proc.kill(process)
    words = (home / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip()
    raise UnavailableError(
        f"the {program.what} did not start", details=words[-2000:], resolution=f"See {home / LOG_FILE}."
    )


def stop(home: Path, what: str) -> bool:
    """End the server and wait until it has ended; whether there was one."""
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
                raise UnavailableError(f"the {what}, process {found.pid}, does not end", resolution="Kill it.")
        ended.poll(_PATIENCE * 1000)
        with contextlib.suppress(ChildProcessError):  # another process than this one may have started it
            os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG)
    finally:
        os.close(process)
    return True
