"""The supervisor: a process of its own on the agent that runs one build and owns its log, its status and its processes.

It has no parent that matters: whoever started it may be killed, restarted or upgraded. All that is known of it is in
its folder: `log`, what the build printed; `status`, a JSON object, replaced in one step; `files/`, what is kept;
`wake`, a pipe in which a byte is written whenever one of these changes.

`status` is `{"boot": ID, "pid": N, "start": TICKS}` while it runs, which tells for certain whether it still does.
At its end there are, too: `result`, one of SUCCESS, UNSTABLE, FAILURE and ABORTED; `reason`, what ended it early;
`size`, how long the log is; `variables`, what the build put into its environment; `files`, for each group of patterns
the paths that were kept. Or, where the supervisor itself failed, `error`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time

from byoci.controller.agentside.files import collect, digest, fill_in, inject, matching, open_inside, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from typing import Any, TypedDict

    class Limit(TypedDict):
        """Seconds from the start, or (`idle`) from the last output; whether the build `fails` then or is aborted."""

        seconds: float
        idle: bool
        fails: bool

    class Plan(TypedDict):
        """What to do.

        header       what the log begins with; {workspace} is filled in
        workspace    a path, in which variables and `~` are filled in
        environment  NAME → VALUE, complete but for what the agent adds: HOME, PATH, USER and the like
        before       lines NAME=VALUE for the environment, one text after the other
        secrets      what is masked in the log
        steps        `{"inject": LINES, "file": PATH}` or `{"shell": SCRIPT, "unstable": STATUS or None}`
        clean        what is removed before, see `sweep`
        keep         groups of patterns, `{"includes": [...], "excludes": [...]}`
        prints       the same, of files whose digests are told
        read         paths of files whose texts are told
        """

        header: str
        workspace: str
        clean: list[dict[str, Any]]
        environment: dict[str, str]
        before: list[str]
        secrets: list[str]
        timestamps: bool
        limits: list[Limit]
        steps: list[dict[str, Any]]
        keep: list[dict[str, list[str]]]
        prints: list[dict[str, list[str]]]
        read: list[str]


MASK = b"********"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE = 5.0  # seconds between asking processes to end and killing them
_INHERITED = ("HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR")


def boot_id() -> str:
    """What the kernel calls the time since it was started."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_of(pid: int) -> int:
    """When a process was started, in the kernel's ticks; with its number that is a name which is never used again.

    0 where there is no such process, or only what is left of one.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def write_status(folder: str, status: dict[str, Any]) -> None:
    """Replace the status in one step, so that it survives whatever happens."""
    descriptor = os.open(f"{folder}/status.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(status, file)
    os.rename(f"{folder}/status.new", f"{folder}/status")


class Log:
    """The log: secrets masked also where they come in pieces, and each line's time before it where that is wanted."""

    def __init__(self, folder: str, secrets: list[str], *, timestamps: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(f"{folder}/log", flags, 0o600)
        self._wake = os.open(f"{folder}/wake", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        masked = {os.fsencode(line) for line in lines if line}
        self._secrets = sorted(masked, key=len, reverse=True)
        self._timestamps = timestamps
        self._held = b""
        self._at_start = True

    def write(self, data: bytes) -> None:
        """Add what was printed; what may be the beginning of a secret waits for what comes after it."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK)
        keep = max((self._overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - keep :]
        self._put(data[: len(data) - keep])

    @staticmethod
    def _overlap(data: bytes, secret: bytes) -> int:
        """How many of the last bytes are the beginning of `secret`."""
        for length in range(min(len(secret) - 1, len(data)), 0, -1):
            if data.endswith(secret[:length]):
                return length
        return 0

    def _put(self, data: bytes) -> None:
        if self._timestamps and data:
            stamp = time.strftime("%H:%M:%S ").encode()
            ends = data.endswith(b"\n")
            body = (data[:-1] if ends else data).replace(b"\n", b"\n" + stamp)
            data = (stamp if self._at_start else b"") + body + (b"\n" if ends else b"")
            self._at_start = ends
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.wake()

    def say(self, line: str) -> None:
        """A line of the supervisor's own."""
        self.write(os.fsencode(line) + b"\n")

    def finish(self) -> int:
        """Write what was held back; gives the length of the log."""
        held, self._held = self._held, b""
        self._put(held)
        return os.fstat(self._file).st_size

    def wake(self) -> None:
        """Tell whoever looks that there is something to see."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"+")


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
        self.variables: dict[str, str] = {}
        self.log = Log(folder, plan["secrets"], timestamps=plan["timestamps"])
        self.result = "SUCCESS"
        self.reason = ""
        self._aborted = False
        self._childless = True
        self._began = self._printed = time.monotonic()
        self._output, self._input = os.pipe2(os.O_CLOEXEC)
        self._signals, ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._output, False)
        signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._abort)

    def _abort(self, *_: object) -> None:
        self._aborted = True

    def run(self) -> dict[str, Any]:
        """Do what the plan says; gives what the status tells at the end."""
        self.log.say(self.plan["header"].replace("{workspace}", self.workspace))
        os.makedirs(self.workspace, exist_ok=True)
        os.chdir(self.workspace)
        for wish in self.plan["clean"]:
            self._tell_left(sweep(self.workspace, **wish))
        try:
            self._steps()
        except Stopped as stopped:
            self.result, self.reason = stopped.result, stopped.reason
        finally:
            self._end_processes()
        files = self._keep()
        prints = [self._prints(group) for group in self.plan["prints"]]
        size = self.log.finish()
        told = {"result": self.result, "reason": self.reason, "size": size, "files": files, "prints": prints}
        return {**told, "variables": self.variables, "workspace": self.workspace, "texts": self._texts()}

    def _tell_left(self, paths: list[str]) -> None:
        for path in paths[:20]:
            self.log.say(f"{path} could not be removed")

    def _steps(self) -> None:
        for text in self.plan["before"]:
            self.variables.update(inject(text, self.environment))
        for number, step in enumerate(self.plan["steps"], 1):
            if "shell" in step:
                status = self._shell(step["shell"], number)
                if status and status == step["unstable"]:
                    self.result = "UNSTABLE"
                elif status:
                    self.log.say(f"A shell step ended with status {status}")
                    raise Stopped("FAILURE", "")
            else:
                self._inject(step)

    def _inject(self, step: dict[str, Any]) -> None:
        if step["file"]:
            try:
                self.variables.update(inject(self.read_text(step["file"]), self.environment))
            except OSError as error:
                self.log.say(f"The file of variables {step['file']} cannot be read: {error.strerror or error}")
                raise Stopped("FAILURE", "") from error
        self.variables.update(inject(step["inject"], self.environment))

    def _shell(self, script: str, number: int) -> int:
        """Run a script to its end; gives its exit status, of a signal's death 128 and its number."""
        path = f"{self.folder}/step-{number}.sh"
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
                argv[0], argv, self.environment, file_actions=places, setsid=True, setsigmask=[], setsigdef=_DEFAULT
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
        """Until something was printed, a process ended, a signal came, or that time is over."""
        ready, _, _ = select.select([self._output, self._signals], [], [], seconds)
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
        ends = [since[limit["idle"]] + limit["seconds"] for limit in self.plan["limits"]]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _check_limits(self) -> None:
        if self._aborted:
            raise Stopped("ABORTED", "somebody stopped it")
        now = time.monotonic()
        for limit in self.plan["limits"]:
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
        if self.reason:
            self.log.say(f"The build was ended early: {self.reason}")

    def _prints(self, group: dict[str, list[str]]) -> list[list[str]]:
        """Pairs of a path and its file's digest."""
        found = []
        for path in self._matching(group):
            with contextlib.suppress(OSError):
                found.append([path, digest(self.workspace, path)])
        return found

    def _texts(self) -> dict[str, str]:
        """What files hold that the end of the build needs; those that are there."""
        found = {}
        for path in self.plan["read"]:
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


def descendants(root: int) -> list[int]:
    """All processes below `root`."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                if fields[0] != b"Z":
                    parents[int(name)] = int(fields[1])
    found, todo = [], [root]
    while todo:
        above = todo.pop()
        below = [pid for pid, parent in parents.items() if parent == above]
        found += below
        todo += below
    return found


def supervise(folder: str, plan: Plan) -> None:
    """Run a build to its end, in a process that is this function's own; never returns."""
    identity = {"boot": boot_id(), "pid": os.getpid(), "start": start_of(os.getpid())}
    write_status(folder, dict(identity))
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        build = Build(folder, plan)
        status = build.run()
        write_status(folder, {**identity, **status})
        build.log.wake()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must be known
        with contextlib.suppress(OSError):  # a full disk: then it is seen that this process is gone
            write_status(folder, {**identity, "error": f"{type(error).__name__}: {error}"})
    finally:
        sys.stderr.flush()
        os._exit(0)
