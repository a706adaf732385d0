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

from byoci import effects, proc
from byoci.errors import UnavailableError
from byoci.worker import tree

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from io import FileIO

    from byoci.worker.guard import Request

_BOOT: Final = (
    "import json, sys; sys.path.append(sys.argv[1])\n"
    "from byoci.worker import guard; guard.main(*json.loads(sys.argv[2]))"
)
_GUARD = effects.declare(
    "worker.guard",
    "the process that starts sandboxes is started",
    half="It ends with byoci.",
    done="It ends with byoci.",
)
_START = effects.declare(
    "worker.start",
    "a sandbox is started",
    half="Its guard ends it, with all that it started.",
    done="Its guard ends it, with all that it started.",
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
        self._end: End | None = None

    def fileno(self) -> int:
        """The descriptor that becomes readable when the sandbox has ended and nothing is left of it."""
        return self._life.fileno()

    def waiting(self) -> int | None:
        """The pid of the first process of a sandbox that was told to `wait`: it is set up, and runs nothing yet.

        None where it ended before it came to that.
        """
        answer = self._answer()
        return int(answer["pid"]) if "pid" in answer else None

    def go(self) -> None:
        """Let a waiting sandbox run its command."""
        with contextlib.suppress(OSError):  # it was killed meanwhile
            self._life.send(b"+")

    def kill(self) -> None:
        """End it with all its processes; `end` tells when they are gone. Safe to repeat."""
        with contextlib.suppress(OSError):
            self._life.shutdown(socket.SHUT_WR)

    def end(self) -> End:
        """Wait until nothing is left of the sandbox.

        Raises `UnavailableError` where the program could not be started or the guard is gone.
        """
        while self._end is None:
            self._answer()
        return self._end

    def _answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._life.recv(65536) or b'{"error": "the worker\'s guard is gone"}')
        if "error" in answer:
            raise UnavailableError("the sandbox could not be started", details=answer["error"])
        if "status" in answer:
            self._end = End(answer["status"], answer["code"])
        return answer

    def close(self) -> None:
        """Kill it where it still runs, and wait for its end. Safe to repeat."""
        if self._life.fileno() < 0:
            return
        with self._life:
            if self._end is not None:
                return
            self.kill()
            poll = select.poll()
            poll.register(self._life, select.POLLIN)
            while poll.poll(_END_SECONDS * 1000):
                answer = self._life.recv(65536)
                if not answer or b'"status"' in answer:
                    return
        raise UnavailableError(
            "a worker's process cannot be ended",
            details=f"it was killed {_END_SECONDS:g} s ago and is still there",
            resolution="Look for processes in uninterruptible sleep (state D), often a broken disk or mount.",
        )


class Guard:
    """The guard process of this process for workers that run as user and group `uid`.

    binds  folders, and where the guard's sandboxes find them; for root only
    """

    def __init__(self, uid: int, binds: Sequence[tuple[Path, Path]] = ()) -> None:
        self.uid = uid
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with _GUARD, contextlib.ExitStack() as stack:
            stack.enter_context(theirs)
            folders = [(stack.enter_context(tree.opened(source)), str(source), str(target)) for source, target in binds]
            arguments = json.dumps([theirs.fileno(), uid, folders])
            self._process: subprocess.Popen[bytes] = proc.start(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(__file__).parents[2]), arguments],
                env=proc.base_environment(),
                stdout=2,
                stderr=2,
                pass_fds=(theirs.fileno(), *(fd for fd, _, _ in folders)),
            )
        atexit.register(self.close)

    @property
    def usable(self) -> bool:
        """Whether it still runs, and was started by this very process."""
        return self._owner == os.getpid() and self._process.poll() is None

    @_START
    def start(self, request: Request, cgroups: Sequence[FileIO], files: Sequence[FileIO]) -> Sandbox:
        """Start a program; it gets `files` as its descriptors 1, 2, 3 and so on, and what `Request` tells."""
        life, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                body = json.dumps({**request, "cgroups": len(cgroups)}).encode()
                with self._lock:
                    fds = [theirs.fileno(), *(file.fileno() for file in (*cgroups, *files))]
                    socket.send_fds(self._control, [body], fds)
            except OSError as error:
                life.close()
                raise UnavailableError("the sandbox could not be started", details=str(error)) from error
        return Sandbox(life)

    def close(self) -> None:
        """End it, and all that it started. Safe to repeat."""
        self._control.close()
        if self._owner == os.getpid():
            self._process.wait()
            atexit.unregister(self.close)


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
