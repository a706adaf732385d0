"""The controller's own page, folders and views: jobs, what runs, what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from byoci.controller.catalog import ALL_VIEW
from byoci.controller.pages import frame, plots, queueing, states

if TYPE_CHECKING:
    from starlette.responses import Response

    from byoci.controller.api.http import Call

_PER_PAGE: Final = 100
_SHOWN: Final = ("failure", "unstable", "success", "aborted", "not_built", "disabled")
_BESIDE: Final = 10  # of what runs and what waits


def overview(call: Call, folder: str, view: tuple[str, ...] = ()) -> Response:
    """What is directly in a folder ("" is the root), or what a view of it shows; `view` are names of views in views."""
    catalog = call.controller.catalog
    seen = None if view in ((), (ALL_VIEW,)) else catalog.read_view(folder, view)
    items = catalog.below(folder) if seen is None else catalog.shown_in(folder, seen)
    running = states.running_by_job(call.controller)
    make = {True: states.folder_row, False: states.job_row}
    rows = [make[item.folder](call.controller, item.path, running) for item in items]
    counts = {name: sum(row.state[0] == name for row in rows) for name in _SHOWN}
    chosen, words = call.value("state"), call.value("filter").strip()
    total = len(rows)
    rows = [row for row in rows if chosen in ("", row.state[0]) and words.lower() in row.name.lower()]
    page = frame.page_of(call)
    here = frame.url_of(call, folder) + _view_url(view)
    more = [(f"View {name}", frame.url_of(call, folder) + _view_url(view[: at + 1])) for at, name in enumerate(view)]
    return frame.render(
        call,
        "overview.html",
        trail=frame.trail_of(call, folder, *more) if folder or view else (),
        here="jobs",
        folder=folder,
        address=here,
        view=view[-1] if view else "",
        description=seen.description if seen else "",
        views=_views(call, folder, view),
        rows=rows[page * _PER_PAGE : (page + 1) * _PER_PAGE],
        spark=plots.spark,
        url_of=lambda path: frame.url_of(call, path),
        counts=[(name, word, counts[name]) for name, word in _words() if counts[name]],
        total=total,
        found=len(rows),
        chosen=chosen,
        words=words,
        pages=frame.pages_beside(here, len(rows), page, _PER_PAGE, {"state": chosen, "filter": words}),
        quiet=call.controller.quiet,
        **_beside(call, folder),
    )


def _words() -> list[tuple[str, str]]:
    known = dict([*states.WORDS.values(), states.DISABLED])
    return [(name, known[name]) for name in _SHOWN]


def _beside(call: Call, folder: str) -> dict[str, Any]:
    """What runs and what waits, of this folder."""
    start = f"{folder}/" if folder else ""
    runs = [running for running in call.controller.running.values() if running.row.job.startswith(start)]
    waits = [queued for queued in queueing.waiting(call) if queued.job.startswith(start)]
    return {
        "runs": [(running.row, states.usual(call.controller, running.row.job)) for running in runs[:_BESIDE]],
        "runs_more": max(0, len(runs) - _BESIDE),
        "waits": waits[:_BESIDE],
        "waits_more": max(0, len(waits) - _BESIDE),
    }


def _view_url(view: tuple[str, ...]) -> str:
    return "".join(f"view/{quote(name, safe='')}/" for name in view)


def _views(call: Call, folder: str, view: tuple[str, ...]) -> list[tuple[str, str, bool]]:
    """The views beside this one, and those in it: names, addresses, whether it is this one."""
    base, catalog = frame.url_of(call, folder), call.controller.catalog
    names = catalog.views(folder)
    if not names:
        return []
    beside = [("All", base, view in ((), (ALL_VIEW,)))]
    beside += [(name, base + _view_url((name,)), view[:1] == (name,)) for name in names]
    if not view or view == (ALL_VIEW,):
        return beside
    inner = catalog.read_view(folder, view).views
    return beside + [(name, base + _view_url((*view, name)), False) for name, _ in inner]
