"""What is to happen to a run, and when: it is seen in the log of `byoci.effects`, and byoci knows nothing of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import gc
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byoci import effects, proc
from byoci.sqlite import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from crash_power import Disk


class Plan:
    """What is to happen to a run, and when: at the `nth` time that the effect `name` begins.

    when   "before", "during" (half-way through what Python does in it, or once it has started a program) or "after"
    do     "kill" the process group, kill the whole "tree" of processes, "tear": the power goes, and of files that
           were written in the effect, or with `act` "all" in the run, only the first part is on the disk; "fail": have
           it, or with "during" what it does to a file in it, fail with `errno`; "limit": with "during", let no file
           get longer than `at` bytes in it, so that programs and databases write the first part of what they write,
           and fail then (setrlimit(2), `RLIMIT_FSIZE`); "jump": move the clock by `seconds`, for which "tree" waits
           first, so that programs get somewhere; "fill": leave no room on the disk; "act": let people do `act`, of
           `crash_people`; "stray": do `act` of `stray`, which is no effect
    at     with "during": the number of the call of a C function within the effect, 0 for when it started a program
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.name: str = told["name"]
        self.nth: int = told["nth"]
        self.when: str = told["when"]
        self.do: str = told.get("do", "kill")
        self.at: int = told.get("at", 1)
        self.errno: int = told.get("errno", errno.ENOSPC)
        self.seconds: float = told.get("seconds", 0.0)
        self.act: str = told.get("act", "")
        self.disk: Disk | None = None  # for "tear"
        self.since = 0  # when the effect began, in nanoseconds

    def now(self) -> None:
        """Let it happen."""
        if self.do == "fail":
            raise OSError(self.errno, os.strerror(self.errno))
        if self.do == "jump":
            jump(self.seconds)
            return
        if self.do == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.at, resource.RLIM_INFINITY))
            return
        if self.do == "tree":
            time.sleep(self.seconds)
        if self.do in ("tree", "tear"):
            kill_children(os.getpid())
        if self.do == "tear":
            assert self.disk is not None
            self.disk.lose(0 if self.act == "all" else self.since)
        os.killpg(0, signal.SIGKILL)
        signal.pause()


def kill_children(pid: int) -> None:
    """Kill all that descends from a process, as the end of a container or a machine does."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.kill(child, signal.SIGSTOP)  # so that it starts nothing more
                kill_children(child)
                os.kill(child, signal.SIGKILL)


def jump(seconds: float) -> None:
    """Move the clock that Python code sees."""
    now = time.time

    class Jumped(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Jumped:
            return super().now(tz) + dt.timedelta(seconds=seconds)

    time.time = lambda: now() + seconds
    for name, module in list(sys.modules.items()):
        if name.startswith("byoci.") and getattr(module, "datetime", None) is dt.datetime:
            module.datetime = Jumped  # type: ignore[attr-defined]


class Observer(logging.Handler):
    """Sees every effect begin and end; records them, and carries out the plan."""

    def __init__(self, plans: list[Plan], people: Callable[[Plan], None], *, count: bool, folder: Path) -> None:
        super().__init__(logging.DEBUG)
        self._people = people
        self.seen: list[dict[str, Any]] = []
        self._ended: tuple[str, int] | None = None  # the effect since whose end nothing happened
        self._thread = threading.local()
        self._plans = {(plan.name, plan.nth): plan for plan in plans}
        self._plan: Plan | None = None
        self._times: dict[str, int] = {}
        self._count = count
        self._folder = f"{folder}/"
        self._target: dict[str, Any] | None = None
        self.unnamed: list[str] = []
        self._audited = False
        self._paused = False
        self._connections: list[sqlite3.Connection] = []
        if any(plan.do == "fail" and plan.when == "during" for plan in plans):
            sys.addaudithook(self._heard)

    @property
    def _open(self) -> list[dict[str, Any]]:
        """The effects that this thread is in, outermost first."""
        stack: list[dict[str, Any]] = self._thread.__dict__.setdefault("open", [])
        return stack

    def audit(self) -> None:
        """From now on, note down what changes the world and is in no effect."""
        sys.addaudithook(self._check)
        self._audited = True

    def _check(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect/handle":
            self._connections.append(arguments[0])  # not quite ready yet
        elif self._open:
            for entry in self._open:
                entry["changes"] += writes(event, arguments)
        elif not str(arguments[:1]).startswith(f"('{self._folder[:-1]}."):  # what `in_child` tells
            self._unless_named(f"{event} {arguments}", event in _STARTS or writes(event, arguments))

    def _unless_named(self, what: str, changes: bool) -> None:
        if self._audited and changes and not self._open and not self._paused:
            where = "".join(traceback.format_stack(limit=8)[:-2])
            self.unnamed.append(f"{what[:200]}\n{where}")

    def _carry_out(self, plan: Plan) -> None:
        """Let a plan happen. What people do in this process is none of the lander's effects."""
        if plan.do == "act":
            self._paused = True
            self._people(plan)
            self._paused = False
        elif plan.do == "stray":
            stray(Path(self._folder), plan.act)
        elif plan.do == "fill":
            fill(ballast(Path(self._folder)))
        else:
            plan.now()

    def emit(self, record: logging.LogRecord) -> None:
        if self._paused:
            return
        assert isinstance(record.args, tuple)
        while self._connections:
            self._connections.pop().set_trace_callback(lambda said: self._unless_named(said, said.split()[0] in _SQL))
        name = str(record.args[0])
        if record.msg == effects.BEGINS:
            self._begin(name)
        else:
            ended = self._open.pop()
            assert ended["name"] == name
            self._end(ended)

    def _begin(self, name: str) -> None:
        nth = self._times[name] = self._times.get(name, 0) + 1
        entry = {"name": name, "nth": nth, "calls": 0, "changes": 0, "started": False, "follows": self._ended}
        self._ended = None
        plan = self._plans.pop((name, nth), None)
        if plan is not None and plan.when == "before":
            self._carry_out(plan)
        elif plan is not None:
            self._target, self._plan, plan.since = entry, plan, time.time_ns()
            if plan.do == "limit":
                plan.now()
            elif plan.when == "during" and plan.do != "fail":
                sys.setprofile(self._step)
        elif self._count and not self._open:
            sys.setprofile(self._tally)
        self.seen.append(entry)
        self._open.append(entry)

    def _end(self, ended: dict[str, Any]) -> None:
        self._ended = (ended["name"], ended["nth"])
        if self._count and not self._open:
            sys.setprofile(None)
        if self._target is not ended or self._plan is None:
            return
        sys.setprofile(None)
        self._target = None
        if self._plan.do == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return
        # One that ended before the call that was waited for, since a run is never quite like another, dies now.
        if self._plan.when == "after" or (self._plan.when == "during" and self._plan.do != "fail"):
            self._carry_out(self._plan)

    def _tally(self, frame: Any, event: str, _argument: Any) -> None:
        """Count what is called within each effect, and note whether it started a program."""
        if event == "c_call" and frame.f_code.co_filename not in _TELLING:
            for entry in self._open:
                entry["calls"] += 1
        elif event == "return" and frame.f_code is proc.start.__code__:
            for entry in self._open:
                entry["started"] = True

    def _step(self, frame: Any, event: str, _argument: Any) -> None:
        assert self._target is not None
        assert self._plan is not None
        if event == "return":
            now = self._plan.at == 0 and frame.f_code is proc.start.__code__
        else:
            called = event == "c_call" and frame.f_code.co_filename not in _TELLING
            self._target["calls"] += called
            now = called and self._target["calls"] == self._plan.at
        if now:
            sys.setprofile(None)
            self._plan.now()

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._target is None or self._plan is None or self._plan.do != "fail" or not writes(event, arguments):
            return
        if not any(entry is self._target for entry in self._open):
            return  # another thread's
        self._target["changes"] += 1
        if self._target["changes"] == self._plan.at:
            self._plan.now()


_TELLING = frozenset((__file__, logging.__file__, effects.__file__))  # their calls are no part of an effect
_CHANGES = frozenset(
    f"os.{name}"
    for name in (
        "mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate", "chmod", "chown", "utime", "setxattr",
        "removexattr", "mkfifo", "mknod",
    )
)  # fmt: skip
_STARTS = frozenset(
    (
        "sqlite3.connect",
        "subprocess.Popen",
        "os.posix_spawn",
        "os.fork",
        "os.forkpty",
        "os.exec",
        "os.system",
        "socket.sendmsg",
    )
)
_SQL = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER"))
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def writes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event (the library reference has a table of them) tells that a file is changed."""
    if event == "open":
        path, _, flags = arguments
        return bool(flags & _WRITE) and isinstance(path, (str, bytes)) and os.fsdecode(path) != os.devnull
    return event in _CHANGES


def ballast(folder: Path) -> Path:
    """The file that fills the disk of a site."""
    return folder.with_name("ballast")


def fill(path: Path) -> None:
    """Write to a file until there is no room for more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(65536))
    os.close(descriptor)


def stray(folder: Path, what: str) -> None:
    """Do what a landing must not do: change the world in no effect's name."""
    place = folder / "stray"
    if what == "file":
        place.write_text("written\n")
    elif what == "folder":
        place.mkdir()
    elif what == "rename":
        (folder / "byoci.toml").rename(place)
        place.rename(folder / "byoci.toml")
    elif what == "program":
        subprocess.run(["true"], check=True)
    elif what == "database":
        sqlite3.connect(folder / "byoci" / "testing" / "lander.sqlite").close()
    else:
        kept = (thing for thing in gc.get_objects() if isinstance(thing, Database) and thing.kind == "landings")
        next(kept).execute("UPDATE landing SET reported = reported")
