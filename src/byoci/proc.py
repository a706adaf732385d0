"""The only place that starts programs: explicit environment, standard input closed, output streamed, a staged kill."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import selectors
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from byoci.errors import ProgramError, ProgramMissingError, ProgramTimeoutError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STAGES: Final = ((signal.SIGINT, 2.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0))


@dataclass(frozen=True, slots=True)
class Result:
    """A program that ended: `status` is its exit code, or minus the signal's number."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text without the last line's end; bytes that are not UTF-8 survive as surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


class Process(subprocess.Popen[bytes]):
    """A program that was started; where one waits for it with a time-out, one is woken by its end.

    Before Python 3.15 the library looks every now and then, which costs milliseconds for every program.
    """

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; `subprocess.TimeoutExpired` after `timeout` seconds."""
        if timeout is not None and self.returncode is None:
            with contextlib.suppress(OSError):  # out of descriptors, or a kernel before 5.3
                descriptor = os.pidfd_open(self.pid)
                try:
                    ended = select.poll()
                    ended.register(descriptor, select.POLLIN)
                    ended.poll(max(timeout, 0.0) * 1000)
                finally:
                    os.close(descriptor)
        return super().wait(timeout)


def base_environment() -> dict[str, str]:
    """The environment that programs start from: of the caller's only how to find programs and temporary files."""
    environment = {"PATH": os.environ.get("PATH", SEARCH_PATH), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if "TMPDIR" in os.environ:
        environment["TMPDIR"] = os.environ["TMPDIR"]
    return environment


def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of its own process group; the caller talks to it and ends it.

    Raises `ProgramMissingError` where there is no such program.
    """
    _log.debug("%s", shlex.join(argv))
    try:
        return Process(
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            process_group=0,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise UnavailableError(f"the folder {cwd} is gone") from error
        raise ProgramMissingError(
            f"{argv[0]} is not installed", resolution=f"Install the system package that provides {argv[0]}."
        ) from error


def become(argv: Sequence[str], *, env: Mapping[str, str]) -> NoReturn:
    """Have this process be another program from now on, with the same input and output.

    Raises `ProgramMissingError` where there is no such program.
    """
    _log.debug("%s", shlex.join(argv))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and whoever comes after would, too
    try:
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - there is no shell in between
    except FileNotFoundError as error:
        raise ProgramMissingError(
            f"{argv[0]} is not installed", resolution=f"Install the system package that provides {argv[0]}."
        ) from error


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout: float | None = None,
    ok: Sequence[int] | None = (0,),
    pass_fds: Sequence[int] = (),
) -> Result:
    """Run a program to its end and return what it wrote; meant for programs whose output is small.

    `ok` are the exit codes that are no error (None: all of them); any other raises `ProgramError`. After `timeout`
    seconds the program and its process group are ended and `ProgramTimeoutError` is raised.
    """
    process = start(argv, env=env, cwd=cwd, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, pass_fds=pass_fds)
    try:
        stdout, stderr = process.communicate(stdin or None, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        kill(process)
        raise ProgramTimeoutError(
            f"{argv[0]} did not end within {timeout:g} seconds", details=shlex.join(argv)
        ) from error
    except BaseException:
        kill(process)
        raise
    if ok is not None and process.returncode not in ok:
        raise ProgramError(tuple(argv), process.returncode, stderr.decode("utf-8", "replace"))
    return Result(tuple(argv), process.returncode, stdout, stderr)


def run_bounded(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    most: int,
    limits: Mapping[int, int] | None = None,
) -> Result:
    """Run a program on what a stranger sends, who may make it write and use what he likes; any exit code is returned.

    After `most` bytes of output, of both kinds together, it is ended and `UnavailableError` is raised; after `timeout`
    seconds see `run`. `limits` (`resource.RLIMIT_…` → value) hold for all that it starts; it has run for a moment when
    they are set, which is no time in which to use up a machine.
    """
    process = start(argv, env=env)
    try:
        for kind, value in (limits or {}).items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, kind, (value, value))
        stdout, stderr = _read_bounded(process, argv[0], time.monotonic() + timeout, most)
        status = process.wait(_STAGES[-1][1])
    except subprocess.TimeoutExpired as error:
        kill(process)
        raise ProgramTimeoutError(f"{argv[0]} closed its output and did not end") from error
    except BaseException:
        kill(process)
        raise
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    return Result(tuple(argv), status, stdout, stderr)


def _read_bounded(process: subprocess.Popen[bytes], name: str, deadline: float, most: int) -> tuple[bytes, bytes]:
    """Both outputs of a program to their end, within a time of `time.monotonic` and a length."""
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for descriptor in outputs:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ProgramTimeoutError(f"{name} did not end in its time")
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                outputs[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)
            if sum(map(len, outputs.values())) > most:
                raise UnavailableError(f"{name} wrote more than {most} bytes and was ended")
    stdout, stderr = map(bytes, outputs.values())
    return stdout, stderr


def stream(
    process: subprocess.Popen[bytes], on_output: Callable[[bytes], None], *, deadline: float | None = None
) -> bool:
    """Hand a started program's standard output on as it comes, until it is closed; False when `deadline` came first.

    deadline  a time of `time.monotonic`
    """
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            if selector.select(left):
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    return True
                on_output(chunk)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and its process group: asked, then told, then killed. Safe when it has ended already."""
    # Whoever is started in a shell's background ignores SIGINT, and so do the programs that he starts.
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    for number, patience in _STAGES[1:] if deaf else _STAGES:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what the leader left behind in its group
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
