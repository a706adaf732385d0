"""A build's pages: what it is with its log, its artifacts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from byoci.controller.changes import load_changes
from byoci.controller.pages import frame, states
from byoci.controller.pages.logs import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.pages.logs import Match, Window
    from byoci.controller.rows import BuildRow
    from byoci.web.logtext import Line

_ARTIFACTS: Final = 20  # on the build's own page
_CHANGES: Final = 20
_MOST_ARTIFACTS: Final = 2000


def build_url(call: Call, row: BuildRow) -> str:
    """The path of a build's page."""
    return f"{frame.url_of(call, row.job)}{row.number}/"


def trail_of(call: Call, row: BuildRow, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """Where a build's page is."""
    return frame.trail_of(call, row.job, (f"#{row.number}", build_url(call, row)), *more)


async def build(call: Call, row: BuildRow, *, console: bool) -> Response:
    """`job/NAME/NUMBER/` and, with the log alone, `…/console`."""
    controller = call.controller
    window, matches, more = await asyncio.to_thread(_log, call, row)
    changes = await asyncio.to_thread(load_changes, controller.places.changes(row.job, row.number))
    url = build_url(call, row)
    more_trail = [("Console", f"{url}console")] if console else []
    artifacts = artifacts_of(call, row)
    return frame.render(
        call,
        "build.html",
        trail=trail_of(call, row, *more_trail),
        here="jobs",
        row=row,
        url=url,
        job_url=frame.url_of(call, row.job),
        name=row.job.replace("/", " » "),
        state=states.of_result(row.result),
        console=console,
        usual=states.usual(controller, row.job),
        stopping=getattr(controller.running.get(row.id), "stopping", ""),
        earlier=controller.state.beside(row, later=False),
        later=controller.state.beside(row, later=True),
        parameters=_parameters(row),
        node=(controller.nodes[row.node].shown if row.node in controller.nodes else row.node or "Built-In Node"),
        node_url=frame.node_url(call, row.node) if row.node in controller.nodes else "",
        artifacts=artifacts[:_ARTIFACTS],
        artifacts_all=len(artifacts),
        tests=(row.facts or {}).get("tests"),
        revision=(row.facts or {}).get("revision"),
        changes=changes[:_CHANGES],
        changes_all=len(changes),
        log=_links(url + ("console" if console else ""), window),
        lines=lines_as_html(window.lines, f"{url}console"),
        window=window,
        line=_number(call.value("line")),
        find=call.value("find"),
        matches=[(match, f"{url}console?line={match.number}#L{match.number}") for match in matches],
        matches_more=more,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _log(call: Call, row: BuildRow) -> tuple[Window, list[Match], bool]:
    """The part of the log that is asked for, and what a search found. Works on files."""
    from byoci.controller.pages.logs import Window

    path = call.controller.places.log(row.job, row.number)
    if not path.exists():
        return Window(0, 0, 0, 1, ()), [], False
    with Log(path) as log:
        matches, more = log.find(call.value("find")) if call.value("find") else ([], False)
        line, before, start = (_number(call.value(name)) for name in ("line", "before", "from"))
        if line is not None:
            return log.around(line), matches, more
        if before is not None:
            return log.before(before), matches, more
        return log.end() if start is None else log.after(start), matches, more


def _links(url: str, window: Window) -> dict[str, str]:
    """Where the rest of the log is; "" where there is none."""
    more_before, more_after = window.start > 0, window.end < window.size
    return {
        "first": f"{url}?from=0#log" if more_before else "",
        "earlier": f"{url}?{urlencode({'before': window.start})}#log" if more_before else "",
        "later": f"{url}?{urlencode({'from': window.end})}#log" if more_after else "",
        "last": f"{url}#end" if more_after else "",
    }


def lines_as_html(lines: Iterable[Line], url: str) -> Markup:
    """Lines as list items; everything in them is escaped here."""
    return Markup("").join(_line(line, str(escape(url))) for line in lines)


def _line(line: Line, url: str) -> Markup:
    text = "".join(
        f'<span class="{look}">{escape(text)}</span>' if look else str(escape(text)) for look, text in line.parts
    )
    kind = f" is-{line.kind}" if line.kind else ""
    if line.kind == "more":
        return Markup(f'<li class="line{kind}"><span class="text">{text}</span></li>\n')  # noqa: S704 - escaped above
    number = f'<a href="{url}?line={line.number}#L{line.number}" tabindex="-1">{line.number}</a>'
    return Markup(  # noqa: S704 - escaped above
        f'<li class="line{kind}" id="L{line.number}">{number}<span class="text">{text}</span></li>\n'
    )


def _parameters(row: BuildRow) -> list[tuple[str, str]]:
    hidden = row.request.secrets
    return [(name, "********" if name in hidden else value) for name, value in row.request.parameters.items()]


def artifacts_of(call: Call, row: BuildRow) -> Sequence[tuple[str, str, int | None]]:
    """Path, address and size of what a build kept; no size where the file is gone."""
    files = call.controller.places.files(row.job, row.number)
    url = build_url(call, row)
    found = []
    for number, path in (row.facts or {}).get("artifacts", ())[:_MOST_ARTIFACTS]:
        try:
            size: int | None = (files / str(number) / path).lstat().st_size
        except OSError:
            size = None
        found.append((path, f"{url}artifact/{quote(path)}", size))
    return found


def artifacts(call: Call, row: BuildRow) -> Response:
    """`job/NAME/NUMBER/artifact/`."""
    url = build_url(call, row)
    values: dict[str, Any] = {"row": row, "artifacts": artifacts_of(call, row), "name": row.job.replace("/", " » ")}
    return frame.render(
        call, "artifacts.html", trail=trail_of(call, row, ("Artifacts", f"{url}artifact/")), here="jobs", **values
    )


def confirm(call: Call, row: BuildRow) -> Response:
    """`job/NAME/NUMBER/confirmDelete`."""
    url = build_url(call, row)
    consequence = "Its log, artifacts and tests are removed. This cannot be undone."
    return frame.confirm(
        call,
        url,
        f"Delete {row.job.replace('/', ' » ')} #{row.number}?",
        consequence,
        trail=trail_of(call, row, ("Delete", f"{url}confirmDelete")),
        here="jobs",
    )
