"""One build, run by its supervisor (see `supervisors`), which owns its log, its status and its processes.

All that is known of it is in its folder: `log`, what the build printed; `status`, a JSON object, replaced in one step;
`files/`, what is kept; `ask`, what it wants the controller to start, which is answered in `answer-NUMBER`; `wake`, a
pipe in which is written when one of these changes, see `Log`; `stop`, where somebody asked for its end.

`status` is `{"boot": ID, "pid": N, "start": TICKS}` while it runs, which tells for certain whether it still does.
At its end there are, too: `result`, one of SUCCESS, UNSTABLE, FAILURE and ABORTED; `reason`, what ended it early;
`size`, how long the log is; `variables`, what the build put into its environment; `files`, for each group of patterns
the paths that were kept. Or, where the supervisor itself failed, `error`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import time

from byoci.controller.agentside.conditions import RESULTS, Unclear, expand, holds, is_between, look, look_apart, settled
from byoci.controller.agentside.files import collect, digest, fill_in, inject, matching, open_inside, sweep
from byoci.controller.agentside.record import MORE, Log, descendants, is_stopped, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from collections.abc import Callable, Mapping
    from typing import Any

    from byoci.controller.agentside.plan import Plan

_LOOK = 0.5  # seconds between looks for an answer; a signal tells of it sooner
_TOGETHER = 0.005  # seconds; who reads the log is told once of what comes within
_PATIENCE = 5.0  # seconds between asking processes to end and killing them
_INHERITED = ("HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR")


class Stopped(Exception):  # noqa: N818 - no error: somebody asked for it, or the time is over
    """The build ends before its steps do, with this result."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


class Build:
    """One build's run."""

    def __init__(self, folder: str, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.environment.update(plan["environment"])
        self.workspace = os.path.abspath(os.path.expanduser(fill_in(plan["workspace"], self.environment)))
        self.environment["WORKSPACE"] = self.workspace
        self.environment["WORKSPACE_TMP"] = f"{self.workspace}@tmp"
        self.variables: dict[str, str] = {}
        self.log = Log(folder, plan["secrets"], timestamps=plan["timestamps"])
        self.result = "SUCCESS"
        self.reason = ""
        self._aborted = is_stopped(folder)  # perhaps before there was a status, and so nobody to be told
        self._childless = True
        self.changes = ""  # what version control says is new
        self._limits = plan["limits"]
        self._scripts = 0
        self._began = self._printed = time.monotonic()
        self.began = time.time()
        self._output, self._input = os.pipe2(os.O_CLOEXEC)
        self._signals, self._ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._output, False)
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGTERM, self._abort)

    def _abort(self, *_: object) -> None:
        self._aborted = True

    def close(self) -> None:
        """Give back what this process holds for the build, and take no signals for it any more."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # of an answer that came too late
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in (self._output, self._input, self._signals, self._ring):
            os.close(descriptor)
        self.log.close()
        os.chdir("/")

    def run(self) -> dict[str, Any]:
        """Do what the plan says; gives what the status tells at the end."""
        self.log.say(self.plan["header"].replace("{workspace}", self.workspace))
        for place in (self.workspace, self.environment["WORKSPACE_TMP"]):
            os.makedirs(place, exist_ok=True)
        os.chdir(self.workspace)
        for wish in self.plan["clean"]:
            for path in sweep(self.workspace, **wish)[:20]:
                self.log.say(f"{path} could not be removed")
        self._guarded(self._steps)
        self._limits = []  # they are those of the steps
        for after in self.plan["after"]:
            self._after(after)
        conditions: list[dict[str, Any]] = []
        for condition in self.plan["conditions"]:
            self._guarded(functools.partial(self._settle, condition, conditions))
        if self.reason:
            self.log.say(f"The build was ended early: {self.reason}")
        files = self._keep()
        prints = [self._prints(group) for group in self.plan["prints"]]
        size = self.log.finish()
        told = {"result": self.result, "reason": self.reason, "size": size, "files": files, "prints": prints}
        return {
            **told,
            "variables": self.variables,
            "workspace": self.workspace,
            "texts": self._texts(self.plan["read"]),
            "conditions": conditions,
            "changes": self.changes,
        }

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do it; where it ends early, so does everything that was started."""
        try:
            work()
        except Stopped as stopped:
            self.result = max(self.result, stopped.result, key=RESULTS.index)
            self.reason = stopped.reason or self.reason
        self._end_processes()

    def _settle(self, condition: dict[str, Any], found: list[dict[str, Any]]) -> None:
        found.append(settled(condition, self._leaf))

    def _after(self, after: dict[str, Any]) -> None:
        if self.result not in after["results"]:
            return
        self._aborted = False  # whoever stopped the build wants its end, of which this is a part; he may ask again
        before = self.result
        self._guarded(lambda: self._run(after["steps"]))
        if self.result != before and self.result == "FAILURE" and after["unstable"]:
            self.result = max(before, "UNSTABLE", key=RESULTS.index)

    def _steps(self) -> None:
        for text in self.plan["before"]:
            self.variables.update(inject(text, self.environment))
        self._run(self.plan["steps"])

    def _run(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            if "shell" in step:
                status = self._shell(step["shell"], step.get("with", {}))
                if status and status == step["unstable"]:
                    self._at_least("UNSTABLE")
                elif status:
                    self.log.say(f"A shell step ended with status {status}")
                    raise Stopped("FAILURE", "")
            elif "if" in step:
                if self._wanted(step):
                    self._run(step["steps"])
            elif "trigger" in step:
                self._trigger(step)
            else:
                self._inject(step)

    def _at_least(self, result: str) -> None:
        self.result = max(self.result, result, key=RESULTS.index)

    def _wanted(self, step: dict[str, Any]) -> bool:
        """Whether a condition holds; where that cannot be told, what the step says of that."""
        try:
            return holds(step["if"], self._leaf)
        except Unclear as error:
            self.log.say(f"A condition cannot be told: {error}")
            if step["unclear"] == "Fail":
                raise Stopped("FAILURE", "") from error
            if step["unclear"] in ("Unstable", "RunUnstable"):
                self._at_least("UNSTABLE")
            return step["unclear"] in ("Run", "RunUnstable")

    def _leaf(self, condition: Mapping[str, Any]) -> bool:
        kind = condition["kind"]
        if kind == "status":
            return is_between(condition, self.result)
        if kind == "shell":
            return self._shell(condition["script"]) == 0
        if kind == "files":
            return bool(self._matching({key: condition[key] for key in ("includes", "excludes")}))
        if kind == "file":
            return os.path.exists(os.path.join(self.workspace, expand(condition["words"][0], self.environment)))
        if kind == "regex":
            return look_apart(condition, self.environment, self.began, self._attend)
        return look(condition, self.environment, self.began)

    def _trigger(self, step: dict[str, Any]) -> None:
        """Have the controller start other jobs, and wait for what it tells of them."""
        ask = {"trigger": step["trigger"], "variables": self.variables, "texts": self._texts(step["read"])}
        write_json(f"{self.folder}/ask", ask)
        self.log.wake(MORE)
        path = f"{self.folder}/answer-{step['trigger']}"
        while not os.path.exists(path):
            self._check_limits()
            self._reap()
            left = self._time_left()
            self._wait(_LOOK if left is None else min(_LOOK, left))
        with open(path) as file:
            answer = json.load(file)
        if "error" in answer:
            self.log.say(answer["error"])
            raise Stopped("FAILURE", "")
        self.log.write(os.fsencode("".join(f"{line}\n" for line in answer["lines"])))
        self.variables.update(answer["variables"])
        self.environment.update(answer["variables"])
        self._judge_triggered(step["wait"] or {}, answer["results"])

    def _judge_triggered(self, wait: dict[str, str | None], results: list[str]) -> None:
        worst = max(results, key=RESULTS.index, default=RESULTS[0])

        def reached(name: str) -> bool:
            limit = wait.get(name)
            return limit is not None and RESULTS.index(worst) >= RESULTS.index(limit)

        if reached("failure"):
            self._at_least("FAILURE")
        elif reached("unstable"):
            self._at_least("UNSTABLE")
        if reached("fails"):
            raise Stopped("FAILURE", "")

    def _inject(self, step: dict[str, Any]) -> None:
        if step["file"]:
            try:
                self.variables.update(inject(self.read_text(step["file"]), self.environment))
            except OSError as error:
                self.log.say(f"The file of variables {step['file']} cannot be read: {error.strerror or error}")
                raise Stopped("FAILURE", "") from error
        self.variables.update(inject(step["inject"], self.environment))
        if "changes" in step:
            with contextlib.suppress(OSError):
                self.changes = self.read_text(step["changes"])

    def _shell(self, script: str, more: Mapping[str, str] | None = None) -> int:
        """Run a script to its end; gives its exit status, of a signal's death 128 and its number.

        more  variables of its own, which are filled in
        """
        environment = self.environment
        if more:
            environment = {**environment, **{name: fill_in(text, environment) for name, text in more.items()}}
        self._scripts += 1
        path = f"{self.folder}/step-{self._scripts}.sh"
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(script.replace("\r\n", "\n"))
        first = script.partition("\n")[0].rstrip("\r")
        argv = [*first[2:].strip().split(None, 1), path] if first.startswith("#!") else ["/bin/sh", "-xe", path]
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        places = [
            (os.POSIX_SPAWN_DUP2, descriptor, place)
            for place, descriptor in enumerate((null, self._input, self._input))
        ]
        try:
            pid = os.posix_spawnp(
                argv[0], argv, environment, file_actions=places, setsid=True, setsigmask=[], setsigdef=_DEFAULT
            )
        except (OSError, ValueError) as error:
            self.log.say(f"{argv[0]} cannot be started: {error}")
            return 127
        finally:
            os.close(null)
        return self._attend(pid)

    def _attend(self, pid: int) -> int:
        while True:
            self._check_limits()
            ended = self._reap().get(pid)
            if ended is not None:
                self._drain()
                return ended
            self._wait(self._time_left())

    def _wait(self, seconds: float | None) -> None:
        """Until something was printed, a process ended, a signal came, or that time is over; perhaps sooner.

        What is printed in the same moment is told together, and with the end where that comes in the same moment, too.
        """
        if self.log.untold is not None:
            left = max(0.0, self.log.untold + _TOGETHER - time.monotonic())
            seconds = left if seconds is None else min(left, seconds)
        ready, _, _ = select.select([self._output, self._signals], [], [], seconds)
        if self.log.untold is not None and time.monotonic() >= self.log.untold + _TOGETHER:
            self.log.wake()
        if self._signals in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._signals, 4096)
        if self._output in ready:
            self._drain(most=16)

    def _drain(self, most: int = 1 << 30) -> None:
        """Put what was printed so far into the log."""
        for _ in range(most):
            try:
                data = os.read(self._output, 1 << 16)
            except BlockingIOError:
                return
            self._printed = time.monotonic()
            self.log.write(data)

    def _reap(self) -> dict[int, int]:
        """The processes that ended, ours and the orphans that were left to us, with their statuses."""
        ended = {}
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                ended[pid] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        except ChildProcessError:
            self._childless = True  # nor is there anything below a child: orphans are left to us
        else:
            self._childless = False
        return ended

    def _time_left(self) -> float | None:
        since = {True: self._printed, False: self._began}
        ends = [since[limit["idle"]] + limit["seconds"] for limit in self._limits]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _check_limits(self) -> None:
        if self._aborted:
            raise Stopped("ABORTED", "somebody stopped it")
        now = time.monotonic()
        for limit in self._limits:
            if now >= (self._printed if limit["idle"] else self._began) + limit["seconds"]:
                what = "nothing was printed" if limit["idle"] else "it took more than its time"
                reason = f"{what}: {limit['seconds'] / 60:g} minutes"
                raise Stopped("FAILURE" if limit["fails"] else "ABORTED", reason)

    def _end_processes(self) -> None:
        """End everything that the build started and left: asked first, then killed."""
        asked = time.monotonic()
        stages = [signal.SIGTERM]
        while True:
            self._reap()
            if self._childless:
                break
            left = descendants(os.getpid())
            if stages or time.monotonic() > asked + _PATIENCE:
                number = stages.pop() if stages else signal.SIGKILL
                for pid in left:
                    with contextlib.suppress(OSError):
                        os.kill(pid, number)
            self._wait(0.05)
        self._drain()

    def _prints(self, group: dict[str, list[str]]) -> list[list[str]]:
        """Pairs of a path and its file's digest."""
        found = []
        for path in self._matching(group):
            with contextlib.suppress(OSError):
                found.append([path, digest(self.workspace, path)])
        return found

    def _texts(self, paths: list[str]) -> dict[str, str]:
        """What files hold; those that are there."""
        found = {}
        for path in paths:
            with contextlib.suppress(OSError):
                found[path] = self.read_text(path)
        return found

    def read_text(self, path: str) -> str:
        """A file in the workspace, not too large. Raises `OSError`."""
        place = os.path.join(self.workspace, fill_in(path, self.environment))
        with open(open_inside(self.workspace, os.path.relpath(place, self.workspace)), "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")

    def _matching(self, group: dict[str, list[str]]) -> list[str]:
        includes, excludes = (
            [fill_in(text, self.environment) for text in group[key]] for key in ("includes", "excludes")
        )
        return matching(self.workspace, includes, excludes)

    def _keep(self) -> list[list[str]]:
        kept = []
        for number, group in enumerate(self.plan["keep"]):
            paths = self._matching(group)
            collect(self.workspace, paths, f"{self.folder}/files/{number}")
            kept.append(paths)
        return kept


_DEFAULT = [signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
