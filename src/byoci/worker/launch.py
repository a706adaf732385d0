"""byoci's side of the guard: start a sandbox, and hold its life line."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import marshal
import os
import select
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.errors import UnavailableError
from byoci.worker import tree

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from io import FileIO

    from byoci.worker.guard import Request

_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1])\n"
    "from byoci.worker import guard; guard.main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])"
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
        kind, text = self._answer()
        return int(text) if kind == b"pid" else None

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

    def _answer(self) -> tuple[bytes, bytes]:
        kind, _, text = (self._life.recv(65536) or b"error the worker's guard is gone").partition(b" ")
        if kind == b"error":
            raise UnavailableError("the sandbox could not be started", details=os.fsdecode(text))
        if kind == b"end":
            status, _, told = text.partition(b" ")
            self._end = End(int(status), _code(told))
        return kind, text

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
                if not answer or answer.startswith(b"end "):
                    return
        raise UnavailableError(
            "a worker's process cannot be ended",
            details=f"it was killed {_END_SECONDS:g} s ago and is still there",
            resolution="Look for processes in uninterruptible sleep (state D), often a broken disk or mount.",
        )


def _code(told: bytes) -> int | None:
    """The command's exit code, from what bubblewrap told of itself: JSON objects, a line each."""
    for line in told.splitlines():
        if b'"exit-code"' in line and line.endswith(b"}"):
            return int(json.loads(line)["exit-code"])
    return None


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
            folders = [(stack.enter_context(tree.opened(source)), source, target) for source, target in binds]
            arguments = [str(word) for word in (theirs.fileno(), uid, *itertools.chain(*folders))]
            self._process: subprocess.Popen[bytes] = proc.start(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(Path(__file__).parents[2]), *arguments],
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
                body = marshal.dumps({**request, "cgroups": len(cgroups)})
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
