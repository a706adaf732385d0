"""A client of the remote API that Jenkins, Hudson and the embedded controller have.

What they tell is used as far as it has the shape that it should: a server of another version may leave out anything.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse

_PATIENCE: Final = 20.0  # seconds for an answer
_LARGEST: Final = 16 << 20  # bytes of an answer
_WORDS: Final = 500  # characters of what it says where it refuses
_LOGIN: Final = re.compile(r"/(?:login|loginEntry|securityRealm)(?:[/?]|$)")
_UNSHOWN: Final = re.compile(r"(?is)<(script|style|head)\b.*?</\1>|<[^>]*>")
_ITEM: Final = re.compile(r"/queue/item/([0-9]{1,15})/?\Z")
_NO_JENKINS: Final = "See whether controller.url is the address of a Jenkins, with the whole path to it."
_FACTS: Final = "number,url,building,result,timestamp,duration,actions[parameters[name,value]]"


class NoJobError(UnavailableError):
    """The controller has no job of that name."""


@dataclass(frozen=True, slots=True)
class Build:
    """A build as the controller tells it.

    result      "" while it runs; then SUCCESS, UNSTABLE, FAILURE, ABORTED or NOT_BUILT
    started     seconds since 1970
    """

    number: int
    url: str
    building: bool
    result: str
    started: float
    parameters: Mapping[str, str] = field(default_factory=dict)


class Jenkins:
    """See the module.

    url     the server's address, with a slash at its end
    user    whom to sign in as, with an API token; "": nobody
    remedy  what to do where that is refused

    Order: calls stand alone. Concurrency: any number of threads may use one object. Errors: `UnavailableError` where
    the server does not answer, or refuses, with its own words.
    """

    def __init__(self, url: str, user: str = "", token: str = "", remedy: str = "") -> None:
        self.url = url if url.endswith("/") else f"{url}/"
        self._user = user
        self._remedy = remedy or "See its log, and whether its user and token are right."
        encoded = base64.b64encode(f"{user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"} if user else {}
        self._crumb: dict[str, str] | None = None

    def jobs(self) -> dict[str, str]:
        """The names of all jobs at the top, with their descriptions.

        Raises `UnavailableError` where no server of the family answers.
        """
        jobs = self.listed("api/json", "jobs", "name,description")
        return {str(job.get("name")): str(job.get("description") or "") for job in jobs}

    def listed(self, path: str, name: str, fields: str) -> list[dict[str, Any]]:
        """A list of objects, of each these fields, that every server of the family has at this address; see `jobs`."""
        answer = self.get(f"{path}?{urlencode({'tree': f'{name}[{fields}]'})}")
        if answer is None and path != "api/json":
            self.jobs()  # it is a Jenkins, then
            remedy = "Hudson and the oldest Jenkinses lack some."
            raise UnavailableError(f"the server does not tell its {name}", details=path, resolution=remedy)
        try:
            told = as_object(answer)
        except UnavailableError:
            told = {}
        if name not in told:  # not all of them have a header that tells what they are
            raise UnavailableError(f"no Jenkins answers at {self.url}", details=_words(answer), resolution=_NO_JENKINS)
        return as_objects(told[name])

    def told(self, path: str) -> dict[str, Any]:
        """The JSON object at an address; an empty one where there is none."""
        return as_object(self.get(path))

    def start(self, job: str, parameters: Mapping[str, str]) -> None:
        """Have a build of the job queued. Raises `NoJobError`.

        Not idempotent: a parameter that nobody else gives lets one find it again, also when the answer was lost.
        """
        path = f"{job_path(job)}/buildWithParameters?{urlencode({**parameters, 'delay': '0sec'})}"
        if self.post(path) is None:
            self.jobs()  # perhaps it is no Jenkins at all
            raise NoJobError(f"the controller has no job {job}", details=self.url, resolution="Type: byoci job update")

    def builds(self, job: str, newest: int = 50) -> list[Build]:
        """The job's newest builds, newest first; none where there is no such job."""
        told = self.told(f"{job_path(job)}/api/json?{urlencode({'tree': f'builds[{_FACTS}]'})}")
        return [build for build in map(_build, as_objects(told.get("builds"))[:newest]) if build is not None]

    def build(self, job: str, number: int) -> Build | None:
        """One build; None where it is gone."""
        told = self.get(f"{job_path(job)}/{number}/api/json?{urlencode({'tree': _FACTS})}")
        return None if told is None else _build(as_object(told))

    def is_queued(self, job: str, name: str, value: str) -> bool:
        """Whether a build of the job waits for its start that was given this value of a parameter."""
        items = as_objects(self.told("queue/api/json?depth=0").get("items"))
        return any(
            as_object(item.get("task")).get("name") == job
            and (_parameters(item).get(name) == value or f"{name}={value}" in str(item.get("params", "")).split())
            for item in items
        )

    def artifact(self, job: str, number: int, path: str) -> bytes | None:
        """A file that a build has kept; None where there is none."""
        return self.get(f"{job_path(job)}/{number}/artifact/{quote(path)}")

    def get(self, path: str) -> bytes | None:
        """What is at an address below the server's; None where that is not found."""
        return self._ask(self._request(path), path)[0]

    def post(self, path: str, body: bytes = b"", kind: str = "") -> bytes | None:
        """Send something; what comes back, or None where the address is not found."""
        told = self._send(path, body, kind)
        return told and told[0]

    def submit(self, path: str) -> str | None:
        """Ask for a build: its item in the queue; "" where the server is too old to tell, None where there is no such
        address.
        """
        told = self._send(path, b"", "")
        item = _ITEM.search(told[1]) if told else None
        return None if told is None else item[1] if item else ""

    def _send(self, path: str, body: bytes, kind: str) -> tuple[bytes, str] | None:
        """What a post is answered with, and the address that the answer names."""
        if self._crumb is None:
            self._crumb = self._new_crumb()
        headers = {**self._crumb, **({"Content-Type": kind} if kind else {})}
        try:
            answer, told = self._ask(self._request(path, headers, body), path)
        except UnavailableError:
            self._crumb = None  # it ends with the session that it is of
            raise
        return None if answer is None else (answer, told.get("Location") or "")

    def _new_crumb(self) -> dict[str, str]:
        """What a post has to bring along; a crumb may belong to a session, whose cookie is then among it."""
        answer, told = self._ask(self._request("crumbIssuer/api/json"), "crumbIssuer")
        crumb = as_object(answer)
        name, value = crumb.get("crumbRequestField"), crumb.get("crumb")
        cookies = "; ".join(text.partition(";")[0] for text in told.get_all("Set-Cookie", ()))
        if not name or not value:
            return {}
        return {str(name): str(value), **({"Cookie": cookies} if cookies else {})}

    def _request(
        self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> urllib.request.Request:
        return urllib.request.Request(self.url + path, body, {**self._headers, **(headers or {})})  # noqa: S310 - configured

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[HTTPResponse | None]:
        """The same as `get`, to be read bit by bit: what may be large."""
        with self._answer(self._request(path), path) as reply:
            yield None if isinstance(reply, bytes) else reply

    def _ask(self, request: urllib.request.Request, path: str) -> tuple[bytes | None, Message]:
        """What comes back, None where that is not found; and the headers with it."""
        with self._answer(request, path) as reply:
            if reply is None or isinstance(reply, bytes):
                return reply, Message()
            body, headers = _whole(reply), reply.headers
        if len(body) > _LARGEST:
            raise UnavailableError("the controller's answer is too large", details=path)
        return body, headers

    @contextlib.contextmanager
    def _answer(self, request: urllib.request.Request, path: str) -> Iterator[HTTPResponse | bytes | None]:
        """What the server answers: None where nothing is found, b"" where a post leads elsewhere."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
        try:
            with opener.open(request, timeout=_PATIENCE) as reply:
                yield reply
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    yield None
                    return
                to_sign_in = _LOGIN.search(error.headers.get("Location", ""))
                if error.code in (302, 303) and request.data is not None and not to_sign_in:
                    yield b""
                    return
                raise self._refused(error, path.partition("?")[0]) from None
        except (OSError, ValueError, HTTPException) as error:  # the last one also where it ends amid an answer
            raise UnavailableError("the controller does not answer", details=f"{self.url}: {error}") from error

    def _refused(self, error: urllib.error.HTTPError, what: str) -> UnavailableError:
        if error.code in (401, 403) and not self._user:
            brief = "the controller wants one to sign in"
            return UnavailableError(brief, details=f"It answers {error.code} to {what}.", resolution=self._remedy)
        if error.code == 401:
            brief = f"the controller does not accept the token of {self._user}"
            return UnavailableError(brief, resolution=self._remedy)
        if 300 <= error.code < 400:
            elsewhere = f"{self.url}{what} leads to {error.headers.get('Location', 'nowhere')}"
            return UnavailableError("the controller leads elsewhere", details=elsewhere, resolution=_NO_JENKINS)
        said = _words(error.read(20_000))
        if error.code == 403:
            wanted = error.headers.get("X-Required-Permission")
            details = f"It needs {wanted}." if wanted else said
            brief = f"the controller does not let {self._user} do that: {what}"
            return UnavailableError(brief, details=details, resolution=self._remedy)
        return UnavailableError(f"the controller answers {error.code} to {what}", details=said)


def _whole(reply: HTTPResponse) -> bytes:
    """What is answered, up to a little more than is taken. Raises `IncompleteRead` where it ends before that."""
    body = bytes(reply.read(_LARGEST + 1))
    if reply.length and len(body) <= _LARGEST:
        raise IncompleteRead(body, reply.length)
    return body


class _Stay(urllib.request.HTTPRedirectHandler):
    """The answer to a post that was done says where to look next; nobody looks."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _words(said: bytes | None) -> str:
    """What a server says, without the page around it."""
    text = _UNSHOWN.sub(" ", (said or b"").decode("utf-8", "replace"))
    return " ".join(text.split())[:_WORDS]


def job_path(name: str) -> str:
    """A job's address; those in folders are named with slashes between."""
    return "/".join(f"job/{quote(part, safe='')}" for part in name.split("/"))


def _build(told: Mapping[str, Any]) -> Build | None:
    number = told.get("number")
    if not isinstance(number, int):
        return None
    at = told.get("timestamp")
    return Build(
        number=number,
        url=str(told.get("url") or ""),
        building=bool(told.get("building")),
        result=str(told.get("result") or ""),
        started=at / 1000 if isinstance(at, int) else 0.0,
        parameters=_parameters(told),
    )


def _parameters(told: Mapping[str, Any]) -> dict[str, str]:
    pairs = (pair for action in as_objects(told.get("actions")) for pair in as_objects(action.get("parameters")))
    return {str(pair.get("name")): str(pair.get("value")) for pair in pairs}


def as_object(told: object) -> dict[str, Any]:
    """A JSON object: as it was parsed, or as text; an empty one where it is none."""
    if isinstance(told, bytes):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError) as error:
            raise UnavailableError("the controller's answer is no JSON", details=str(error)) from error
    return told if isinstance(told, dict) else {}


def as_objects(told: object) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in told if isinstance(item, dict)] if isinstance(told, list) else []
