"""Who comes to the dashboard: anybody, a program with a password or token, or a browser that signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

from byoci.errors import UsageError
from byoci.identity.throttle import TooManyTriesError
from byoci.monitor import pages
from byoci.web import looks, signing
from byoci.web.bodies import read_body, read_form

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from byoci.identity.access import Access

_LARGEST: Final = 1 << 14  # bytes of a form
_PATIENCE: Final = 10.0  # seconds for it to arrive
_MOST: Final = 50  # forms that are being read at once
CRUMB: Final = "Jenkins-Crumb"
"""The field of a form that shows that it is of a page of ours."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who asks.

    name     None for somebody who has not signed in
    session  the id of a browser's session; "" for a program
    """

    name: str | None = None
    session: str = ""


class WrongError(UsageError):
    """A program's name and its password or token do not belong together."""


class Door:
    """See the module. It belongs to one event loop.

    url        the dashboard's address as people see it
    anonymous  whether there is something to see for who has not signed in
    """

    def __init__(self, access: Access, url: str, *, anonymous: bool) -> None:
        parts = urlsplit(url)
        self._access = access
        self._start = parts.path or "/"
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._anonymous = anonymous
        self._reading = 0

    async def guest(self, request: Request) -> Guest:
        """Who that is. Raises `WrongError`, and `TooManyTriesError` for who guesses."""
        header = request.headers.get("authorization")
        if header is not None:
            peer = request.client.host if request.client else ""
            name = await self._access.caller(header, peer)
            if name is None:
                raise WrongError("that name and that password or token do not belong together")
            return Guest(name)
        found = self._access.session(request.cookies.get(self._access.cookie, ""))
        return Guest(*found) if found else Guest()

    def frame(self, guest: Guest) -> pages.Frame:
        """What the pages of that guest are made in."""
        crumb = self._access.crumb_of_session(guest.session) if guest.session else ""
        return pages.Frame(self._start, guest.name or "", crumb)

    def may_look(self, guest: Guest) -> bool:
        """Whether there may be something to see for that guest."""
        return self._anonymous or guest.name is not None

    def ask(self, request: Request) -> Response:
        """Have somebody sign in; whatever he asked for, and whether or not that is there, he is told the same."""
        if "text/html" in request.headers.get("accept", "") and request.method == "GET":
            asked, query = str(request.scope["path"]), request.scope["query_string"].decode("latin-1")
            return signing.to_form(self._start, f"{asked}?{query}" if query else asked)
        return _plain(401, "Who are you? Send a name with a password, or with an API token in its place.", _BASIC)

    async def sign(self, request: Request, word: str, guest: Guest) -> Response:
        """The addresses `login` and `logout`."""
        if word == "login" and request.method in ("GET", "HEAD"):
            return self._form(guest, request.query_params.get("from", ""))
        if request.method != "POST":
            return _plain(405, "Signing in and out is posted.", {"Allow": "POST"})
        if not signing.is_own(request.headers, {self._origin, f"http://{request.headers.get('host', '')}"}):
            return _plain(403, "Posts from other sites are refused.")
        if self._reading >= _MOST:
            return _plain(503, "Too many sign in at once. Try again in some seconds.")
        self._reading += 1
        try:
            body = await read_body(request, _LARGEST, _PATIENCE)
            form = read_form(body, request.headers.get("content-type", ""))
        except UsageError as error:
            return _plain(400, str(error))
        finally:
            self._reading -= 1
        return await self._sign_in(request, form, guest) if word == "login" else self._sign_out(form, guest)

    async def _sign_in(self, request: Request, form: dict[str, str], guest: Guest) -> Response:
        wanted, name = form.get("from", ""), form.get("name", "").strip()
        peer = request.client.host if request.client else ""
        try:
            word = await self._access.sign_in(name, form.get("secret", ""), peer)
        except TooManyTriesError as error:
            answer = self._form(guest, wanted, name, f"Too many wrong passwords. {error.resolution}", 429)
            answer.headers["Retry-After"] = str(error.seconds)
            return answer
        if word is None:
            wrong = "That name and that password or token do not belong together."
            return self._form(guest, wanted, name, wrong, 403)
        if guest.session:
            self._access.sign_out(guest.session)
        return signing.let_in(self._access, word, self._start, wanted, secure=self._origin.startswith("https:"))

    def _sign_out(self, form: dict[str, str], guest: Guest) -> Response:
        if guest.session:
            if not self._access.is_crumb(f"\0{guest.session}", form.get(CRUMB, "")):
                return _plain(403, "The form is of another session. Load the page again.")
            self._access.sign_out(guest.session)
        return signing.let_out(self._access, self._start)

    def _form(self, guest: Guest, wanted: str, name: str = "", wrong: str = "", status: int = 200) -> Response:
        return pages.sign_in(self.frame(guest), signing.target(self._start, wanted), name[:200], wrong, status)


_BASIC: Final = {"WWW-Authenticate": 'Basic realm="byoci"'}


def refused(error: UsageError) -> Response:
    """The answer to a program that is not let in."""
    if isinstance(error, TooManyTriesError):
        return _plain(429, str(error), {"Retry-After": str(error.seconds)})
    return _plain(401, str(error), _BASIC)


def _plain(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    kept = {**looks.HEADERS, "Cache-Control": "no-store", **(headers or {})}
    return PlainTextResponse(f"{words}\n", status, headers=kept)
