"""Supervisors: processes of their own on the agent, each of which runs one build at a time.

A supervisor has no parent that matters: whoever started it may be killed, restarted or upgraded, and the build goes on.
When its build has ended it may be given another one, since making a process takes longer than a short build does; where
nobody has another one, or whoever made it is gone, it ends.

It gets its builds through a pipe, each as a line of JSON: the build's folder and its plan. The pipe's end is its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys

from byoci.controller.agentside.build import Build
from byoci.controller.agentside.record import MORE, boot_id, is_stopped, start_of, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from typing import Any

    from byoci.controller.agentside.plan import Plan

_LIBC = ctypes.CDLL(None)  # once, not in every fork
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_IDLE = 8  # supervisors that are kept for builds to come
_LARGE = 1 << 16  # bytes of memory for variables and lists of files; who had a larger end is not kept


class Supervisors:
    """Those whom this server made."""

    def __init__(self) -> None:
        self._busy: dict[str, int] = {}  # a build's folder → the end of its supervisor's pipe
        self._idle: list[int] = []

    def start(self, folder: str, plan: Any) -> None:
        """Have a supervisor run that build: one that has nothing to do, or another one."""
        line = json.dumps([folder, plan]).encode() + b"\n"
        while self._idle:
            pipe = self._idle.pop()
            try:
                _send(pipe, line)
            except BrokenPipeError:
                os.close(pipe)  # somebody killed it
            else:
                self._busy[folder] = pipe
                return
        pipe = self._busy[folder] = _make()
        _send(pipe, line)

    def ended(self, folder: str, status: dict[str, Any]) -> None:
        """A build is over, and its supervisor free, if it is one of these.

        Whoever asks for a build's end leaves a note of it before he sends a signal; so no signal that was meant for one
        build can end another one.
        """
        pipe = self._busy.pop(folder, None)
        if pipe is None:
            return
        small = len(repr(status)) < _LARGE
        if "result" in status and small and not is_stopped(folder) and len(self._idle) < _IDLE:
            self._idle.append(pipe)
        else:
            os.close(pipe)


def _send(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]


def _make() -> int:
    """A process that neither the connection's end nor ours reaches; gives the end of its pipe."""
    theirs, ours = os.pipe()
    if os.fork():  # nobody waits for it: the kernel does, since its end is ignored here
        os.close(theirs)
        return ours
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for place in (0, 1, 2):
            os.dup2(null, place)
        os.dup2(theirs, 3)
        os.closerange(4, min(1 << 16, os.sysconf("SC_OPEN_MAX")))
        os.set_inheritable(3, False)
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _work(3)
    finally:
        os._exit(70)


def _work(pipe: int) -> None:
    """Run builds one after the other; never returns."""
    data = b""
    while True:
        more = os.read(pipe, 1 << 16)
        if not more:
            os._exit(0)
        data += more
        if data.endswith(b"\n"):
            folder, plan = json.loads(data)
            data = b""
            _supervise(folder, plan)


def _supervise(folder: str, plan: Plan) -> None:
    """Run a build to its end; where that fails, this process ends, too."""
    identity = {"boot": boot_id(), "pid": os.getpid(), "start": start_of(os.getpid())}
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # it may be sent once there is a status, not heeded yet
    write_json(f"{folder}/status", dict(identity))
    try:
        build = Build(folder, plan)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        status = build.run()
        write_json(f"{folder}/status", {**identity, **status})
        build.log.wake(MORE)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must be known
        with contextlib.suppress(OSError):  # a full disk: then it is seen that this process is gone
            write_json(f"{folder}/status", {**identity, "error": f"{type(error).__name__}: {error}"})
            with open(f"{folder}/wake", "r+b", buffering=0) as wake:
                wake.write(MORE)
        sys.stderr.flush()
        os._exit(0)
    build.close()
