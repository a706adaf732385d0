"""Plots of builds, as numbers for SVG: bars whose height is how long a build took. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from byoci.controller.job import Result
from byoci.controller.pages.states import of_result
from byoci.web import plots as shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from byoci.controller.recent import Brief
    from byoci.web.plots import Plot

_SPARK: Final = 8  # builds


def bars(builds: Sequence[Brief], width: float, height: float, now: float, *, slots: int) -> Plot[Brief]:
    """A plot of builds, the newest first in `builds`, from left to right in the plot; there is room for `slots`."""
    return shared.bars(
        builds, lambda build: (_seconds(build, now), of_result(build.result)[0]), (width, height), slots=slots
    )


@lru_cache(maxsize=4096)
def spark(builds: tuple[Brief, ...]) -> Markup:
    """A job's last builds as a very small plot, for lists: one path for each look."""
    shown = builds[:_SPARK]
    ended = max((build.ended for build in shown if build.ended), default=shown[0].began)  # so that it is the same later
    paths: dict[str, str] = {}
    for bar in bars(shown, 64, 18, ended, slots=_SPARK).bars:
        square = f"M{bar.x:g} {bar.y:g}h{bar.width:g}v{bar.height:g}h-{bar.width:g}z"
        paths[bar.state] = paths.get(bar.state, "") + square
    good = sum(build.result in (Result.SUCCESS, Result.UNSTABLE) for build in shown)
    drawn = "".join(f'<path class="is-{state}" d="{path}"/>' for state, path in paths.items())
    return Markup(  # noqa: S704 - numbers and names of ours
        f'<svg class="spark" viewBox="0 0 64 18" role="img" aria-label="{good} of the last {len(shown)} succeeded">'
        f"{drawn}</svg>"
    )


def _seconds(build: Brief, now: float) -> float:
    return max(0.0, (build.ended or now) - build.began)


@dataclass(frozen=True, slots=True)
class Stack:
    """A build's tests as three bars on top of each other: (y, height, look)."""

    x: float
    width: float
    parts: Sequence[tuple[float, float, str]]
    number: int
    counts: Mapping[str, int]


def stacks(builds: Sequence[tuple[int, Mapping[str, int]]], width: float, height: float, *, slots: int) -> list[Stack]:
    """The tests of builds (number and counts), the newest first in `builds`, from left to right in the plot."""
    shown = list(reversed(builds[:slots]))
    top = max((counts["total"] for _, counts in shown), default=0)
    step = width / slots
    made = []
    for at, (number, counts) in enumerate(shown):
        passed = counts["total"] - counts["failed"] - counts["skipped"]
        y, parts = height, []
        for count, look in ((passed, "success"), (counts["skipped"], "not_built"), (counts["failed"], "failure")):
            if count:
                tall = max(2.0, height * count / top)
                y -= tall
                parts.append((round(y, 2), round(tall, 2), look))
        made.append(Stack(round(at * step, 2), round(step * 0.78, 2), parts, number, counts))
    return made
