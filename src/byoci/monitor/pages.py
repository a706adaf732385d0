"""The dashboard: all projects at a glance, and a page for each with its queue, what lands, and what has landed."""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import byoci
from byoci.model import Outcome
from byoci.monitor.forecast import expected, seconds
from byoci.web import looks, plots
from byoci.web.words import duration, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from starlette.responses import Response

    from byoci.monitor.board import Board, Tile
    from byoci.monitor.forecast import Record
    from byoci.monitor.state import Started

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


@functools.cache
def _environment() -> Environment:
    return looks.environment(Path(__file__).parent / "templates")


def etag_of(board: Board, path: str) -> str:
    """Changes whenever what a page shows could have changed."""
    told = repr((_PROCESS, board.version, path))
    return f'W/"{hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:32]}"'


def overview(start: str, board: Board, landings: Sequence[Started], etag: str) -> Response:
    """All projects, the agents, and what landed lately."""
    return _page(start, "overview.html", etag, tiles=board.tiles(), agents=board.agents, landings=landings)


def project(start: str, tile: Tile, landings: Sequence[Started], etag: str) -> Response:
    """One project."""
    over = [item for item in landings if item.ended]
    trail = [("Projects", start), (tile.project, _address(start, tile.project))]
    plotted = [item for item in over if item.outcome is not Outcome.WAITING][:_PLOTTED]
    queue = list(zip(tile.ready, expected(tile, time.time()), strict=True))
    plot = plots.bars(plotted, _bar, _SIZE, slots=max(_FEWEST, len(plotted)))
    values = {"tile": tile, "queue": queue, "landings": over, "plot": plot, "plot_words": _plot_words(tile.record)}
    return _page(start, "project.html", etag, trail=trail, **values)


def _bar(item: Started) -> tuple[float, str]:
    assert item.outcome is not None
    return seconds(item), _FATES[item.outcome][0]


def _plot_words(found: Record) -> str:
    """What the plot shows, for who does not see it."""
    share = f" ({100 * found.landed // found.ended} %)" if found.ended else ""
    words_ = f"{found.landed} of the last {plural(found.ended, 'landing')} landed{share}"
    return f"{words_}; one takes {duration(found.usual)} usually." if found.usual is not None else f"{words_}."


def missing(start: str) -> Response:
    """There is no such page."""
    words = {"code": 404, "brief": "there is no such page", "details": "", "resolution": ""}
    return looks.page(_rendered(start, "error.html", **words), 404)


def _page(start: str, template: str, etag: str, **values: Any) -> Response:
    return looks.page(_rendered(start, template, **values), 200, etag)


def _rendered(start: str, template: str, **values: Any) -> str:
    common = {
        "site": "byoci",
        "version": byoci.__version__,
        "start": start,
        "user": "",
        "signed_in": False,
        "crumb": "",
        "trail": (),
        "menu": [("Projects", start, (0, ""), template != "error.html")],
        "now": time.time(),
        "fates": _FATES,
        "address": functools.partial(_address, start),
        "web": _web,
        "feed": lambda name: f"{start}feed/{quote(name, safe='')}",
    }
    return _environment().get_template(template).render(common | values)


def _address(start: str, name: str) -> str:
    return f"{start}project/{quote(name, safe='')}"


def _web(url: str) -> str:
    """An address that a page may link to; "" for any other: what a controller or a forge tells could be a script."""
    return url if url.startswith(("http://", "https://")) else ""
