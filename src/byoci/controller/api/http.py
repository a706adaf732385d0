"""What all handlers share: the request with its parameters, answers in Jenkins' ways, and errors as status codes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from byoci.controller.api.xpath import pick
from byoci.controller.beans import Bean, answer
from byoci.controller.catalog import DisabledError, MissingError
from byoci.controller.jobxml import JobRefusedError
from byoci.controller.render import as_json, as_xml
from byoci.errors import ByociError, UsageError
from byoci.identity.throttle import TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.controller import Controller
    from byoci.identity.access import Access

VERSION: Final = "2.440.3"  # of the Jenkins whose API this is; clients choose their ways by it
MOST_BODY: Final = 4 * 1024**2  # bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in.

    method   GET or POST; a HEAD is a GET whose body is not sent
    query    parameters of the address and, of a post, of its form
    caller   None where the address lets anybody in
    asked    the address: path and query, as they were sent
    peer     the network address of who asks
    session  id of the session of a browser that signed in; "" for who sends a token with every request
    """

    controller: Controller
    access: Access
    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    caller: str | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    asked: str = "/"
    peer: str = ""
    session: str = ""

    @property
    def browser(self) -> bool:
        """Whether a person looks at the answer, not a client of the API."""
        return "text/html" in self.headers.get("accept", "")

    @property
    def crumb(self) -> str:
        """What posts must carry that come from this caller's pages."""
        return self.access.crumb_of_session(self.session) if self.session else self.access.crumb(self.user)

    @property
    def user(self) -> str:
        """Who asks."""
        return self.caller or "anonymous"

    def value(self, name: str, default: str = "") -> str:
        """A parameter of the address or the form."""
        return self.query.get(name, self.form.get(name, default))

    def needed(self, name: str) -> str:
        """The same of a parameter that must be there. Raises `UsageError`."""
        value = self.value(name)
        if not value:
            raise UsageError(f"the parameter {name} is missing")
        return value


Handler: TypeAlias = Callable[[Call], Awaitable[Response] | Response]


class ForbiddenError(UsageError):
    """Who asks is known, and may not do that."""


class MethodError(UsageError):
    """The address takes posts only."""


def only_post(call: Call) -> None:
    """Raises `MethodError` for anything but a post: what changes something must not be a link."""
    if call.method != "POST":
        raise MethodError("this address takes posts only")


def tell(call: Call, bean: Bean, kind: str) -> Response:
    """The answer of `api/json` or `api/xml`."""
    told = answer(bean, tree=call.value("tree") or None, depth=call.value("depth") or None)
    if kind == "xml":
        data, is_text = as_xml(told), False
        if call.value("xpath") or call.value("exclude"):
            exclude = [call.value("exclude")] if call.value("exclude") else []
            data, is_text = pick(data, call.value("xpath"), call.value("wrapper"), exclude)
        return Response(data, media_type="text/plain" if is_text else "application/xml")
    return Response(as_json(told, pretty="pretty" in call.query), media_type="application/json")


def go_to(call: Call, path: str) -> Response:
    """The answer to a post that was done; the client looks there next. `path` is from the controller's address on."""
    return RedirectResponse(call.controller.url + path, status_code=302)


def xml(data: bytes) -> Response:
    """A config.xml: somebody's own XML, which must not be a page of ours in a browser."""
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'"}
    return Response(data, media_type="application/xml", headers=headers)


def text(words: str, status: int = 200) -> Response:
    """Words."""
    return Response(words.encode("utf-8", "backslashreplace"), status, media_type="text/plain; charset=utf-8")


def done() -> Response:
    """Nothing to say."""
    return Response(b"", 200)


def as_data(value: object) -> Response:
    """JSON of an answer that is no bean."""
    return Response(json.dumps(value).encode(), media_type="application/json")


def status_of(error: ByociError) -> int:
    """The status that clients act on."""
    statuses: tuple[tuple[type[ByociError], int], ...] = (
        (JobRefusedError, 500),  # as Jenkins does; of a 500 alone python-jenkins shows its user the words
        (MissingError, 404),
        (ForbiddenError, 403),
        (MethodError, 405),
        (TooManyTriesError, 429),
        (DisabledError, 409),
        (UsageError, 400),
    )
    return next((status for kind, status in statuses if isinstance(error, kind)), 503)


def refused(error: ByociError) -> Response:
    """An error as an answer to a client; its words are for people."""
    answer_ = text(str(error), status_of(error))
    if isinstance(error, TooManyTriesError):
        answer_.headers["Retry-After"] = str(error.seconds)
    answer_.headers["X-Error"] = quote(error.brief[:300], safe=" !#$&'()*+,/:;=?@[]")
    return answer_
