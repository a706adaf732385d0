"""What forge and controller can do to the monitor: be away for an hour, answer nonsense, forget jobs and builds."""

from __future__ import annotations

import contextlib
import http.server
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from byoci.errors import UnavailableError
from byoci.forge.local import LocalForge
from byoci.forge.local_reading import LocalReader
from byoci.gate.ballot import Policy
from byoci.jenkins.client import Jenkins
from byoci.model import Location, Outcome, Status, VoteValue
from byoci.monitor import desk as desk_module
from byoci.monitor import state as state_module
from byoci.monitor.desk import Desk
from byoci.monitor.line import Line
from byoci.monitor.state import State
from byoci.monitor.watched import Watched
from loopback import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.monitor

TRUNK, SOURCE = Location("/srv/hello", "main"), Location("/srv/bob", "x")
PEOPLE = {"teams": {}, "administrators": ("root",), "trusted": {"hello": ("rita",)}}
POLL = 60.0


class Clock:
    """The monitor's clock, which jumps when it is told to."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def time(self) -> float:
        return time.time() + self.ahead


class Controller:
    """A server at the controller's address that answers what it is told: a status and a body for every path."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.started: list[str] = []
        self.knows_job = True
        self.healthy = False
        self.builds: list[dict[str, Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._ends = contextlib.ExitStack()
        self.url = self._ends.enter_context(served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)))

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        status, body = self._healthy(request) if self.healthy else (self.status, self.body)
        with contextlib.suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Length", str(len(body)))
            if status in (301, 302):
                request.send_header("Location", request.path)
            request.end_headers()
            request.wfile.write(body)

    def _healthy(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, bytes]:
        if request.path.startswith("/job/"):
            if not self.knows_job:
                return 404, b""
            if request.command == "POST":
                self.started.append(request.path)
                token = parse_qs(urlsplit(request.path).query)["LANDING"][0]
                parameters = [{"name": "LANDING", "value": token}]
                number = len(self.started)
                self.builds.append({"number": number, "building": True, "actions": [{"parameters": parameters}]})
                return 201, b""
            number = request.path.split("/")[3]
            if number.isdigit():
                return (200, json.dumps(self.builds[int(number) - 1]).encode()) if self.builds else (404, b"")
            return 200, json.dumps({"builds": self.builds}).encode()
        return 200, json.dumps({"items": [], "jobs": []}).encode()

    def close(self) -> None:
        self._ends.close()


class Story:
    """A desk with one proposal that may land, over a real forge, and a controller that may do anything."""

    def __init__(self, folder: Path, controller: Controller, clock: Clock) -> None:
        self.controller = controller
        self.clock = clock
        self.path = folder / "forge.sqlite"
        with LocalForge(self.path, user="root", **PEOPLE) as forge:  # type: ignore[arg-type]
            self.proposal = forge.create("hello", SOURCE, TRUNK, "Do it", acting_for="bob").id
            forge.review(self.proposal, VoteValue.APPROVE, revision="abc", acting_for="rita")
            forge.change_status(self.proposal, Status.APPROVED, revision="abc", acting_for="rita")
        self.state = State(folder / "monitor")
        self.told: list[str] = []
        self.runs = True
        reader = LocalReader(self.path, **PEOPLE)  # type: ignore[arg-type]
        watched = Watched("hello", TRUNK, Policy(), reader, lambda _: "abc")
        self.desk = Desk(watched, self.state, Line(self.find), POLL, self.told.append)

    def find(self) -> Jenkins:
        if not self.runs:
            raise UnavailableError("the controller does not run")
        return Jenkins(self.controller.url)

    def work(self, seconds: float, until: Callable[[], object] = lambda: False) -> int:
        """Let so much time go by at most, in the desk's own steps, if these are not too short; how many these were."""
        ends, count = self.clock.ahead + seconds, 0
        while self.clock.ahead < ends and not until():
            self.clock.ahead += min(max(self.desk.work(), 2.0), seconds)
            count += 1
        return count

    def outcomes(self) -> list[Outcome | None]:
        return [item.outcome for item in reversed(self.state.newest())]


@pytest.fixture
def controller() -> Iterator[Controller]:
    made = Controller()
    yield made
    made.close()


@pytest.fixture
def story(tmp_path: Path, controller: Controller, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    clock = Clock()
    for module in (desk_module, state_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic, time=clock.time))
    made = Story(tmp_path, controller, clock)
    yield made
    made.state.close()


def test_a_forge_that_is_away_for_an_hour_is_asked_seldom_and_found_again(story: Story) -> None:
    content = story.path.read_bytes()
    story.path.write_bytes(b"no database" * 1000)
    assert story.work(3600) <= 70  # once a minute, after some quicker tries
    assert "does not work" in story.desk.trouble
    assert story.desk.tile().trouble
    assert [line.count("does not work") for line in story.told] == [1]  # said once, not every minute
    story.path.write_bytes(content)
    story.controller.healthy = True
    story.work(POLL + 5)
    assert story.desk.trouble == ""
    assert len(story.controller.started) == 1


def test_webhooks_that_come_while_the_forge_is_away_have_it_asked_at_once(story: Story) -> None:
    content = story.path.read_bytes()
    story.path.write_bytes(b"no database" * 1000)
    story.work(600)
    story.path.write_bytes(content)
    story.desk.wake()
    story.desk.work()
    assert [item.proposal.id for item in story.desk.seen] == [story.proposal]


NONSENSE = {
    "500": (500, b"<html>Oops! <script>alert(1)</script></html>"),
    "503": (503, b""),
    "401": (401, b"who are you"),
    "html": (200, b"<html>a captive portal</html>"),
    "a list": (200, b"[]"),
    "a number": (200, b"1e999"),
    "deep": (200, b"[" * 100_000),
    "odd types": (200, json.dumps({"builds": "x", "items": {"a": 1}, "jobs": 3, "number": "7"}).encode()),
    "no text": (200, b"\xff\xfe\x00"),
    "a circle": (302, b""),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_controller_that_answers_nonsense_loses_no_landing(story: Story, kind: str) -> None:
    story.controller.status, story.controller.body = NONSENSE[kind]
    story.work(600)
    assert len([item for item in story.state.newest() if item.ended is None]) <= 1
    assert Outcome.LANDED not in story.outcomes()
    story.controller.healthy = True
    story.work(4000, lambda: story.controller.started)
    assert story.controller.started  # and then its build was asked for
    story.desk.work()
    assert story.desk.trouble == ""


def test_a_controller_that_is_down_is_waited_for_and_found_at_another_address(story: Story) -> None:
    story.runs = False
    story.work(600)
    assert "does not run" in story.desk.trouble
    story.runs = True
    first = story.controller
    first.healthy = True
    story.work(120)
    assert len(first.started) == 1
    other = Controller()
    try:
        other.healthy = True
        story.controller = other
        first.close()
        story.work(300, lambda: other.started)
        assert other.started  # of the first one's build the other knows nothing: it was lost, and asked for anew
        assert story.outcomes()[0] is Outcome.ERROR
    finally:
        other.close()
        first.__init__()  # type: ignore[misc] - for the fixture to close


def test_a_job_that_is_deleted_under_a_landing_ends_it_and_is_told(story: Story) -> None:
    controller = story.controller
    controller.healthy = True
    story.work(5)
    (landing,) = story.state.newest()
    assert landing.number == 1
    controller.builds, controller.knows_job = [], False
    story.work(30)
    assert story.outcomes()[0] is Outcome.ERROR
    assert story.state.newest()[0].reasons == ("The controller does not know its build, or does not any more.",)
    for _ in range(4):
        story.work(300)
        assert "byoci job update" in story.desk.trouble  # all the time, and not only when it is tried again
    assert len(story.state.newest()) == 1
    assert [line for line in story.told if "no job" in line] == [f"hello: {story.desk.trouble}"]
    controller.knows_job = True
    story.work(60, lambda: len(controller.started) > 1)
    assert len(controller.started) == 2
    story.desk.work()
    assert story.desk.trouble == ""
