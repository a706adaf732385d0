"""The real `brz`, without paying for its start each time: one process loads it, and forks itself for every command.

As a program it serves such requests on its standard input, one JSON object a line: {"argv", "cwd", "env", "output"},
and answers each with the exit status. A forked child is the program as `brz --no-plugins ARGV` would be: it has its own
environment and nothing that another command left behind.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def run(cwd: Path, *argv: str, email: str = "", ok: tuple[int, ...] = (0,), home: Path) -> bytes:
    """Run `brz ARGV` in `cwd` as the person with this home folder; what it wrote on standard output."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "BRZ_HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    env |= {"BRZ_LOG": os.devnull, "BRZ_EMAIL": email or "Nobody <nobody@example.com>"}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        request = {"argv": ["--no-plugins", *argv], "cwd": str(cwd), "env": env, "output": str(output)}
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request).encode() + b"\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        written, said = output.read_bytes(), output.with_suffix(".err").read_bytes()
    assert status in ok, (argv, status, written[-2000:], said[-2000:])
    return written


_started: list[subprocess.Popen[bytes]] = []


def _server() -> subprocess.Popen[bytes]:
    if not _started:
        _started.append(subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        atexit.register(_stop)
    return _started[0]


def _stop() -> None:
    server = _started.pop()
    for pipe in (server.stdin, server.stdout):
        assert pipe is not None
        pipe.close()
    server.wait(10)


def _serve() -> None:
    import breezy.builtins
    import breezy.bzr.workingtree_4
    import breezy.commands
    import breezy.merge  # noqa: F401 - loaded here once, instead of by every child

    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _become(request: dict[str, object]) -> None:
    """Be `brz`, to the end of this process."""
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    for number, path in enumerate((os.devnull, request["output"], f"{request['output']}.err")):
        descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    import breezy
    from breezy.commands import run_bzr_catch_errors

    with breezy.initialize():
        status = run_bzr_catch_errors(request["argv"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    _serve()
