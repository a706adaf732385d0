"""A client of the remote API that Jenkins, Hudson and the embedded controller have.

What they tell is used as far as it has the shape that it should: a server of another version may leave out anything.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATIENCE: Final = 20.0  # seconds for an answer
_LARGEST: Final = 16 << 20  # bytes of an answer
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

    url    the server's address, with a slash at its end
    user   whom to sign in as, with an API token; "": nobody

    Order: calls stand alone. Concurrency: any number of threads may use one object. Errors: `UnavailableError` where
    the server does not answer, or refuses, with its own words.
    """

    def __init__(self, url: str, user: str = "", token: str = "") -> None:
        self._url = url if url.endswith("/") else f"{url}/"
        encoded = base64.b64encode(f"{user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"} if user else {}
        self._crumb: dict[str, str] | None = None

    def jobs(self) -> dict[str, str]:
        """The names of all jobs at the top, with their descriptions."""
        told = _object(self.get("api/json?tree=jobs[name,description]"))
        return {str(job.get("name")): str(job.get("description") or "") for job in _objects(told.get("jobs"))}

    def start(self, job: str, parameters: Mapping[str, str]) -> None:
        """Have a build of the job queued. Raises `NoJobError`.

        Not idempotent: a parameter that nobody else gives lets one find it again, also when the answer was lost.
        """
        path = f"{_job(job)}/buildWithParameters?{urlencode({**parameters, 'delay': '0sec'})}"
        if self.post(path) is None:
            raise NoJobError(f"the controller has no job {job}", details=self._url, resolution="Type: byoci job update")

    def builds(self, job: str, newest: int = 50) -> list[Build]:
        """The job's newest builds, newest first; none where there is no such job."""
        told = _object(self.get(f"{_job(job)}/api/json?{urlencode({'tree': f'builds[{_FACTS}]'})}"))
        return [build for build in map(_build, _objects(told.get("builds"))[:newest]) if build is not None]

    def build(self, job: str, number: int) -> Build | None:
        """One build; None where it is gone."""
        told = self.get(f"{_job(job)}/{number}/api/json?{urlencode({'tree': _FACTS})}")
        return None if told is None else _build(_object(told))

    def is_queued(self, job: str, name: str, value: str) -> bool:
        """Whether a build of the job waits for its start that was given this value of a parameter."""
        items = _objects(_object(self.get("queue/api/json?depth=0")).get("items"))
        return any(
            _object(item.get("task")).get("name") == job
            and (_parameters(item).get(name) == value or f"{name}={value}" in str(item.get("params", "")).split())
            for item in items
        )

    def artifact(self, job: str, number: int, path: str) -> bytes | None:
        """A file that a build has kept; None where there is none."""
        return self.get(f"{_job(job)}/{number}/artifact/{quote(path)}")

    def get(self, path: str) -> bytes | None:
        """What is at an address below the server's; None where that is not found."""
        return self._ask(urllib.request.Request(self._url + path, headers=self._headers), path)  # noqa: S310 - configured

    def post(self, path: str, body: bytes = b"", kind: str = "") -> bytes | None:
        """Send something; what comes back, or None where the address is not found."""
        if self._crumb is None:
            self._crumb = self._new_crumb()
        headers = {**self._headers, **self._crumb, **({"Content-Type": kind} if kind else {})}
        request = urllib.request.Request(self._url + path, data=body, headers=headers)  # noqa: S310 - configured
        try:
            return self._ask(request, path)
        except UnavailableError:
            self._crumb = None  # it ends with the session that it is of
            raise

    def _new_crumb(self) -> dict[str, str]:
        told = _object(self.get("crumbIssuer/api/json"))
        field_, crumb = told.get("crumbRequestField"), told.get("crumb")
        return {str(field_): str(crumb)} if field_ and crumb else {}

    def _ask(self, request: urllib.request.Request, path: str) -> bytes | None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
        try:
            with opener.open(request, timeout=_PATIENCE) as reply:
                body = bytes(reply.read(_LARGEST + 1))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                if error.code in (302, 303):
                    return b""
                words = error.read(2000).decode("utf-8", "replace").strip()
            what = path.partition("?")[0]
            raise UnavailableError(
                f"the controller answers {error.code} to {what}",
                details=words,
                resolution="See its log, and whether its user and token are right." if error.code in (401, 403) else "",
            ) from None
        except (OSError, ValueError) as error:
            raise UnavailableError("the controller does not answer", details=f"{self._url}: {error}") from error
        if len(body) > _LARGEST:
            raise UnavailableError("the controller's answer is too large", details=path)
        return body


class _Stay(urllib.request.HTTPRedirectHandler):
    """The answer to a post that was done says where to look next; nobody looks."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _job(name: str) -> str:
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
    pairs = (pair for action in _objects(told.get("actions")) for pair in _objects(action.get("parameters")))
    return {str(pair.get("name")): str(pair.get("value")) for pair in pairs}


def _object(told: object) -> dict[str, Any]:
    """A JSON object: as it was parsed, or as text; an empty one where it is none."""
    if isinstance(told, bytes):
        try:
            told = json.loads(told)
        except (ValueError, RecursionError) as error:
            raise UnavailableError("the controller's answer is no JSON", details=str(error)) from error
    return told if isinstance(told, dict) else {}


def _objects(told: object) -> list[dict[str, Any]]:
    return [item for item in told if isinstance(item, dict)] if isinstance(told, list) else []
