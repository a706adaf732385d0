"""What a benchmark gives, and how it measures: ours and a peer in turn, in one run on one machine.

A benchmark is a module of this package with a function `measure(tell)` that yields a `Figure` for each thing that it
measured; `tell` takes a line on what is being done. Its name is the module's. Anything that has to be there first is
made outside of what is timed.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import benchmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Tell: TypeAlias = "Callable[[str], None]"
Measure: TypeAlias = "Callable[[Tell], Iterator[Figure]]"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured.

    name      what, in words
    unit      "ms", "MB" or "a second"
    values    one a round
    peer      what it is compared with, in words; "" for nothing
    peers     the peer's values, measured in the same rounds
    target    what the ratio to the peer must reach, or, where `absolute`, the value itself; None for no target
    at_least  the target is a least one, not a most one
    """

    name: str
    unit: str
    values: Sequence[float]
    peer: str = ""
    peers: Sequence[float] = ()
    target: float | None = None
    absolute: bool = False
    at_least: bool = False

    @property
    def p50(self) -> float:
        """The median of the values."""
        return statistics.median(self.values)

    @property
    def peer_p50(self) -> float | None:
        """The median of the peer's values."""
        return statistics.median(self.peers) if self.peers else None

    @property
    def ratio(self) -> float | None:
        """How many times the peer's median ours is."""
        return self.p50 / self.peer_p50 if self.peer_p50 else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        judged = self.p50 if self.absolute else self.ratio
        if self.target is None or judged is None:
            return None
        return judged >= self.target if self.at_least else judged <= self.target

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints."""
        return {
            "name": self.name,
            "unit": self.unit,
            "p50": round(self.p50, 3),
            "rounds": len(self.values),
            "peer": self.peer or None,
            "peer_p50": None if self.peer_p50 is None else round(self.peer_p50, 3),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "target": self.target,
            "target_of": None if self.target is None else "p50" if self.absolute else "ratio",
            "target_is": None if self.target is None else "at least" if self.at_least else "at most",
            "met": self.met,
        }


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """What each of `measures` gives, `rounds` times in turn, so that a slow moment of the machine meets all of them.

    Each round starts with another one.
    """
    values: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        for place in range(len(measures)):
            chosen = (place + number) % len(measures)
            values[chosen].append(measures[chosen]())
    return values


def milliseconds(action: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


def found() -> dict[str, Measure]:
    """The benchmarks of this package by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in names}
    return {name: module.measure for name, module in modules.items() if hasattr(module, "measure")}


def table(figures: Sequence[Figure]) -> str:
    """The figures for people: a line each."""
    rows = [("", "P50", "PEER", "RATIO", "TARGET", ""), *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _shown(figure.p50, figure.unit),
        "" if figure.peer_p50 is None else f"{_shown(figure.peer_p50, figure.unit)} {figure.peer}",
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if figure.target is None else _target(figure),
        {None: "", True: "met", False: "NOT MET"}[figure.met],
    )


def _target(figure: Figure) -> str:
    sign = "≥" if figure.at_least else "≤"
    return f"{sign} {_shown(figure.target, figure.unit)}" if figure.absolute else f"ratio {sign} {figure.target:g}"


def _shown(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
