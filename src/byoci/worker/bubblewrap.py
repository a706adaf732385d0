"""Workers in bubblewrap: Linux namespaces, made without any privilege, by a program that distributions package."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import resource
import shutil
import threading
import time
from io import FileIO
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ProgramMissingError, UnsealableError, UsageError
from byoci.worker import cgroup, folders, images, launch, sandbox_args, seccomp, tree
from byoci.worker.base import ExitStatus
from byoci.worker.supervise import Supervision
from byoci.worker.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from byoci.worker.base import Limits, Setup
    from byoci.worker.guard import Request

_DESCRIPTORS: Final = ("--args", "3", "--seccomp", "4", "--json-status-fd", "{status}", "--block-fd", "{block}", "--")
_KILLED: Final = 128 + 9
_FILES: Final = 4096  # descriptors a process
_TAIL: Final = 2000  # bytes of a failed start's output that an error shows


class BubblewrapWorker:
    """A worker (`byoci.worker.base.Worker`) in bubblewrap.

    state  the site's state folder, `$BYOCI_HOME/NAMESPACE`
    """

    def __init__(self, state: Path) -> None:
        self._base = folders.base_of(state)
        self._folder = _session(self._base).new_worker()
        self._image: images.Image | None = None
        self._sandbox: launch.Sandbox | None = None
        self._workspaces = 0

    def prepare(self, image: str, setup: Setup | None, on_output: Callable[[bytes], None]) -> None:  # noqa: ARG002
        """See `Worker.prepare`."""
        self._image = images.load(image, self._base.path)
        if setup is not None:
            raise NotImplementedError

    def workspace(self) -> Path:
        """See `Worker.workspace`."""
        self._workspaces += 1
        path = self._folder / f"workspace-{self._workspaces}"
        path.mkdir(mode=0o700)
        return path

    def run(
        self,
        command: str,
        workspace: Path,
        limits: Limits,
        on_output: Callable[[bytes], None],
        *,
        network: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> ExitStatus:
        """See `Worker.run`."""
        if self._image is None:
            raise UsageError("prepare the worker first")
        if network:
            raise NotImplementedError
        self._hand_over(workspace)
        variables = sandbox_args.environment(self._image) | dict(environment or {})
        options = sandbox_args.options(self._image, workspace, variables, limits.memory)
        home = cgroup.home()
        with contextlib.ExitStack() as stack:
            group = stack.enter_context(contextlib.closing(cgroup.Group(home, limits))) if home else None
            arguments = _memory_file(stack, b"".join(os.fsencode(option) + b"\0" for option in options))
            rules = _memory_file(stack, seccomp.program())
            request: Request = {
                "argv": [_bwrap(), *_DESCRIPTORS, *self._image.shell, command],
                "env": {},
                "cgroups": 0,
                "rlimits": _rlimits(limits, grouped=group is not None),
                "wait": group is None,
            }
            watcher = Watcher((self._folder, workspace), limits, group)
            watcher.start()
            return self._supervised(request, (arguments, rules), watcher, on_output)

    def _supervised(
        self,
        request: Request,
        inherited: Sequence[FileIO],
        watcher: Watcher,
        on_output: Callable[[bytes], None],
    ) -> ExitStatus:
        """Run a prepared sandbox under its limits; `inherited` become its descriptors from 3 on."""
        started = time.monotonic()
        group = watcher.group
        with contextlib.ExitStack() as stack:
            output, output_end = _pipe(stack)
            entrances = [stack.enter_context(file) for file in group.entrances()] if group else []
            sandbox = launch.guard(self._base.owner).start(
                request,
                [file.fileno() for file in entrances],
                [file.fileno() for file in (output_end, output_end, *inherited)],
            )
            stack.callback(sandbox.close)
            output_end.close()
            if request["wait"]:
                watcher.pid = sandbox.waiting()
                sandbox.go()
            last = _Tail(on_output)
            exceeded = Supervision(sandbox, output.fileno(), watcher.limits, watcher.exceeded).watch(last)
            code = sandbox.end().code
            if exceeded is None and code != 0:
                exceeded = watcher.exceeded()
        if exceeded is not None:
            code = _KILLED
        elif code is None:
            raise UnsealableError("the sandbox could not be made", details=last.text())
        return ExitStatus(code, exceeded, time.monotonic() - started)

    def _hand_over(self, workspace: Path) -> None:
        with tree.opened(workspace) as fd:
            if self._base.uid is not None:
                tree.hand_over(fd, self._base.uid)

    def destroy(self) -> None:
        """See `Worker.destroy`."""
        tree.remove(self._folder)


class _Tail:
    """Hands output on and remembers the end of it."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._last = b""

    def __call__(self, chunk: bytes) -> None:
        self._last = (self._last + chunk)[-_TAIL:]
        self._on_output(chunk)

    def text(self) -> str:
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
    """Limits of each process; on memory and processes too where there is no control group for all together."""
    rlimits = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, _FILES), (resource.RLIMIT_FSIZE, limits.disk)]
    if not grouped:
        # Counted within the worker's own user namespace, so the user's other processes do not matter.
        rlimits += [(resource.RLIMIT_DATA, limits.memory), (resource.RLIMIT_NPROC, limits.processes + 1)]
    return rlimits


@functools.cache
def _bwrap() -> str:
    path = shutil.which("bwrap", path=proc.SEARCH_PATH)
    if path is None:
        raise ProgramMissingError("bwrap is not installed", resolution="Install the system package bubblewrap.")
    return path


_sessions: dict[tuple[int, Path], folders.Session] = {}
_lock = threading.Lock()


def _session(base: folders.Base) -> folders.Session:
    """The folder of this process below `base`."""
    with _lock:
        key = (os.getpid(), base.path)
        if key not in _sessions or not _sessions[key].path.exists():
            _sessions[key] = folders.Session(base)
            atexit.register(_sessions[key].close)
        return _sessions[key]
