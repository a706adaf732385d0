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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from byoci import proc
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from byoci.worker.guard import Request

_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from byoci.worker import guard; guard.main(*map(int, sys.argv[2:]))"
)
_END_SECONDS: Final = 60.0  # how long a killed sandbox may take to be gone; more means a process the kernel cannot end


@dataclass(frozen=True, slots=True)
class End:
    """How a sandbox ended.

    status  the started program's wait status (`os.waitstatus_to_exitcode`)
    code    the exit code of the command within; None where it was never started
    """

    status: int
    code: int | None


class Sandbox:
    """A started sandbox. It lives until its program ends, until `kill`, or until this process is gone."""

    def __init__(self, life: socket.socket) -> None:
        self._life = life

    def fileno(self) -> int:
        """The descriptor that becomes readable when the sandbox has ended and nothing is left of it."""
        return self._life.fileno()

    def waiting(self) -> int:
        """The pid of the first process of a sandbox that was told to `wait`: it is set up, and runs nothing yet."""
        return int(self._answer()["pid"])

    def go(self) -> None:
        """Let a waiting sandbox run its command."""
        self._life.send(b"+")

    def kill(self) -> None:
        """End it with all its processes; `end` tells when they are gone. Safe to repeat."""
        with contextlib.suppress(OSError):
            self._life.shutdown(socket.SHUT_WR)

    def end(self) -> End:
        """Wait until nothing is left of the sandbox.

        Raises `UnavailableError` where the program could not be started or the guard is gone.
        """
        try:
            answer = self._answer()
        finally:
            self._life.close()
        return End(answer["status"], answer["code"])

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._life.recv(65536) or b'{"error": "the worker\'s guard is gone"}')
        if "error" in answer:
            raise UnavailableError("the sandbox could not be started", details=answer["error"])
        return answer

    def close(self) -> None:
        """Kill it where it still runs, and wait for its end. Safe to repeat."""
        if self._life.fileno() < 0:
            return
        self.kill()
        poll = select.poll()
        poll.register(self._life, select.POLLIN)
        try:
            while poll.poll(_END_SECONDS * 1000):
                answer = self._life.recv(65536)
                if not answer or b'"status"' in answer:
                    return
        finally:
            self._life.close()
        raise UnavailableError(
            "a worker's process cannot be ended",
            details=f"it was killed {_END_SECONDS:g} s ago and is still there",
            resolution="Look for processes in uninterruptible sleep (state D), often a broken disk or mount.",
        )


class Guard:
    """The guard process of this process for workers that run as user `uid`."""

    def __init__(self, uid: int) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            source = str(Path(__file__).parents[2])
            self._process: subprocess.Popen[bytes] = proc.start(
                [sys.executable, "-I", "-S", "-c", _BOOT, source, str(theirs.fileno()), str(uid)],
                env=proc.base_environment(),
                stdout=2,
                stderr=2,
                pass_fds=(theirs.fileno(),),
            )
        atexit.register(self.close)

    @property
    def usable(self) -> bool:
        """Whether it still runs, and was started by this very process."""
        return self._owner == os.getpid() and self._process.poll() is None

    def start(self, request: Request, cgroups: Sequence[int], fds: Sequence[int]) -> Sandbox:
        """Start a program; it gets `fds` as its descriptors 1, 2, 3 and so on, and what `Request` tells."""
        life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                body = json.dumps({**request, "cgroups": len(cgroups)}).encode()
                with self._lock:
                    socket.send_fds(self._control, [body], [theirs.fileno(), *cgroups, *fds])
            except OSError as error:
                life.close()
                raise UnavailableError("the sandbox could not be started", details=str(error)) from error
        return Sandbox(life)

    def close(self) -> None:
        """End it, and all that it started."""
        self._control.close()
        if self._owner == os.getpid():
            self._process.wait()


_guards: dict[int, Guard] = {}
_lock = threading.Lock()


def guard(uid: int) -> Guard:
    """The guard of this process for workers that run as `uid`; started when first needed."""
    with _lock:
        found = _guards.get(uid)
        if found is None or not found.usable:
            if found is not None:
                found.close()
            found = _guards[uid] = Guard(uid)
        return found
