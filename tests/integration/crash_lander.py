"""A lander that can be killed: a warm process which forks one for every run, and finds what a dead one left behind.

Run as a program it reads orders from standard input, a JSON object a line, and answers each with one on standard
output. Each run is a process, and process group, of its own that opens the site as any lander does. What it does about
the run's `plan` it does as an observer of the log `byoci.effects`, through the interpreter's own hooks
(`sys.setprofile`, `sys.addaudithook`) and the clock of the standard library: byoci knows nothing of it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import datetime as dt
import errno
import gc
import importlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byoci import effects, proc
from byoci.worker import seccomp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

PATIENCE = 60.0  # seconds that orphans get to end
_PR_SET_CHILD_SUBREAPER = 36


class Plan:
    """What is to happen to a run, and when: at the `nth` time that the effect `name` begins.

    when   "before", "during" (half-way through what Python does in it, or once it has started a program) or "after"
    do     "kill" the process group, kill the whole "tree" of processes, "tear": truncate the file that was written
           last to half, then kill; "fail": have it, or with "during" what it does to a file in it, fail with `errno`;
           "jump": move the clock by `seconds`, for which "tree" waits first, so that programs get somewhere
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

    def now(self, written: str = "") -> None:
        """Let it happen; `written` is the file that was written last."""
        if self.do == "fail":
            raise OSError(self.errno, os.strerror(self.errno))
        if self.do == "jump":
            jump(self.seconds)
            return
        if self.do == "tear" and written:
            os.truncate(written, Path(written).stat().st_size // 2)
        if self.do == "tree":
            time.sleep(self.seconds)
            kill_children(os.getpid())
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

    def __init__(self, plans: list[Plan], *, count: bool, folder: Path) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []
        self._plans = {(plan.name, plan.nth): plan for plan in plans}
        self._plan: Plan | None = None
        self._times: dict[str, int] = {}
        self._count = count
        self._folder = f"{folder}/"
        self._target: dict[str, Any] | None = None
        self._written = ""
        self.unnamed: list[str] = []
        self._audited = False
        self._paused = False
        self._connections: list[sqlite3.Connection] = []
        if any(plan.do == "tear" or (plan.do == "fail" and plan.when == "during") for plan in plans):
            sys.addaudithook(self._heard)

    def audit(self) -> None:
        """From now on, note down what changes the world and is in no effect."""
        sys.addaudithook(self._check)
        self._audited = True

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Look away while somebody else does something in this process."""
        self._paused = True
        yield
        self._paused = False

    def _check(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "sqlite3.connect/handle":
            self._connections.append(arguments[0])  # not quite ready yet
        elif not self._open and not str(arguments[:1]).startswith(f"('{self._folder[:-1]}."):  # what `in_child` tells
            self._unless_named(f"{event} {arguments}", event in _STARTS or writes(event, arguments))

    def _unless_named(self, what: str, changes: bool) -> None:
        if self._audited and changes and not self._open and not self._paused:
            where = "".join(traceback.format_stack(limit=8)[:-2])
            self.unnamed.append(f"{what[:200]}\n{where}")

    def emit(self, record: logging.LogRecord) -> None:
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
        entry = {"name": name, "nth": nth, "calls": 0, "started": False}
        plan = self._plans.pop((name, nth), None)
        if plan is not None and plan.when == "before":
            plan.now()
        elif plan is not None:
            self._target, self._plan = entry, plan
            if plan.when == "during" and plan.do != "fail":
                sys.setprofile(self._step)
        elif self._count and not self._open:
            sys.setprofile(self._tally)
        self.seen.append(entry)
        self._open.append(entry)

    def _end(self, ended: dict[str, Any]) -> None:
        if self._count and not self._open:
            sys.setprofile(None)
        if self._target is not ended or self._plan is None:
            return
        sys.setprofile(None)
        self._target = None
        # One that ended before the call that was waited for, since a run is never quite like another, dies now.
        if self._plan.when == "after" or (self._plan.when == "during" and self._plan.do != "fail"):
            self._plan.now(self._written)

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
            self._plan.now(self._written)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._target is None or self._plan is None or not writes(event, arguments):
            return
        if self._plan.do == "fail":
            self._target["calls"] += 1
            if self._target["calls"] == self._plan.at:
                self._plan.now()
        elif event == "open" and str(arguments[0]).startswith(self._folder):
            self._written = str(arguments[0])
        elif event == "os.rename" and self._written.startswith(str(arguments[0])):
            self._written = self._written.replace(str(arguments[0]), str(arguments[1]))


_TELLING = frozenset((__file__, logging.__file__, effects.__file__))  # their calls are no part of an effect
_CHANGES = frozenset(
    f"os.{name}"
    for name in (
        "mkdir", "rename", "remove", "rmdir", "link", "symlink", "truncate", "chmod", "chown", "utime", "setxattr",
        "removexattr", "mkfifo", "mknod",
    )
)  # fmt: skip
_STARTS = frozenset(
    ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec", "os.system", "socket.sendmsg")
)
_SQL = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER"))
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def writes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event (the library reference has a table of them) tells that a file is changed."""
    if event == "open":
        path, _, flags = arguments
        return bool(flags & _WRITE) and isinstance(path, (str, bytes)) and os.fsdecode(path) != os.devnull
    return event in _CHANGES


def run(folder: Path, vcs: str, order: dict[str, Any]) -> dict[str, Any]:
    """One lander's whole life but for its end: open the site, and do one or more rounds."""
    from crash_look import find
    from crash_site import act
    from site_under_test import Story

    observer = Observer([*map(Plan, order.get("plans", ()))], count=bool(order.get("count")), folder=folder)
    if order.get("audit"):
        observer.audit()
    logger = logging.getLogger(effects.__name__)
    logger.addHandler(observer)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    told: dict[str, Any] = {"rounds": []}
    story = Story(folder, vcs)
    meanwhile = order.get("meanwhile") or {}

    def on_line(line: str) -> None:
        if line.endswith(meanwhile.get("line", "\0")):
            wanted = meanwhile.pop("act")
            meanwhile.clear()
            with observer.pause():
                act(story, wanted)

    story.on_line = on_line
    for _ in range(order.get("rounds", 1)):
        try:
            rows = [
                {
                    "proposal": row.landing.proposal,
                    "outcome": row.landing.outcome.value,
                    "reasons": row.landing.reasons,
                    "new": row.new,
                }
                for row in story.land()
            ]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            rows = [{"error": type(error).__name__, "new": True, "where": traceback.format_exc()}]
        told["rounds"].append(rows)
        story.reopen()
    told["lines"] = story.lines
    told["effects"], told["unnamed"] = observer.seen, observer.unnamed  # what the end does is still to come
    if order.get("look"):
        logger.removeHandler(observer)
        told["found"] = find(story, order.get("dead", []))
        logger.addHandler(observer)
    return told


class Server:
    """The warm process."""

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.groups: list[int] = []

    def serve(self) -> Callable[[], None] | None:
        """Carry out orders until there are no more, or, in a child, give what it is to do."""
        for line in sys.stdin:
            order = json.loads(line)
            answer = getattr(self, f"do_{order.pop('do')}")(**order)
            if callable(answer):
                return answer
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        return None

    def do_child(self, **order: Any) -> Callable[[], None] | dict[str, Any]:
        """Call `function`, of `crash_site` or `run`, in a new process group, with `folder`, `vcs` and `order`."""
        out = Path(order["folder"]).with_suffix(".out")
        out.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(2, 1)
            return lambda: in_child(out, order)
        _, status = os.waitpid(pid, 0)
        told = json.loads(out.read_text()) if out.exists() else None
        if told is not None:
            learn(told.pop("modules"))
        return {"pid": pid, "status": status, "told": told}

    def do_settle(self) -> list[str]:
        """Wait until all that dead runs left is gone; what is there still after a minute."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.005)
            except ChildProcessError:
                return []
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in children]

    def do_copy(self, pairs: list[tuple[str, str]]) -> None:
        """Make each second folder a copy of the first; one that is not there is no folder then."""
        for source, target in pairs:
            shutil.rmtree(target, ignore_errors=True)
            if Path(source).exists():
                subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def in_child(out: Path, order: dict[str, Any]) -> None:
    """What a forked process does before it ends as any program does."""
    import crash_site

    folder, vcs, name = Path(order.pop("folder")), order.pop("vcs"), order.pop("function")
    os.environ["BYOCI_HOME"] = str(folder / "byoci")
    told: dict[str, Any] = {}
    known = set(sys.modules)

    def tell() -> None:
        told["modules"] = [name for name in sys.modules if name not in known]
        draft = out.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.rename(out)

    atexit.register(tell)  # the first to be registered is the last to be called
    function = run if name == "run" else getattr(crash_site, name)
    try:
        told |= function(folder, vcs, order)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        told["failed"] = traceback.format_exc()


def learn(modules: list[str]) -> None:
    """Import what a child had to import, so that the next one need not."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main() -> None:
    """Serve; in a child, be a lander and end as any program does."""
    sys.dont_write_bytecode = True
    learn(["crash_look", "crash_site", "byoci.wiring", "byoci.vcs.git", "byoci.vcs.bzr", "byoci.worker.bubblewrap"])
    seccomp.program()  # made once a process, from nothing that a site has
    child = Server().serve()
    if child is not None:
        child()
        atexit._run_exitfuncs()
        os._exit(0)  # to take apart all that was imported takes longer than a landing


if __name__ == "__main__":
    main()
