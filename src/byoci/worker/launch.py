"""byoci's side of the guard: start a sandbox, and hold its life line."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from byoci.worker.guard import Request

_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from byoci.worker import guard; guard.main(int(sys.argv[2]))"
_END_SECONDS: Final = 60.0  # how long a killed sandbox may take to be gone; more means a process the kernel cannot end


class Sandbox:
    """A started sandbox. It lives until its program ends, until `kill`, or until this process is gone."""

    def __init__(self, life: socket.socket) -> None:
        self._life = life
        self._status: int | None = None

    def fileno(self) -> int:
        """The descriptor that becomes readable when the sandbox has ended and nothing is left of it."""
        return self._life.fileno()

    def kill(self) -> None:
        """End it with all its processes; `wait` tells when they are gone. Safe to repeat."""
        with contextlib.suppress(OSError):
            self._life.shutdown(socket.SHUT_WR)

    def wait(self) -> int:
        """The program's wait status (`os.waitstatus_to_exitcode`), once nothing is left of the sandbox.

        Raises `UnavailableError` where the program could not be started or the guard is gone.
        """
        if self._status is None:
            answer = json.loads(self._life.recv(65536) or b"{}")
            self._life.close()
            if "status" not in answer:
                raise UnavailableError(
                    "the sandbox could not be started", details=answer.get("error", "the worker's guard is gone")
                )
            self._status = int(answer["status"])
        return self._status

    def close(self) -> None:
        """Kill it where it still runs, and wait for its end. Safe to repeat."""
        if self._life.fileno() < 0:
            return
        self.kill()
        readable, _, _ = select.select([self._life], [], [], _END_SECONDS)
        if not readable:
            self._life.close()
            raise UnavailableError(
                "a worker's process cannot be ended",
                details=f"it was killed {_END_SECONDS:g} s ago and is still there",
                resolution="Look for processes in uninterruptible sleep (state D), often a broken disk or mount.",
            )
        with contextlib.suppress(UnavailableError):
            self.wait()
        self._life.close()


class _Guard:
    """The guard process of this process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            source = str(Path(__file__).parents[2])
            self.process: subprocess.Popen[bytes] = proc.start(
                [sys.executable, "-I", "-S", "-c", _BOOT, source, str(theirs.fileno())],
                env=proc.base_environment(),
                stdout=2,
                stderr=2,
                pass_fds=(theirs.fileno(),),
            )

    def usable(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    def close(self) -> None:
        self.control.close()
        if self.owner == os.getpid():
            self.process.wait()


_lock = threading.Lock()
_guard: _Guard | None = None


def _the_guard() -> _Guard:
    global _guard  # noqa: PLW0603 -- one a process, started when first needed
    if _guard is None or not _guard.usable():
        if _guard is not None:
            _guard.close()
        _guard = _Guard()
        atexit.register(_guard.close)
    return _guard


def start(request: Request, fds: Sequence[int]) -> Sandbox:
    """Start a program under the guard; it gets `fds` as its descriptors 1, 2, 3 and so on, and /dev/null as 0."""
    life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    body = os.memfd_create("byoci-request")
    try:
        os.write(body, json.dumps(request).encode())
        os.lseek(body, 0, os.SEEK_SET)
        with _lock:
            socket.send_fds(_the_guard().control, [b"+"], [theirs.fileno(), body, *fds])
    except OSError as error:
        life.close()
        raise UnavailableError("the worker's guard is gone", details=str(error)) from error
    finally:
        os.close(body)
        theirs.close()
    return Sandbox(life)
