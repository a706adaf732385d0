"""The ASGI application: lets people in, finds the handler of an address, and turns errors into answers."""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from byoci.controller.api import builds, http, items, site
from byoci.controller.api.shapes import root_bean
from byoci.controller.beans import Bean
from byoci.controller.catalog import MissingError
from byoci.controller.pages import routes, signing
from byoci.controller.places import join
from byoci.errors import ByociError, UnavailableError, of_bug, of_system
from byoci.identity.access import CRUMB_FIELD
from byoci.web import looks
from byoci.web.bodies import read_body, read_fields, read_form
from byoci.web.signing import is_own

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from byoci.controller.api.http import Call
    from byoci.controller.controller import Controller
    from byoci.identity.access import Access

_log = logging.getLogger(__name__)
_LONGEST: Final = 8000  # characters of a path
_PATIENCE: Final = 120.0  # seconds for a request's body to arrive
# What is read of somebody who did not sign in: a job's own token may be in a form.
_PATIENCE_WITH_STRANGERS: Final = 10.0
_MOST_OF_STRANGERS: Final = 1 << 18  # bytes
_MOST_STRANGERS: Final = 50
_BUILDS: Final = (["build"], ["buildWithParameters"])
_METHODS: Final = {"GET": "GET", "HEAD": "GET", "POST": "POST"}


class App:
    """See the module. It serves below the path of the controller's address."""

    def __init__(self, controller: Controller, access: Access) -> None:
        self._controller = controller
        self._access = access
        self._strangers = 0  # of whom a body is being read
        parts = urlsplit(controller.url)
        self._start = parts.path
        self._origin = f"{parts.scheme}://{parts.netloc}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = HttpRequest(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        except ByociError as error:
            answer = http.refused(error)
        except OSError as error:
            answer = http.refused(of_system(error))
        except Exception as error:  # noqa: BLE001 - a bug in one address must not end the others
            _log.exception("a request failed")
            answer = http.refused(of_bug(error))
        answer.headers["X-Jenkins"] = http.VERSION
        answer.headers.setdefault("X-Content-Type-Options", "nosniff")
        await answer(scope, receive, send)

    async def _answer(self, request: HttpRequest) -> Response:
        method = _METHODS.get(request.method)
        path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
        if method is None:
            raise http.MethodError(f"{request.method[:20]!a} is no method that the controller knows")
        if len(path) > _LONGEST or not f"{path}/".startswith(self._start):
            raise MissingError("there is nothing at this address")
        words = [unquote(word, errors="surrogateescape") for word in path[len(self._start) :].split("/") if word]
        if {b"transfer-encoding", b"content-length"} <= {
            name for name, _ in request.scope["headers"]
        }:  # a proxy may take the one, we the other
            answer = http.text("A request has one length.\n", 400)
            answer.headers["Connection"] = "close"
            return answer
        call = await self._read(request, method, path, words)
        try:
            return await self._let_in(call, words)
        except ByociError as error:
            if not call.browser:
                raise
            return routes.refused(call, error, http.status_of(error))

    async def _let_in(self, call: Call, words: list[str]) -> Response:
        """Answer, where the caller may ask for that."""
        match words:
            case ["static", edition, name] if found := looks.static(name, edition):
                return found
            case ["login"] if call.method == "GET":
                return signing.form(call)
            case ["login"]:
                self._check_origin(call)
                return await signing.sign_in(call)
        if call.caller is None and not self._by_job_token(call, words):
            return signing.to_form(call) if call.browser and call.method == "GET" else _who_are_you()
        self._check_post(call)
        if words == ["logout"]:
            http.only_post(call)
            return signing.sign_out(call)
        answer = await _find(call, words)
        return routes.after_post(call, answer) if call.browser and call.method == "POST" else answer

    async def _read(self, request: HttpRequest, method: str, path: str, words: list[str]) -> Call:
        headers = request.headers
        parameters = request.scope["query_string"].decode("latin-1")
        peer = request.client.host if request.client else ""
        caller, session = await self._access.caller(headers.get("authorization", ""), peer), ""
        if "authorization" not in headers:
            caller, session = self._access.session(request.cookies.get(self._access.cookie, "")) or (None, "")
        body = await self._posted(request, caller, words) if method == "POST" else b""
        return http.Call(
            self._controller,
            self._access,
            method,
            read_fields(parameters),
            headers,
            body,
            caller,
            read_form(body, headers.get("content-type", "")),
            f"{path}?{parameters}" if parameters else path,
            peer,
            session,
        )

    async def _posted(self, request: HttpRequest, caller: str | None, words: list[str]) -> bytes:
        """What was posted; of strangers, who may only sign in or start a job with its token, little and soon."""
        if caller is not None:
            return await read_body(request, http.MOST_BODY, _PATIENCE)
        if words[-1:] not in _BUILDS and words != ["login"]:
            return b""  # he is refused whatever it is
        if self._strangers >= _MOST_STRANGERS:
            raise UnavailableError("too many strangers at once", resolution="Try again in some seconds.")
        self._strangers += 1
        try:
            return await read_body(request, _MOST_OF_STRANGERS, _PATIENCE_WITH_STRANGERS)
        finally:
            self._strangers -= 1

    def _by_job_token(self, call: Call, words: list[str]) -> bool:
        """Whether the address starts a job and carries that job's own token."""
        given = call.value("token")
        if not given or words[-1:] not in _BUILDS:
            return False
        folders, names = words[:-1:2], words[1:-1:2]
        job = self._controller.catalog.jobs.get("/".join(names)) if set(folders) == {"job"} else None
        return bool(
            job and job.token and hmac.compare_digest(job.token.encode(), given.encode("utf-8", "surrogateescape"))
        )

    def _check_post(self, call: Call) -> None:
        """Refuse what a browser sends for another site's page, and a crumb that is not the caller's."""
        if call.method != "POST" or call.caller is None:
            return
        self._check_origin(call)
        crumb = call.headers.get(CRUMB_FIELD) or call.form.get(CRUMB_FIELD)
        if crumb is None and not call.session:
            return  # who sends a token with every request is no browser that somebody else could steer
        if not hmac.compare_digest(call.crumb.encode(), (crumb or "").encode("utf-8", "surrogateescape")):
            raise http.ForbiddenError(
                "No valid crumb was included in the request", resolution="Load the page again, and sign in if asked."
            )

    def _check_origin(self, call: Call) -> None:
        own = {self._origin, f"{urlsplit(self._origin).scheme}://{call.headers.get('host', '')}"}
        if not is_own(call.headers, own):
            details = call.headers.get("origin", "")[:200]
            raise http.ForbiddenError("posts from other sites are refused", details=details)


def _who_are_you() -> Response:
    answer = http.text("Who are you? Send a user name with a password, or with an API token in its place.\n", 401)
    answer.headers["WWW-Authenticate"] = 'Basic realm="byoci"'
    return answer


async def _find(call: Call, words: list[str]) -> Response:
    """Follow an address: through views and folders to an item, and there to what is asked of it."""
    path = ""
    while len(words) >= 2 and words[0] in ("job", "view"):
        if words[0] == "view":
            if len(words) < 3 or words[2] != "job":
                if call.method == "GET" and (page := routes.view(call, path, words[1], words[2:])):
                    return await routes.show(call, page)
                return await items.view(call, path, words[1], words[2:])
        else:
            path = join(path, words[1])
        words = words[2:]
    if not path:
        return await _root(call, words)
    if words and not call.controller.catalog.item(path).folder and (row := builds.find(call, path, words[0])):
        page = routes.build(call, row, words[1:]) if call.method == "GET" else None
        return await (routes.show(call, page) if page else builds.build(call, row, words[1:]))
    if call.method == "GET" and (page := routes.item(call, path, words)):
        return await routes.show(call, page)
    return await items.item(call, path, words)


async def _root(call: Call, words: list[str]) -> Response:
    if call.method == "GET" and (page := routes.root(call, words)):
        return await routes.show(call, page)
    match words:
        case ["api", "json" | "xml" as kind]:
            return http.tell(call, root_bean(call.controller), kind)
        case ["crumbIssuer", "api", "json" | "xml" as kind]:
            return site.crumb(call, kind)
        case ["me", "api", "json" | "xml" as kind]:
            return site.me(call, kind)
        case ["whoAmI", "api", "json" | "xml" as kind]:
            return site.who_am_i(call, kind)
        case ["user", name, *rest]:
            return site.user(call, name, rest)
        case ["queue", *rest]:
            return site.queue(call, rest)
        case ["computer", *rest]:
            return await site.computer(call, rest)
        case ["createItem"]:
            return items.create_item(call, "")
        case ["createView"]:
            return await items.create_view(call, "")
        case ["quietDown" | "cancelQuietDown" as verb]:
            return site.quiet_down(call, quiet=verb == "quietDown")
        case ["reload"]:  # what is configured is never read from elsewhere
            http.only_post(call)
            return http.go_to(call, "")
        case ["restart" | "safeRestart"]:
            return site.restart(call)
        case ["pluginManager", "api", "json" | "xml" as kind]:
            return http.tell(call, Bean("hudson.LocalPluginManager", {"plugins": []}), kind)
        case ["scriptText"]:
            return await site.script(call)
    raise MissingError("there is nothing at this address")
