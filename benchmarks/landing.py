"""Landings, from approved to trunk moved, against the same work by hand; on a short history, and on a long one."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.runner import Figure, interleaved, milliseconds
from benchmarks.sites import Measured, measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.runner import Tell

_COMMITS: Final = (1_000, 50_000)
_LONGER: Final = 1.3  # times that a landing on the long history may take


def measure(tell: Tell) -> Iterator[Figure]:
    """In git, and in bzr."""
    yield from compare(tell, "git", _COMMITS, 40, 2.0, "fetch, merge-tree, commit-tree, push")
    yield from compare(tell, "bzr", _COMMITS, 11, 0.5, "brz pull, merge, commit, push")


def compare(
    tell: Tell, vcs: str, commits: tuple[int, int], rounds: int, target: float, by_hand: str
) -> Iterator[Figure]:
    """Landings on histories of so many commits, each with its `target` in relation to the same by hand."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder, ExitStack() as stack:
        sites = []
        for count in commits:
            tell(f"{vcs}: making a history of {count:,} commits, and landing on it for the first time")
            site = stack.enter_context(measured(Path(folder, str(count)), vcs, count))
            site.approve(0)
            site.land()
            site.repositories.by_hand(0)
            sites.append(site)
        tell(f"{vcs}: landings, and the same by hand, {rounds} rounds")
        measures = [function for site in sites for function in (_landing(site), _by_hand(site))]
        short, short_by_hand, long, long_by_hand = interleaved(rounds, *measures)
    names = [f"{vcs}: landing, {count:,} commits" for count in commits]
    yield Figure(names[0], "ms", short, by_hand, short_by_hand, target)
    yield Figure(names[1], "ms", long, by_hand, long_by_hand, target)
    yield Figure(names[1], "ms", long, f"with {commits[0]:,}", short, _LONGER)


def _landing(site: Measured) -> Callable[[], float]:
    numbers = itertools.count(1)

    def land() -> float:
        site.approve(next(numbers))
        return site.land()

    return land


def _by_hand(site: Measured) -> Callable[[], float]:
    numbers = itertools.count(1)
    return lambda: milliseconds(lambda: site.repositories.by_hand(next(numbers)))
