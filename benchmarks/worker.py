"""Sealed workers, against bubblewrap started by hand in the same namespaces."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner import Figure, interleaved, milliseconds
from byoci.worker import folders, sealed, tree
from byoci.worker.base import Limits
from byoci.worker.bubblewrap import BubblewrapWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.runner import Tell

_BY_HAND = (  # noqa: SIM905 -- easier to read
    "--unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net --disable-userns "
    "--die-with-parent --new-session --hostname worker --uid 1000 --gid 1000 "
    "--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 "
    "--proc /proc --dev /dev --tmpfs /tmp --tmpfs /home --chdir /tmp true"
).split()
_ROUNDS = 200
_AT_ONCE = 8
_MANY = 800


def measure(tell: Tell) -> Iterator[Figure]:
    """One worker's start, `true` and teardown; and eight at once."""
    with _site() as state:
        _worker(state)
        tell(f"a worker, and bubblewrap by hand, {_ROUNDS} rounds")
        ours, by_hand = interleaved(
            _ROUNDS, lambda: milliseconds(lambda: _worker(state)), lambda: milliseconds(_by_hand)
        )
        yield Figure("worker: start, true, teardown", "ms", ours, "bwrap true", by_hand, 1.5)
        tell(f"{_MANY} workers, {_AT_ONCE} at once")
        rate = _rate(lambda: _worker(state))
        yield Figure(f"workers, {_AT_ONCE} at once", "a second", [rate], target=200.0, absolute=True, at_least=True)


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


def _by_hand() -> None:
    program = sealed.bwrap()
    pid = os.posix_spawn(program, [program, *_BY_HAND], {"PATH": "/usr/bin:/bin"})
    assert os.waitpid(pid, 0)[1] == 0


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
