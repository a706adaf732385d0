"""The monitor over http: pages for people, JSON and metrics for programs, and the forges' webhooks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from byoci.monitor import hooks, pages, told
from byoci.monitor.kept import Kept
from byoci.web import looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from byoci.monitor.board import Board
    from byoci.monitor.state import State

_ALIVE: Final = 60.0  # seconds without a sign of the brain after which it counts as stuck


class App:
    """See the module.

    url     the monitor's address as people see it; `own` as this machine does
    secret  what webhooks are signed with; b"" refuses all of them
    wake    is told the name of a forge of which something was heard
    """

    def __init__(
        self, board: Board, state: State, url: str, own: str, secret: bytes, wake: Callable[[str], None]
    ) -> None:
        self._board = board
        self._state = state
        self._start = urlsplit(url).path or "/"
        # A page of somebody else's can have its own name mean this machine: a browser's request tells by that name.
        self._hosts = {"localhost", *(urlsplit(address).hostname or "" for address in (url, own))}
        self._hooks = hooks.Hooks(state, secret, wake)
        self._kept = Kept()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = str(request.scope["path"])
        if _name(request.headers.get("host", "")) not in self._hosts:
            return _plain(421, "This monitor has another name.")
        if not path.startswith(self._start):
            return _plain(404, "There is nothing here.")
        words = path.removeprefix(self._start).strip("/").split("/")
        if words[0] == "hooks" and len(words) == 2:
            return await self._hear(request, words[1])
        if request.method not in ("GET", "HEAD"):
            return _plain(405, "Here is only to be read.", {"Allow": "GET, HEAD"})
        return self._read(request, words)

    async def _hear(self, request: Request, forge: str) -> Response:
        known = {tile.forge for tile in self._board.tiles()}
        return _plain(*await self._hooks.hear(request, forge if forge in known else None))

    def _read(self, request: Request, words: list[str]) -> Response:
        answer: Response | None = None
        match words:
            case ["healthz"]:
                answer = self._health()
            case ["metrics"]:
                text = told.metrics(self._board.tiles(), self._state.counts())
                answer = Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
            case ["static", edition, name]:
                answer = looks.static(name, edition)
            case ["api", "projects"]:
                answer = _json([told.project(tile) for tile in self._board.tiles()])
            case ["api", "projects", name] if tile := self._board.tile(name):
                landings = [told.landing(item) for item in self._state.newest(name)]
                answer = _json({**told.project(tile), "landings": landings})
            case [""] | ["project", _]:
                answer = self._page(request, words)
        return answer or pages.missing(self._start)

    def _page(self, request: Request, words: list[str]) -> Response:
        etag = pages.etag_of(self._board, str(request.scope["path"]))
        if looks.has(etag, request.headers.get("if-none-match", "")):
            return looks.unchanged(etag)
        return self._kept.page(etag, lambda: self._made(words, etag))

    def _made(self, words: list[str], etag: str) -> Response:
        if words == [""]:
            return pages.overview(self._start, self._board.tiles(), self._state.newest(limit=15), etag)
        tile = self._board.tile(words[1])
        if tile is None:
            return pages.missing(self._start)
        return pages.project(self._start, tile, self._state.newest(tile.project), etag)

    def _health(self) -> Response:
        silent = time.monotonic() - self._board.worked
        alive = silent < _ALIVE
        troubles = sum(bool(tile.trouble) for tile in self._board.tiles())
        return _json({"ok": alive, "silent_seconds": round(silent, 1), "troubles": troubles}, 200 if alive else 503)


def _name(host: str) -> str:
    """The name in a header `Host`, without the port; "" where it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _plain(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(
        f"{words}\n", status, headers={**looks.HEADERS, "Cache-Control": "no-store", **(headers or {})}
    )


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value).encode()
    headers = {**looks.HEADERS, "Cache-Control": "no-store"}
    return Response(body, status, headers=headers, media_type="application/json")
