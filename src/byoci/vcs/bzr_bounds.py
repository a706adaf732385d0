"""How much memory and time breezy may take for what a stranger made; it works within this very process."""

from __future__ import annotations

import resource
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

MEMORY: Final = 2 * 1024**3  # bytes beyond what the process has already
ASK_SECONDS: Final = 120.0  # what the answer to a question may take
FETCH_SECONDS: Final = 1800.0  # what a transfer may take
MERGE_SECONDS: Final = 900.0  # what a merge or an export may take
AGAIN_SECONDS: Final = 5.0  # after which whoever goes on all the same is told again


class _TimeIsUpError(BaseException):
    """Raised wherever the process happens to be; nobody who catches an Exception holds it up."""


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Bounds for a question about a branch."""
    with _bounded(what, ASK_SECONDS, UnavailableError):
        yield


@contextmanager
def fetching(what: str) -> Iterator[None]:
    """Bounds for a transfer; that it takes long may be its server's fault, or the network's."""
    with _bounded(what, FETCH_SECONDS, UnavailableError):
        yield


@contextmanager
def merging(what: str) -> Iterator[None]:
    """Bounds for work on what was fetched."""
    with _bounded(what, MERGE_SECONDS, RejectedError):
        yield


@contextmanager
def _bounded(what: str, seconds: float, late: type[RejectedError | UnavailableError]) -> Iterator[None]:
    try:
        with _memory(MEMORY), _time(seconds):
            yield
    except MemoryError as error:
        raise RejectedError(
            f"{what} takes more than {MEMORY // 1024**2} MB of memory",
            details="bzr holds each file whole, and more than once.",
            resolution="Propose it without its largest files.",
        ) from error
    except _TimeIsUpError:
        raise late(
            f"{what} takes more than {seconds:g} seconds", resolution="Try again, or propose less at once."
        ) from None


@contextmanager
def _memory(more: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    lines = Path("/proc/self/status").read_text().splitlines()
    now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
    limit = now + more if soft == resource.RLIM_INFINITY else min(soft, now + more)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def _time(seconds: float) -> Iterator[None]:
    """In the main thread only, where Python handles signals; the lander works there.

    Now and then what is raised is lost: breezy has places that catch everything, and Python ignores it in destructors.
    So it is raised again and again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    bounded = True

    def up(_number: int, _frame: FrameType | None) -> None:
        if bounded:
            raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        try:
            yield
        finally:
            bounded = False  # nothing may interrupt what follows
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
