"""Which page an address is. What has none here is the remote API's."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from byoci.controller.pages import builds, frame, jobs, live, nodes, overview, queueing, testing
from byoci.web import looks

if TYPE_CHECKING:
    from byoci.controller.api.http import Call
    from byoci.controller.nodexml import Node
    from byoci.controller.rows import BuildRow
    from byoci.errors import ByociError

Page: TypeAlias = Callable[[], Response | Awaitable[Response]]


def root(call: Call, words: list[str]) -> Page | None:
    """The page of an address of the controller itself."""
    match words:
        case []:
            return partial(overview.overview, call, "")
        case ["queue"]:
            return partial(queueing.queue, call)
        case ["computer"]:
            return partial(nodes.nodes, call)
    return None


def view(call: Call, folder: str, name: str, words: list[str]) -> Page | None:
    """The page of a view, or of a view in a view."""
    names = [name]
    while len(words) >= 2 and words[0] == "view":
        names.append(words[1])
        words = words[2:]
    return None if words else partial(overview.overview, call, folder, tuple(names))


def item(call: Call, path: str, words: list[str]) -> Page | None:
    """The page of a job or folder."""
    folder = call.controller.catalog.item(path).folder
    match words:
        case [] if folder:
            return partial(overview.overview, call, path)
        case []:
            return partial(jobs.job, call, path)
        case ["build" | "buildWithParameters"] if not folder and call.browser:
            return partial(jobs.parameters, call, path)
        case ["delete"]:
            return partial(jobs.confirm, call, path)
    return None


def build(call: Call, row: BuildRow, words: list[str]) -> Page | None:
    """The page of a build."""
    known: dict[str, Page] = {
        "": partial(builds.build, call, row, console=False),
        "console": partial(builds.build, call, row, console=True),
        "consoleFull": partial(builds.build, call, row, console=True),
        "events": partial(live.follow, call, row),
        "artifact": partial(builds.artifacts, call, row),
        "testReport": partial(testing.tests, call, row),
        "confirmDelete": partial(builds.confirm, call, row),
    }
    return known.get("/".join(words))


def node(call: Call, found: Node, words: list[str]) -> Page | None:
    """The page of an agent."""
    match words:
        case []:
            return partial(nodes.node, call, found)
        case ["delete"]:
            return partial(nodes.confirm, call, found)
    return None


async def show(call: Call, page: Page) -> Response:
    """The page, unless the browser has it already."""
    etag = frame.etag_of(call)
    if looks.has(etag, call.headers.get("if-none-match", "")):
        return looks.unchanged(etag)
    made = page()
    return await made if inspect.isawaitable(made) else made


def after_post(call: Call, answer: Response) -> Response:
    """Where a person's browser goes after a post, in place of what clients of the API are told."""
    location = answer.headers.get("location", "")
    if not location.startswith(call.controller.url):
        return answer
    target = urlsplit(location).path
    if answer.status_code == 201:  # a build was asked for: its job's page shows what became of that
        target = call.asked.partition("?")[0].rstrip("/").rpartition("/")[0] + "/"
    return RedirectResponse(target.removesuffix("api/json"), status_code=303)


def refused(call: Call, error: ByociError, status: int) -> Response:
    """An error as a page."""
    words = {"brief": error.brief[:1000], "details": error.details[:5000], "resolution": error.resolution[:1000]}
    return frame.render(call, "error.html", status=status, code=status, **words)
