"""The dashboard: all projects at a glance, and a page for each with its queue, what lands, and what has landed."""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

import byoci
from byoci.model import Outcome
from byoci.monitor.forecast import expected, seconds
from byoci.web import looks, plots, signing
from byoci.web.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from starlette.responses import Response

    from byoci.monitor.board import Agents, Tile
    from byoci.monitor.live import Tail
    from byoci.monitor.values import Record, Started

_PROCESS: Final = secrets.token_hex(8)  # another process may have other templates
_PLOTTED: Final = 60
_FEWEST: Final = 24  # for how many there is room in the plot, so that one bar is not as wide as the page
_SIZE: Final = (720.0, 140.0)
_FATES: Final = {
    Outcome.LANDED: ("success", "landed"),
    Outcome.WAITING: ("aborted", "had to wait"),
    Outcome.TESTS_FAILED: ("failure", "tests failed"),
    Outcome.CONFLICT: ("failure", "conflict"),
    Outcome.ERROR: ("unstable", "byoci failed"),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page is made in.

    start  the path of the dashboard's address, with a slash at its end
    user   who looks; "" for somebody who has not signed in
    crumb  what the page's forms carry; "" for who cannot sign out, as a program
    """

    start: str
    user: str = ""
    crumb: str = ""


@functools.cache
def _environment() -> Environment:
    return looks.environment(Path(__file__).parent / "templates")


def etag_of(version: int, frame: Frame, path: str) -> str:
    """Changes whenever what a page shows could have changed; nobody has another one's."""
    told = repr((_PROCESS, version, frame, path))
    return f'W/"{hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:32]}"'


def overview(frame: Frame, tiles: Sequence[Tile], agents: Agents, landings: Sequence[Started], etag: str) -> Response:
    """All projects, the agents, and what landed lately."""
    return _page(frame, "overview.html", etag, tiles=tiles, agents=agents, landings=landings)


def project(frame: Frame, tile: Tile, landings: Sequence[Started], etag: str) -> Response:
    """One project."""
    over = [item for item in landings if item.ended]
    trail = [("Projects", frame.start), (tile.project, _address(frame.start, tile.project))]
    plotted = [item for item in over if item.outcome is not Outcome.WAITING][:_PLOTTED]
    queue = list(zip(tile.ready, expected(tile, time.time()), strict=True))
    plot = plots.bars(plotted, _bar, _SIZE, slots=max(_FEWEST, len(plotted)))
    values = {"tile": tile, "queue": queue, "landings": over, "plot": plot, "plot_words": _plot_words(tile.record)}
    return _page(frame, "project.html", etag, trail=trail, **values)


def _bar(item: Started) -> tuple[float, str]:
    assert item.outcome is not None
    return seconds(item), _FATES[item.outcome][0]


def _plot_words(found: Record) -> str:
    """What the plot shows, for who does not see it."""
    share = f" ({100 * found.landed // found.ended} %)" if found.ended else ""
    words_ = f"{found.landed} of the last {plural(found.ended, 'landing')} landed{share}"
    return f"{words_}; one takes {duration(found.usual)} usually." if found.usual is not None else f"{words_}."


def missing(frame: Frame) -> Response:
    """There is no such page."""
    words = {"code": 404, "brief": "there is no such page", "details": "", "resolution": ""}
    return looks.page(_rendered(frame, "error.html", **words), 404)


def sign_in(frame: Frame, target: str, name: str, wrong: str, status: int) -> Response:
    """The form; `wrong` is what was wrong with it when it came back."""
    words = {"target": target, "name": name, "wrong": wrong, "label": "Password or API token", "hint": signing.HINT}
    return looks.page(_rendered(frame, "signin.html", **words), status)


def _page(frame: Frame, template: str, etag: str, **values: Any) -> Response:
    return looks.page(_rendered(frame, template, **values), 200, etag)


def _rendered(frame: Frame, template: str, **values: Any) -> str:
    common = {
        "site": "byoci",
        "version": byoci.__version__,
        "start": frame.start,
        "user": frame.user,
        "signed_in": bool(frame.crumb),
        "crumb": frame.crumb,
        "trail": (),
        "menu": _menu(frame, template),
        "now": time.time(),
        "fates": _FATES,
        "address": functools.partial(_address, frame.start),
        "web": _web,
        "log_html": _log_html,
        "feed": lambda name: f"{frame.start}feed/{quote(name, safe='')}",
    }
    return _environment().get_template(template).render(common | values)


def _menu(frame: Frame, template: str) -> list[tuple[str, str, tuple[int, str], bool]]:
    projects = ("Projects", frame.start, (0, ""), template in ("overview.html", "project.html"))
    sign_in = ("Sign in", f"{frame.start}login", (0, ""), template == "signin.html")
    return [projects] if frame.user else [projects, sign_in]


@functools.lru_cache(maxsize=16)
def _log_html(tail: Tail) -> Markup:
    """A log for a page: made once, however many look."""
    made: list[str] = []
    for number, line in enumerate(tail.lines()):
        if number and line.kind != "more":
            made.append("\n")
        made += [f'<span class="{look}">{escape(text)}</span>' if look else escape(text) for look, text in line.parts]
    return Markup("".join(made))  # noqa: S704 - escaped; looks are names of ours


def _address(start: str, name: str) -> str:
    return f"{start}project/{quote(name, safe='')}"


def _web(url: str) -> str:
    """An address that a page may link to; "" for any other: what a controller or a forge tells could be a script."""
    return url if url.startswith(("http://", "https://")) else ""
