"""Plots as numbers for SVG: bars whose height is how long something took. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bar(Generic[T]):
    """A bar, from the top left; `state` names its look, `about` is what it stands for."""

    x: float
    y: float
    width: float
    height: float
    state: str
    about: T


@dataclass(frozen=True, slots=True)
class Plot(Generic[T]):
    """Bars, the oldest first, below a scale: positions and seconds of its lines."""

    bars: Sequence[Bar[T]]
    lines: Sequence[tuple[float, float]]
    width: float
    height: float


def bars(
    newest: Sequence[T], look: Callable[[T], tuple[float, str]], size: tuple[float, float], *, slots: int
) -> Plot[T]:
    """A plot of what is the newest first in `newest`, from left to right in the plot; there is room for `slots`.

    look  how many seconds it took, and the name of its look
    size  width and height
    """
    (width, height), shown = size, [(one, *look(one)) for one in reversed(newest[:slots])]
    top = _round_up(max((seconds for _, seconds, _ in shown), default=0.0))
    step = width / slots
    made = []
    for at, (one, seconds, state) in enumerate(shown):
        tall = max(2.0, height * seconds / top) if top else 2.0
        made.append(
            Bar(round(at * step, 2), round(height - tall, 2), round(step * 0.78, 2), round(tall, 2), state, one)
        )
    lines = [(round(height - height * part, 2), top * part) for part in (0.5, 1.0)] if top else []
    return Plot(made, lines, width, height)


def _round_up(seconds: float) -> float:
    """The next length of time that is easy to read on a scale."""
    if seconds <= 0:
        return 0.0
    for unit in (1.0, 60.0, 3600.0):
        for count in (1, 2, 5, 10, 20, 30, 60):
            if seconds <= unit * count:
                return unit * count if seconds > 1 else _decimal(seconds)
    return 86400.0 * math.ceil(seconds / 86400)


def _decimal(seconds: float) -> float:
    unit = 10.0 ** math.floor(math.log10(seconds))
    return next(unit * count for count in (1, 2, 5, 10) if seconds <= unit * count * 1.0000001)
