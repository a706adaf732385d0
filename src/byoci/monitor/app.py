"""The monitor over http: pages for people, JSON and metrics for programs, and the forges' webhooks."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from byoci.identity.throttle import TooManyTriesError
from byoci.monitor import badges, door, feeds, hooks, pages, told
from byoci.monitor.kept import Kept
from byoci.monitor.sight import Sight
from byoci.web import looks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Receive, Scope, Send

    from byoci.identity.access import Access
    from byoci.monitor.board import Board, Tile
    from byoci.monitor.sight import Permissions
    from byoci.monitor.state import State

_FRESH: Final = {**looks.HEADERS, "Cache-Control": "no-store"}
_ALIVE: Final = 60.0  # seconds without a sign of the brain after which it counts as stuck


@dataclass(frozen=True, slots=True)
class At:
    """Where the monitor answers.

    url     its address as people see it; `own` as this machine does
    secrets gives what webhooks may be signed with; nothing refuses all of them
    wake    is told the name of a forge of which something was heard
    """

    url: str
    own: str
    secrets: Callable[[], Sequence[bytes]]
    wake: Callable[[str], None]


class App:
    """See the module.

    access       who may sign in
    permissions  and who may see what
    """

    def __init__(self, board: Board, state: State, access: Access, permissions: Permissions, at: At) -> None:
        self._board = board
        self._state = state
        self._permissions = permissions
        self._door = door.Door(access, at.url, anonymous=permissions.anonymous)
        self._start = urlsplit(at.url).path or "/"
        self._url = at.url
        # A page of somebody else's can have its own name mean this machine: a browser's request tells by that name.
        self._hosts = {"localhost", *(urlsplit(address).hostname or "" for address in (at.url, at.own))}
        self._hooks = hooks.Hooks(state, at.secrets, at.wake)
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
        if words[0] == "static" and (file := self._static(words)):
            return file
        try:
            return await self._greet(request, words)
        except (door.WrongError, TooManyTriesError) as error:
            return door.refused(error)

    async def _greet(self, request: Request, words: list[str]) -> Response:
        """Find out who asks. All that is made for him is made of what he may see."""
        guest = await self._door.guest(request)
        if words in (["login"], ["logout"]):
            return await self._door.sign(request, words[0], guest)
        if request.method not in ("GET", "HEAD"):
            return _plain(405, "Here is only to be read.", {"Allow": "GET, HEAD"})
        sight = Sight(self._board, self._state, self._permissions, guest.name)
        if words == ["healthz"]:
            return self._health(sight)
        if not self._door.may_look(guest):
            return self._door.ask(request)
        return self._read(request, words, sight, self._door.frame(guest))

    async def _hear(self, request: Request, forge: str) -> Response:
        known = {tile.forge for tile in self._board.tiles()}
        return _plain(*await self._hooks.hear(request, forge, forge in known))

    def _static(self, words: list[str]) -> Response | None:
        return looks.static(words[2], words[1]) if len(words) == 3 else None

    def _read(self, request: Request, words: list[str], sight: Sight, frame: pages.Frame) -> Response:
        answer: Response | None = None
        match words:
            case ["metrics"]:
                text = told.metrics(sight.tiles(), sight.counts(), sight.agents)
                answer = Response(text, headers=_FRESH, media_type="text/plain; version=0.0.4; charset=utf-8")
            case ["api", "projects"]:
                answer = _json([told.project(tile, time.time()) for tile in sight.tiles()])
            case ["api", "projects", name] if tile := sight.tile(name):
                landings = [told.landing(item) for item in sight.landings(name)]
                more = {"log": told.log(tile.log), "landings": landings}
                answer = _json({**told.project(tile, time.time()), **more})
            case ["api", "agents"]:
                answer = _json(told.agents(sight.agents))
            case ["badge", name] if tile := sight.tile(name.removesuffix(".svg")):
                answer = _picture(badges.badge(tile), everywhere=self._permissions.may(None, tile.project))
            case ["feed", name] if tile := sight.tile(name):
                text = feeds.feed(tile, sight.landings(name, 50), self._url)
                answer = _text(text, "application/atom+xml")
            case [""] | ["project", _]:
                answer = self._page(request, words, sight, frame)
        return answer or pages.missing(frame)

    def _page(self, request: Request, words: list[str], sight: Sight, frame: pages.Frame) -> Response | None:
        tile = sight.tile(words[1]) if words != [""] else None
        if words != [""] and tile is None:
            return None
        etag = pages.etag_of(sight.version, frame, str(request.scope["path"]))
        if looks.has(etag, request.headers.get("if-none-match", "")):
            return looks.unchanged(etag)
        return self._kept.page(etag, lambda: self._made(tile, sight, frame, etag))

    def _made(self, tile: Tile | None, sight: Sight, frame: pages.Frame, etag: str) -> Response:
        if tile is None:
            return pages.overview(frame, sight.tiles(), sight.agents, sight.latest(15), etag)
        return pages.project(frame, tile, sight.landings(tile.project), etag)

    def _health(self, sight: Sight) -> Response:
        silent = time.monotonic() - self._board.worked
        alive = silent < _ALIVE
        troubles = sum(bool(tile.trouble) for tile in sight.tiles())
        return _json({"ok": alive, "silent_seconds": round(silent, 1), "troubles": troubles}, 200 if alive else 503)


def _name(host: str) -> str:
    """The name in a header `Host`, without the port; "" where it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _plain(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{words}\n", status, headers={**_FRESH, **(headers or {})})


def _text(text: str, kind: str) -> Response:
    return Response(
        text.encode("utf-8", "replace"), headers={**looks.HEADERS, "Cache-Control": "no-cache"}, media_type=kind
    )


def _picture(text: str, *, everywhere: bool) -> Response:
    """One that other sites' pages may show, too, where it is for everybody: else these would learn who may see it."""
    answer = _text(text, "image/svg+xml")
    if everywhere:
        answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value).encode()
    return Response(body, status, headers=_FRESH, media_type="application/json")
