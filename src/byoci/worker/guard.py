"""The guard: a small process that starts every sandbox of one byoci process, and sees that none outlives it.

bubblewrap's own `--die-with-parent` leaves gaps: it follows the thread that started it, it is set a moment after the
start, and a sandbox whose outer half dies early waits for ever. The guard closes them. It has one thread, forks from a
small address space, is the subreaper of all that it starts, and holds one end of a socket per sandbox whose other end
byoci holds: when that end closes, for whatever reason, it kills the sandbox and every process that was left of it.

It runs as `python -I -S` with byoci's source folder as its only addition to the path, so it imports nothing but the
standard library and this module.

Protocol, over a SOCK_SEQPACKET socket: a request is one packet of one byte with at least two descriptors: the
sandbox's life socket, a file with a JSON object (the fields of `Request`), then the descriptors that the program gets
as its own 1, 2, 3 and so on (0 is /dev/null). Answers come on the life socket, a JSON object a packet:
`{"error": TEXT}` where the program could not be started, `{"status": N}` (a wait status) when it has ended and nothing
is left of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:  # the guard stays small: each page that it has costs time in each of its forks
    from typing import NoReturn, TypedDict

    class Request(TypedDict):
        """What to start.

        uid      user and group to become, with no other groups, before the program starts; None: stay who one is
        cgroups  folders whose `cgroup.procs` the program joins first
        rlimits  pairs of a number of `resource` and a value, for both limits
        """

        argv: list[str]
        env: dict[str, str]
        uid: int | None
        cgroups: list[str]
        rlimits: list[tuple[int, int]]


_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_MAX_FDS = 32
_HIGH_FD = 100  # received descriptors are moved up here, out of the way of their final places
_prctl = ctypes.CDLL(None).prctl


class _Sandbox:
    __slots__ = ("life", "orphans", "pid", "status")

    def __init__(self, life: socket.socket, pid: int) -> None:
        self.life = life
        self.pid = pid
        self.status: int | None = None
        self.orphans: set[int] = set()


class Guard:
    """The loop: take requests, reap, and kill what lost its life line."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._sandboxes: dict[int, _Sandbox] = {}
        self._by_pid: dict[int, _Sandbox] = {}
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children = f"/proc/self/task/{os.getpid()}/children"

    def serve(self) -> None:
        """Serve until byoci is gone and everything that it started as well."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._poll.register(wake_read, select.POLLIN)
        while self._control is not None or self._sandboxes:
            for fd, _ in self._poll.poll():
                if fd == wake_read:
                    os.read(wake_read, 4096)
                elif self._control is not None and fd == self._control.fileno():
                    self._take()
                elif fd in self._sandboxes:
                    self._kill(self._sandboxes[fd])
            self._reap()

    def _take(self) -> None:
        assert self._control is not None
        data, fds, _, _ = socket.recv_fds(self._control, 1, _MAX_FDS)
        if not data:
            self._poll.unregister(self._control)
            self._control.close()
            self._control = None
            for sandbox in self._sandboxes.values():
                self._kill(sandbox)
            return
        life = socket.socket(fileno=fds[0])
        try:
            with open(fds[1], encoding="utf-8") as file:  # noqa: PTH123 -- a descriptor
                request: Request = json.load(file)
            guard = os.getpid()
            pid = os.fork()
            if pid == 0:
                _become(request, fds[2:], life, guard)
        except OSError as error:
            with contextlib.suppress(OSError):
                life.send(json.dumps({"error": str(error)}).encode())
            life.close()
            return
        finally:
            for fd in fds[2:]:
                os.close(fd)
        sandbox = _Sandbox(life, pid)
        self._sandboxes[life.fileno()] = self._by_pid[pid] = sandbox
        self._poll.register(life, select.POLLIN)

    def _kill(self, sandbox: _Sandbox) -> None:
        with contextlib.suppress(KeyError):
            self._poll.unregister(sandbox.life)  # its end is known; it would wake us again and again
        for pid in (sandbox.pid, *sandbox.orphans):
            if pid != sandbox.pid or sandbox.status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            sandbox = self._by_pid.pop(pid, None)
            if sandbox is not None:
                sandbox.status = status
            for other in self._sandboxes.values():
                other.orphans.discard(pid)
        for sandbox in [s for s in self._sandboxes.values() if s.status is not None]:
            self._finish(sandbox)

    def _finish(self, sandbox: _Sandbox) -> None:
        """Once the program itself has ended: kill whatever it left, and tell byoci when nothing is left."""
        if not sandbox.orphans:
            # What is our child, yet was not started by us, was left to us by a program that died.
            with open(self._children, "rb") as file:  # noqa: PTH123 -- on the way of every worker
                sandbox.orphans = {pid for pid in map(int, file.read().split()) if pid not in self._by_pid}
            for pid in sandbox.orphans:
                os.kill(pid, signal.SIGKILL)
        if sandbox.orphans:
            return
        fd = sandbox.life.fileno()
        with contextlib.suppress(KeyError):
            self._poll.unregister(fd)
        with contextlib.suppress(OSError):
            sandbox.life.send(json.dumps({"status": sandbox.status}).encode())
        sandbox.life.close()
        del self._sandboxes[fd]


def _become(request: Request, fds: list[int], life: socket.socket, guard: int) -> NoReturn:
    """In the forked child: turn into the program, or tell why not."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setsid()
        for folder in request["cgroups"]:
            with open(f"{folder}/cgroup.procs", "wb", buffering=0) as file:  # noqa: PTH123 -- pathlib is not loaded here
                file.write(b"0")
        for number, value in request["rlimits"]:
            _limit(number, value)
        if request["uid"] is not None:
            os.setgroups([])
            os.setresgid(request["uid"], request["uid"], request["uid"])
            os.setresuid(request["uid"], request["uid"], request["uid"])
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:
            os._exit(127)
        sources = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD) for fd in (os.open(os.devnull, os.O_RDONLY), *fds)]
        for target, fd in enumerate(sources):
            os.dup2(fd, target)
        os.umask(0o022)
        os.chdir("/")
        os.execve(request["argv"][0], request["argv"], request["env"])  # noqa: S606 -- that is what it is for
    except BaseException as error:  # noqa: BLE001 -- nothing may escape into the guard's own loop
        with contextlib.suppress(OSError):
            life.send(json.dumps({"error": f"{request['argv'][0]}: {error}"}).encode())
    os._exit(127)


def _limit(number: int, value: int) -> None:
    """Set both limits, to what is allowed at most where the system's own limit is lower."""
    hard = resource.getrlimit(number)[1]
    lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(number, (lower, lower))


def main(fd: int) -> None:
    """Run as the guard whose requests come from descriptor `fd`."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    Guard(socket.socket(fileno=fd)).serve()
