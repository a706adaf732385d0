"""The guard: a small process that starts every sandbox of one byoci process, and sees that none outlives it.

bubblewrap's own `--die-with-parent` leaves gaps: it follows the thread that started it, it is set a moment after the
start, and a sandbox whose outer half dies early waits for ever. The guard closes them. It has one thread, is the
subreaper of all that it starts, and holds one end of a socket per sandbox whose other end byoci holds: when that end
closes, for whatever reason, it kills the sandbox and every process that was left of it.

It runs as `python -I -S` with byoci's source folder as its only addition to the path, so it imports nothing but the
standard library, this module and `mounts`; and as the workers' own user, so that it has no right that they lack.

Protocol, over a SOCK_SEQPACKET socket: a request is one packet, a `Request` as `marshal` writes it, since both ends are
the same Python; json, typing and the socket module would take longer to load than all else here. With it come
descriptors: the sandbox's life socket, as many as `cgroups` says, and those that the program gets as its own 1, 2 and
so on; 0 is /dev/null. The program also gets two pipes, or three: one for its `--json-status-fd`, one that it reads its
last arguments from (`--args`), and where it is to `wait` one for its `--block-fd`. Its limits are set while it waits
for the arguments.

Answers come on the life socket, a packet each: `pid N`, where `wait` asked for that, whereupon one byte of byoci's lets
the first process within go on; `error TEXT` where the program could not be started; at last `end N TOLD` when it has
ended and nothing is left of it: its own exit status, and what it wrote to its `--json-status-fd`.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import gc
import marshal
import os
import resource
import select
import signal
import struct

from byoci.worker import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:  # the guard stays small
    from collections.abc import Callable, Iterator
    from typing import TypedDict

    class Request(TypedDict):
        """What to start.

        argv     where it says "{status}", "{last}" or "{block}", the number of that pipe is put in
        last     its last arguments
        mounts   overlays to be mounted first, as options and place; these are paths from `base`. Then the program is
                 root of a user namespace, whose root is the workers' user outside
        cgroups  how many descriptors are files of control groups
        passing  whether the guard joins the first half of these groups to start the program there, and comes back by
                 the second half; otherwise it moves the program to all of them
        rlimits  pairs of a number of `resource` and a value, for both limits of the program
        inner    the same for the first process in the sandbox; for those that count within its user namespace
        wait     whether byoci lets that process go on, having learned its pid
        stdin    whether the program's descriptor 0 is given, before all others; otherwise it is /dev/null
        """

        argv: list[str]
        last: list[str]
        env: dict[str, str]
        base: str
        mounts: list[tuple[str, str]]
        cgroups: int
        passing: bool
        rlimits: list[tuple[int, int]]
        inner: list[tuple[int, int]]
        wait: bool
        stdin: bool


_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SIGNALS = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT)  # those that Python or we handle otherwise
_MAX_FDS = 32
_MAX_REQUEST = 1 << 18
_FIRST_FD = 64  # the guard's own descriptors begin here, out of the way of the places that programs find theirs at


class _Sandbox:
    """One started program. Its descriptors are closed with it."""

    def __init__(self, life: _socket.socket, request: Request, cgroups: list[int]) -> None:
        self.life = life
        self.request = request
        self.cgroups = cgroups
        self.status_fd, self._status_end = os.pipe2(os.O_CLOEXEC)
        self._last_end, self._last_fd = os.pipe2(os.O_CLOEXEC)
        self._block_end, self._block_fd = os.pipe2(os.O_CLOEXEC) if request["wait"] else (-1, -1)
        self.told = b""
        self.pid = 0
        self.status: int | None = None
        self.orphans: set[int] = set()

    def start(self, fds: list[int], null: int) -> None:
        """Start the program; it waits for its last arguments. `OSError` where it cannot be started."""
        pipes = {"{status}": self._status_end, "{last}": self._last_end}
        if self.request["wait"]:  # who does not ask for it would hand it on
            pipes["{block}"] = self._block_end
        places = [*([] if self.request["stdin"] else [null]), *fds, *pipes.values()]
        numbers = {name: str(number) for number, name in enumerate(pipes, len(places) - len(pipes))}
        argv = [numbers.get(word, word) for word in self.request["argv"]]
        try:
            with self._passing():
                self.pid = self._start_below(argv, places) if self.request["mounts"] else self._start(argv, places)
        finally:
            for fd in pipes.values():
                os.close(fd)

    def _start(self, argv: list[str], fds: list[int]) -> int:
        return os.posix_spawn(
            argv[0],
            argv,
            self.request["env"],
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(fds)],
            setsid=True,
            setsigmask=[],
            setsigdef=_SIGNALS,
        )

    def _start_below(self, argv: list[str], fds: list[int]) -> int:
        """The same, below overlays."""
        failure, failure_end = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                mounts.mount_overlays(self.request["base"], self.request["mounts"])
                for number in _SIGNALS:
                    signal.signal(number, signal.SIG_DFL)
                for place, fd in enumerate(fds):
                    os.dup2(fd, place)
                os.execve(argv[0], argv, self.request["env"])  # noqa: S606 -- it is what was asked for
            except OSError as error:
                os.write(failure_end, os.fsencode(str(error)))
            finally:
                os._exit(127)
        os.close(failure_end)
        with open(failure, "rb") as file:  # noqa: PTH123 -- pathlib is not loaded here
            text = file.read()
        if text:
            os.waitpid(pid, 0)
            raise OSError(os.fsdecode(text))
        return pid

    @contextlib.contextmanager
    def _passing(self) -> Iterator[None]:
        """Be in the program's control groups where it is to start in them, without its having to be moved there."""
        half = len(self.cgroups) // 2 if self.request["passing"] else 0
        try:
            for fd in self.cgroups[:half]:
                os.write(fd, b"0")
            yield
        finally:
            try:
                for fd in self.cgroups[half:] if half else ():
                    os.write(fd, b"0")
            except OSError as error:
                raise SystemExit(f"the guard cannot leave a worker's control group: {error}") from error

    def bind(self) -> None:
        """Set the program's limits, which all that it starts inherits, and let it begin."""
        _set_limits(self.pid, self.request["rlimits"])
        for fd in self.cgroups if not self.request["passing"] else ():
            os.write(fd, b"%d" % self.pid)
        while self.cgroups:
            os.close(self.cgroups.pop())
        with contextlib.suppress(BrokenPipeError):  # it has ended already; what it said tells why
            os.write(self._last_fd, b"".join(os.fsencode(word) + b"\0" for word in self.request["last"]))
        os.close(self._last_fd)
        self._last_fd = -1

    def listen(self) -> bool:
        """Take in what bubblewrap tells of itself, up to the pid of the first process; False: that is to come yet."""
        self.told += os.read(self.status_fd, 4096)
        first, newline, _ = self.told.partition(b"\n")
        if newline:
            _, _, rest = first.partition(b'"child-pid":')
            pid = int(rest.partition(b",")[0].strip(b" }"))
            _set_limits(pid, self.request["inner"])
            self.tell(b"pid %d" % pid)
        return bool(newline)

    def hear(self) -> bool:
        """Whether byoci let the sandbox go on; otherwise it gave it up."""
        with contextlib.suppress(ConnectionResetError):
            if self.life.recv(1):
                os.write(self._block_fd, b"+")
                return True
        return False

    def kill(self) -> None:
        """Kill the program, and whatever was left to us of it."""
        for pid in (self.pid, *self.orphans):
            if pid != self.pid or self.status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Tell how it ended and let go of everything."""
        while chunk := os.read(self.status_fd, 4096):
            self.told += chunk
        assert self.status is not None
        self.tell(b"end %d %s" % (self.status, self.told))
        self.close()

    def tell(self, message: bytes) -> None:
        """Send byoci a message, where it still is there."""
        with contextlib.suppress(OSError):
            self.life.send(message)

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (self.status_fd, self._last_fd, self._block_fd, *self.cgroups):
            if fd >= 0:
                os.close(fd)
        self.life.close()


def _receive(control: _socket.socket, room: bytearray) -> tuple[bytes, list[int]]:
    """A packet, which goes to `room`, and its descriptors, none of which a program inherits but by being given it.

    `socket.recv_fds` of many a Python takes flags and ignores them.
    """
    space = _socket.CMSG_SPACE(_MAX_FDS * struct.calcsize("i"))
    size, ancillary, _, _ = control.recvmsg_into([room], space, _socket.MSG_CMSG_CLOEXEC)
    fds = [fd for _, _, numbers in ancillary for (fd,) in struct.iter_unpack("i", numbers)]
    return bytes(room[:size]), fds


def _make_room() -> int:
    """Take all descriptors below `_FIRST_FD` that are free, so that ours begin there: /dev/null, for ourselves only."""
    fd = os.open(os.devnull, os.O_RDONLY)
    while fd < _FIRST_FD:
        fd = os.dup(fd)
    return fd


def _set_limits(pid: int, rlimits: list[tuple[int, int]]) -> None:
    """Set both limits, to what is allowed at most where the system's own limit is lower."""
    with contextlib.suppress(ProcessLookupError):  # dead already; its end will tell
        for number, value in rlimits:
            hard = resource.prlimit(pid, number)[1]
            lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, number, (lower, lower))


class Guard:
    """The loop: take requests, reap, and kill what lost its life line."""

    def __init__(self, control: _socket.socket) -> None:
        self._control = control
        self._serving = True
        self._sandboxes: dict[int, _Sandbox] = {}  # by the pid that we started
        self._handlers: dict[int, Callable[[], None]] = {}
        self._poll = select.poll()
        self._room = bytearray(_MAX_REQUEST)
        self._null = _make_room()
        self._wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        self._on(self._wake, self._drain)
        self._on(control.fileno(), self._take)

    def serve(self) -> None:
        """Serve until byoci is gone and everything that it started as well."""
        while self._serving or self._sandboxes:
            for fd, _ in self._poll.poll():
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler()
            self._reap()

    def _on(self, fd: int, handler: Callable[[], None]) -> None:
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def _off(self, fd: int) -> None:
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _drain(self) -> None:
        os.read(self._wake, 4096)

    def _take(self) -> None:
        body, fds = _receive(self._control, self._room)
        if not body:
            self._off(self._control.fileno())
            self._serving = False
            for sandbox in self._sandboxes.values():
                sandbox.kill()
            return
        request: Request = marshal.loads(body)  # noqa: S302 -- whoever sends it may start anything here
        given = 1 + request["cgroups"]
        sandbox = _Sandbox(_socket.socket(fileno=fds[0]), request, fds[1:given])
        try:
            sandbox.start(fds[given:], self._null)
        except OSError as error:
            sandbox.tell(os.fsencode(f"error {request['argv'][0]}: {error}"))
            sandbox.close()
            return
        finally:
            for fd in fds[given:]:
                os.close(fd)
        self._sandboxes[sandbox.pid] = sandbox
        self._on(sandbox.life.fileno(), lambda: self._hear(sandbox))
        if request["wait"]:
            self._on(sandbox.status_fd, lambda: self._listen(sandbox))
        self._try(sandbox, sandbox.bind)

    def _hear(self, sandbox: _Sandbox) -> None:
        if not sandbox.hear():
            self._off(sandbox.life.fileno())
            sandbox.kill()

    def _listen(self, sandbox: _Sandbox) -> None:
        def listen() -> None:
            if sandbox.listen():
                self._off(sandbox.status_fd)  # the rest is read at the end

        self._try(sandbox, listen)

    def _try(self, sandbox: _Sandbox, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            sandbox.tell(os.fsencode(f"error its limits could not be set: {error}"))
            sandbox.kill()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for sandbox in self._sandboxes.values():
                sandbox.orphans.discard(pid)
            if pid in self._sandboxes:
                self._sandboxes[pid].status = status
        for sandbox in [s for s in self._sandboxes.values() if s.status is not None and not s.orphans]:
            self._finish(sandbox)

    def _finish(self, sandbox: _Sandbox) -> None:
        """Once the program itself has ended: kill whatever it left, and tell byoci when nothing is left."""
        # What is our child, yet was not started by us, was left to us by a program that died.
        with open("/proc/thread-self/children", "rb") as file:  # noqa: PTH123 -- pathlib is not loaded here
            running = {pid for pid, other in self._sandboxes.items() if other.status is None}
            sandbox.orphans = {int(pid) for pid in file.read().split()} - running
        sandbox.kill()
        if not sandbox.orphans:
            self._off(sandbox.life.fileno())
            self._off(sandbox.status_fd)
            del self._sandboxes[sandbox.pid]
            sandbox.end()


def main(fd: int, uid: int, binds: list[str]) -> None:
    """Run as the guard whose requests come from descriptor `fd`, as user and group `uid`.

    binds  folders that sandboxes find at another path, where `uid` can get at them: of each a descriptor, the path and
           the other path; only root can ask for that
    """
    os.set_inheritable(fd, False)
    if os.getuid() == 0:
        mounts.furnish([(int(binds[at]), binds[at + 1], binds[at + 2]) for at in range(0, len(binds), 3)])
    if os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o022)
    os.chdir("/")
    guard = Guard(_socket.socket(fileno=fd))
    gc.freeze()  # what is there by now stays, so nobody need look at it again and again
    guard.serve()
