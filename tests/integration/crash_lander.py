"""A lander that can be killed: a warm process which forks one for every run, and finds what a dead one left behind.

Run as a program it reads orders from standard input, a JSON object a line, and answers each with one on standard
output. Each run is a process, and process group, of its own that does what `byoci land` does. What is to happen to it
(`crash_plan`) happens through the log of `byoci.effects`, the interpreter's own hooks (`sys.setprofile`,
`sys.addaudithook`) and the clock of the standard library: byoci knows nothing of it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crash_plan import Observer, Plan, ballast
from crash_power import Disk, another_boot

from byoci import effects
from byoci.cli import main
from byoci.worker import seccomp

if TYPE_CHECKING:
    from collections.abc import Callable

LAND = ["land", "--all", "--json"]
PATIENCE = 60.0  # seconds that orphans get to end
_PR_SET_CHILD_SUBREAPER = 36


def run(folder: Path, vcs: str, order: dict[str, Any]) -> dict[str, Any]:
    """One lander's whole life but for its end: `byoci land`, once or several times."""
    from crash_look import find
    from crash_people import People
    from site_under_test import Story

    def people(plan: Plan) -> None:
        People(Story(folder, vcs)).do(plan.act)

    plans = [Plan(told) for told in order.get("plans", ())]
    if tears := [plan for plan in plans if plan.do == "tear"]:
        tears[0].disk = Disk(folder, *map(Path, order.get("elsewhere", ())))
    observer = Observer(plans, people, count=bool(order.get("count")), folder=folder)
    if order.get("audit"):
        observer.audit()
    logger = logging.getLogger(effects.__name__)
    logger.addHandler(observer)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    commands = order.get("commands") or [LAND] * order.get("rounds", 1)
    told: dict[str, Any] = {"rounds": [byoci(folder / "byoci.toml", command) for command in commands]}
    told["effects"], told["unnamed"] = observer.seen, observer.unnamed  # what the end does is still to come
    if order.get("look"):
        logger.removeHandler(observer)
        told["found"] = find(Story(folder, vcs), order.get("dead", []))
        logger.addHandler(observer)
    return told


def byoci(config: Path, command: list[str]) -> dict[str, Any]:
    """A command on a site: its exit code, and what it says on standard output (as JSON) and on standard error."""
    said, aside = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(aside):
        code = main.run(main.cli, ["--config", str(config), *command])
    said.seek(0)
    return {"code": code, "said": json.load(said) if "--json" in command else None, "aside": aside.getvalue()}


class Server:
    """The warm process."""

    def __init__(self) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.groups: list[int] = []

    def serve(self) -> Callable[[], Callable[[], None]] | None:
        """Carry out orders until there are no more, or, in a child, give what it is to do."""
        for line in sys.stdin:
            order = json.loads(line)
            answer = getattr(self, f"do_{order.pop('do')}")(**order)
            if callable(answer):
                return answer
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        return None

    def do_child(self, **order: Any) -> Callable[[], Callable[[], None]] | dict[str, Any]:
        """Call `function`, of `crash_site` or `run`, in a new process group, with `folder`, `vcs` and `order`."""
        out = Path(order.pop("out"))
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

    def do_mount(self, folder: str) -> None:
        """Let a folder be a small disk, which is gone with this process."""
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", folder], check=True)

    def do_boot(self, folders: list[str]) -> None:
        """The machine is up again."""
        for folder in folders:
            another_boot(Path(folder))

    def do_free(self, folder: str) -> None:
        """There is room again."""
        ballast(Path(folder)).unlink(missing_ok=True)

    def do_move(self, pairs: list[tuple[str, str]]) -> None:
        """Move each first folder to where the second says, which may be on another disk."""
        for source, target in pairs:
            shutil.rmtree(target, ignore_errors=True)
            if Path(source).exists():
                subprocess.run(["mv", source, target], check=True)

    def do_copy(self, pairs: list[tuple[str, str]]) -> None:
        """Make each second folder a copy of the first; one that is not there is no folder then."""
        for source, target in pairs:
            shutil.rmtree(target, ignore_errors=True)
            if Path(source).exists():
                subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def in_child(out: Path, order: dict[str, Any]) -> Callable[[], None]:
    """What a forked process does before it ends as any program does; what is to be done after that."""
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

    function = run if name == "run" else getattr(crash_site, name)
    try:
        told |= function(folder, vcs, order)
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        told["failed"] = traceback.format_exc()
    return tell


def learn(modules: list[str]) -> None:
    """Import what a child had to import, so that the next one need not."""
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve() -> None:
    """Serve; in a child, be a lander and end as any program does."""
    sys.dont_write_bytecode = True
    learn(
        [
            "crash_look",
            "crash_people",
            "crash_site",
            "byoci.cli.land",
            "byoci.wiring",
            "byoci.vcs.git",
            "byoci.vcs.bzr",
            "byoci.worker.bubblewrap",
        ]
    )
    seccomp.program()  # made once a process, from nothing that a site has
    child = Server().serve()
    if child is not None:
        tell = child()
        atexit._run_exitfuncs()
        tell()
        os._exit(0)  # to take apart all that was imported takes longer than a landing


if __name__ == "__main__":
    serve()
