"""Run one command in one sandbox, from its start to the end of its last process."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import select
import shutil
import time
from io import FileIO
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ProgramMissingError, UnsealableError
from byoci.worker import cgroup, launch, network, sandbox_args, seccomp, unsealable
from byoci.worker.base import ExitStatus
from byoci.worker.supervise import Supervision
from byoci.worker.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from byoci.worker.base import Limits
    from byoci.worker.guard import Request
    from byoci.worker.sandbox_args import Box

_KILLED: Final = 128 + 9
_FILES: Final = 4096  # descriptors a process
_TAIL: Final = 2000  # bytes of a failed start's output that an error shows
_CONNECT_SECONDS: Final = 20.0


def run(
    box: Box,
    guard: launch.Guard,
    watched: Sequence[Path],
    on_output: Callable[[bytes], None],
    started: Callable[[launch.Sandbox], None],
) -> ExitStatus:
    """Run `box.command`; see `Worker.run`.

    watched  the folders on disk that it may fill
    started  told of the sandbox, so that somebody else may kill it
    """
    begun = time.monotonic()
    tail = Tail(on_output)
    home = cgroup.home()
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(cgroup.lent(home, box.limits)) if home else None
        watcher = Watcher(watched, box.limits, group, memory=sandbox_args.in_memory(box))
        watcher.start()
        output, output_end = _pipe(stack)
        stage = _Stage(stack) if box.staged else None
        sandbox = _start(stack, box, guard, group, output_end, stage)
        started(sandbox)
        if stage is not None and box.network:
            stage.connect(guard)
        if group is None:
            watcher.pid = sandbox.waiting()
            sandbox.go()
        exceeded = Supervision(sandbox, output.fileno(), box.limits, watcher.exceeded).watch(tail)
        code = sandbox.end().code
        if exceeded is None and code != 0:
            exceeded = watcher.exceeded()
    if exceeded is not None:
        code = _KILLED
    elif code is None:
        raise unsealable.explained(tail.text())
    return ExitStatus(code, exceeded, time.monotonic() - begun)


def _start(
    stack: contextlib.ExitStack,
    box: Box,
    guard: launch.Guard,
    group: cgroup.Group | None,
    output: FileIO,
    stage: _Stage | None,
) -> launch.Sandbox:
    """Start the sandbox; its end is on the stack, and `output` is closed on our side."""
    if box.network:
        network.program()  # what is missing is told before anything starts
    request: Request = {
        "argv": sandbox_args.command(box, bwrap(), wait=group is None),
        "last": sandbox_args.last_options(box),
        "env": {},
        "base": str(box.scratch or "/"),
        "mounts": [] if box.by_stage else sandbox_args.mounts(box),
        "cgroups": 0,
        "passing": group is not None and group.passable,
        "rlimits": _rlimits(box.limits, grouped=group is not None),
        # Counted within the worker's own user namespace, so the user's other processes do not matter.
        "inner": [] if group else [(resource.RLIMIT_NPROC, box.limits.processes + 1)],
        "wait": group is None,
        "stdin": box.stdin is not None,
    }
    given = [FileIO(box.stdin, "rb", closefd=False)] if box.stdin is not None else []
    given += [output, output, _memory_file(stack, sandbox_args.options(box)), _memory_file(stack, seccomp.program())]
    if stage is not None:
        given += stage.theirs
    given += [_memory_file(stack, content) for content in box.credentials.values()]
    sandbox = guard.start(request, group.doors() if group else (), given)
    stack.callback(sandbox.close)
    for file in (output, *(stage.theirs if stage is not None else ())):
        file.close()
    return sandbox


class _Stage:
    """Our ends of what is said with a sandbox's stage, before its command runs."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._pid, pid_end = _pipe(stack)
        go_end, self._go = _pipe(stack)
        self.theirs = (pid_end, go_end)

    def connect(self, guard: launch.Guard) -> None:
        """Once the stage is there, connect its network for as long as the stack stands, and let it go on."""
        line = self._pid.readline()
        if not line:
            return  # it has ended already, and its output tells why
        path = network.program()
        ready, ready_end = _pipe(self._stack)
        os.fchown(ready_end.fileno(), guard.uid, guard.uid)  # pasta opens it by a name
        said, said_end = _pipe(self._stack)
        request: Request = {
            "argv": network.connecting(path, int(line), 3),
            "last": [],
            "env": proc.base_environment() | {"PATH": sandbox_args.PATH},
            "base": "/",
            "mounts": [],
            "cgroups": 0,
            "passing": False,
            "rlimits": [],
            "inner": [],
            "wait": False,
            "stdin": False,
        }
        program = guard.start(request, (), (said_end, said_end, ready_end))
        self._stack.callback(program.close)
        ready_end.close()
        said_end.close()
        poll = select.poll()
        poll.register(ready, select.POLLIN)
        if not (poll.poll(_CONNECT_SECONDS * 1000) and ready.read(100)):
            program.close()
            raise UnsealableError(
                "a worker's network could not be made",
                details=f"{path}: {(said.read(_TAIL) or b'').decode('utf-8', 'replace').strip()}",
                resolution="Every user must be able to open /dev/net/tun: chmod 0666 /dev/net/tun",
            )
        self._go.write(b"\n")


class Tail:
    """Hands output on and remembers the end of it."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._last = b""

    def __call__(self, chunk: bytes) -> None:
        """Hand a piece on."""
        self._last = (self._last + chunk)[-_TAIL:]
        self._on_output(chunk)

    def text(self) -> str:
        """The last of it."""
        return self._last.decode("utf-8", "replace").strip()


def _pipe(stack: contextlib.ExitStack) -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    return stack.enter_context(FileIO(reading, "rb")), stack.enter_context(FileIO(writing, "wb"))


def _memory_file(stack: contextlib.ExitStack, content: bytes) -> FileIO:
    file = stack.enter_context(FileIO(os.memfd_create("byoci"), "r+b"))
    file.write(content)
    file.seek(0)
    return file


def _rlimits(limits: Limits, *, grouped: bool) -> list[tuple[int, int]]:
    """Limits of each process; on memory too where there is no control group for all together."""
    memory = [] if grouped else [(resource.RLIMIT_DATA, limits.memory)]
    files = [(resource.RLIMIT_NOFILE, _FILES), (resource.RLIMIT_FSIZE, limits.disk)]
    return [(resource.RLIMIT_CORE, 0), *files, *memory]


@functools.cache
def bwrap() -> str:
    """The path of bubblewrap; `ProgramMissingError` where it is not installed."""
    path = shutil.which("bwrap", path=proc.SEARCH_PATH)
    if path is None:
        raise ProgramMissingError("bwrap is not installed", resolution="Install the system package bubblewrap.")
    return path
