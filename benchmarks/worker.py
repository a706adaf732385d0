"""Sealed workers, against bubblewrap started by hand with the same sandbox."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner import Figure, interleaved, milliseconds
from byoci.worker import folders, images, sandbox_args, sealed, seccomp, tree
from byoci.worker.base import Limits
from byoci.worker.bubblewrap import BubblewrapWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.runner import Tell

_RULES = 9  # a descriptor
_ROUNDS = 200
_AT_ONCE = 8
_MANY = 800


def measure(tell: Tell) -> Iterator[Figure]:
    """One worker's start, `true` and teardown; and eight at once."""
    with _site() as state:
        _worker(state)
        tell(f"a worker, and bubblewrap by hand, {_ROUNDS} rounds")
        with _by_hand(state) as run:
            ours, by_hand = interleaved(
                _ROUNDS, lambda: milliseconds(lambda: _worker(state)), lambda: milliseconds(run)
            )
            yield Figure("worker: start, true, teardown", "ms", ours, "bwrap true", by_hand, 1.5)
            tell(f"{_MANY} workers, {_AT_ONCE} at once, and the same by hand")
            rate, rate_by_hand = _rate(lambda: _worker(state)), _rate(run)
        name = f"workers, {_AT_ONCE} at once"
        yield Figure(name, "a second", [rate], "bwrap true", [rate_by_hand], target=200.0, absolute=True, at_least=True)


@contextlib.contextmanager
def _site() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        yield state
        base = folders.base_of(state)
        folders.session(base).close()
        tree.remove(base.path)


def _worker(state: Path) -> None:
    worker = BubblewrapWorker(state)
    worker.prepare("host", None, lambda _: None)
    status = worker.run("true", worker.workspace(), Limits(), lambda _: None)
    worker.destroy()
    assert status.ok


@contextlib.contextmanager
def _by_hand(state: Path) -> Iterator[Callable[[], None]]:
    """`bwrap … true` as a person would type it for the same sandbox: neither a shell, nor a limit, nor looked after."""
    program = sealed.bwrap()
    folder = state / "by-hand"
    (folder / "workspace").mkdir(parents=True)
    box = sandbox_args.Box(images.load("host", folder), "true", Limits(), folder / "workspace")
    options = [word.decode() for word in sandbox_args.options(box).split(b"\0")[:-1]]
    rules = folder / "rules"
    rules.write_bytes(seccomp.program())
    argv = [program, *options, *sandbox_args.last_options(box), "--seccomp", str(_RULES), "--", "true"]

    def run() -> None:
        opened = (os.POSIX_SPAWN_OPEN, _RULES, str(rules), os.O_RDONLY, 0)
        pid = os.posix_spawn(program, argv, {}, file_actions=[opened])
        assert os.waitpid(pid, 0)[1] == 0

    yield run


def _rate(function: Callable[[], None]) -> float:
    """How often a second `function` is done when eight threads call it."""
    left = threading.Semaphore(_MANY)

    def work() -> None:
        while left.acquire(blocking=False):
            function()

    threads = [threading.Thread(target=work) for _ in range(_AT_ONCE)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _MANY / (time.perf_counter() - begun)
