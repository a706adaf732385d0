"""What strangers send the monitor: forged, replayed, huge and malformed webhooks, hostile names, other hosts' pages."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="missing: starlette")

from byoci.identity.access import Access
from byoci.identity.people import OPERATOR, READER, People
from byoci.jenkins.computers import Computer
from byoci.model import Location, Outcome, Proposal, Status
from byoci.monitor import badges, feeds
from byoci.monitor import hooks as hooks_module
from byoci.monitor.app import App, At
from byoci.monitor.board import Agents, Board, Seen, Tile
from byoci.monitor.hooks import LARGEST
from byoci.monitor.live import Tail
from byoci.monitor.sight import Permissions
from byoci.monitor.state import State
from byoci.monitor.values import Started

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.monitor

SECRET = b"5ec7e7"
HOSTILE = 'it\'s "<b>bold</b>" <script>alert(1)</script> & {{ 7 * 7 }} \u202e</title>\n'
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROPOSAL = Proposal(
    "local", "hello", "7", HOSTILE, HOSTILE, Location(HOSTILE), Location("/srv/trunk"), Status.APPROVED, NOW,
    approved_revision="abc", approved_at=NOW, url="javascript:alert(1)",
)  # fmt: skip
LANDED = Started(
    1, "t", "hello", "7", "x", "a", 1.0, 2, "http://ci/2/", 1.5, 9.0, Outcome.LANDED, "abc", ("it did",)
)  # fmt: skip


def xml(text: str) -> ET.Element:
    return ET.fromstring(text)


class Site:
    """The application over a real state, asked as a server would."""

    def __init__(self, state: State, access: Access) -> None:
        self.board = Board()
        self.board.show(Tile("hello", "/srv/trunk", "local"))
        self.woken: list[str] = []
        self.state = state
        at = At("http://127.0.0.1:8020/", "http://127.0.0.1:8020/", lambda: [SECRET], self.woken.append)
        self.access = access
        self.app = App(self.board, state, access, Permissions(), at)

    def ask(self, method: str, path: str, headers: dict[str, str], body: list[bytes]) -> tuple[int, str]:
        parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        messages = iter([*parts, {"type": "http.request", "body": b"", "more_body": False}])
        sent: list[Any] = []

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        given = {"host": "127.0.0.1:8020", **headers}
        encoded = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in given.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": encoded}
        asyncio.run(self.app({**scope, "server": ("127.0.0.1", 8020), "scheme": "http"}, receive, send))
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], content.decode()

    def hook(self, body: bytes, *, signature: str | None = None, delivery: str = "", path: str = "/hooks/local") -> int:
        signed = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest() if signature is None else signature
        headers = {"X-Hub-Signature-256": signed, **({"X-Delivery": delivery} if delivery else {})}
        return self.ask("POST", path, headers, [body])[0]

    def page(self, path: str, **headers: str) -> tuple[int, str]:
        return self.ask("GET", path, headers, [])


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    with contextlib.closing(State(tmp_path_factory.mktemp("monitor"))) as state:
        yield state


@pytest.fixture(scope="module")
def access(state: State, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    with contextlib.closing(People(tmp_path_factory.mktemp("people"))) as people:
        yield Access(people, state.sessions, "secret", "cookie", (OPERATOR, READER))


@pytest.fixture
def site(state: State, access: Access) -> Site:
    return Site(state, access)


def test_a_genuine_webhook_wakes_the_brain_once(site: Site) -> None:
    assert [site.hook(b'{"a": 1}', delivery="one"), site.hook(b'{"a": 1}', delivery="one")] == [202, 200]
    assert site.woken == ["local"]
    assert site.hook(b'{"a": 1}', delivery="another name") == 200  # recorded, and sent again as if it were new
    assert site.hook(b'{"a": 2}', delivery="one") == 200
    assert site.hook(b'{"a": 3}') == 202
    assert site.woken == ["local", "local"]


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "\u00ff", "x" * 5000])
def test_a_forged_webhook_is_refused(site: Site, signature: str) -> None:
    body = json.dumps({"forged": signature}).encode()
    assert site.hook(body, signature=signature) == 401
    assert site.woken == []
    assert site.hook(body) == 202  # what was refused is not taken for heard


def test_a_signature_of_another_body_or_secret_is_refused(site: Site) -> None:
    other = "sha256=" + hmac.new(b"other", b"{}", hashlib.sha256).hexdigest()
    empty = "sha256=" + hmac.new(b"", b"{}", hashlib.sha256).hexdigest()
    of_other_body = "sha256=" + hmac.new(SECRET, b"{ }", hashlib.sha256).hexdigest()
    for signature in (other, empty, of_other_body):
        assert site.hook(b"{}", signature=signature) == 401
    assert site.woken == []


def test_without_a_secret_nothing_is_taken(site: Site) -> None:
    at = At("http://127.0.0.1/", "http://127.0.0.1/", list, site.woken.append)
    site.app = App(site.board, site.state, site.access, Permissions(), at)
    assert site.hook(b"{}", signature="sha256=" + hmac.new(b"", b"{}", hashlib.sha256).hexdigest()) == 503


@pytest.mark.parametrize("body", [b"", b"nothing", b"[]", b"1", b"\xff\xfe", b"[" * 200_000, b'{"a": ' * 100_000])
def test_a_malformed_one_is_refused_even_if_it_is_signed(site: Site, body: bytes) -> None:
    assert site.hook(body) == 400
    assert site.woken == []


def test_a_huge_one_is_not_read_to_its_end(site: Site) -> None:
    assert site.ask("POST", "/hooks/local", {"Content-Length": "9" * 5000}, [])[0] == 413
    assert site.ask("POST", "/hooks/local", {"Content-Length": str(LARGEST + 1)}, [])[0] == 413
    assert site.ask("POST", "/hooks/local", {}, [b"x" * (LARGEST // 4)] * 5)[0] == 413
    assert site.woken == []


def test_one_that_does_not_come_to_its_end_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks_module, "_PATIENCE", 0.05)
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks/local", "query_string": b"", "scheme": "http"}
    asyncio.run(site.app({**scope, "headers": [(b"host", b"127.0.0.1:8020")]}, receive, send))
    assert sent[0]["status"] == 408
    assert site.hook(b'{"after": "that"}') == 202


@pytest.mark.parametrize("path", ["/hooks/github", "/hooks/", "/hooks/local/more", "/hooks/%2e%2e/local"])
def test_other_forges_have_no_hook(site: Site, path: str) -> None:
    assert site.hook(b'{"other": 1}', path=path) in {404, 405}
    assert site.hook(b'{"other": 1}', path=path, signature="guess") in {401, 405}  # who may not know is not told
    assert site.woken == []


@given(st.binary(max_size=60), st.text(max_size=40), st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_request_takes_it_down(state: State, access: Access, body: bytes, signature: str, path: str) -> None:
    site = Site(state, access)
    clean = "".join(letter for letter in signature if letter.isprintable())
    assert site.ask("POST", f"/hooks/{path}", {"X-Hub-Signature-256": clean}, [body])[0] in {401, 404, 405}
    assert site.page(f"/{path}")[0] in {200, 404}


def test_a_page_of_another_name_reads_nothing(site: Site) -> None:
    """As when a page elsewhere has its own name mean 127.0.0.1."""
    for host in ("evil.example", "evil.example:8020", "127.0.0.1.evil.example", "", "[::1"):
        assert site.page("/api/projects", host=host)[0] == 421
    assert site.page("/api/projects", host="localhost:8020")[0] == 200


def test_hostile_names_stay_text(site: Site) -> None:
    landing = site.state.begin("hello", "/srv/trunk", PROPOSAL)
    assert landing is not None
    site.state.follow(landing, 3, "javascript:alert(1)", 12.0)
    seen = (Seen(PROPOSAL, (), HOSTILE), Seen(dataclasses.replace(PROPOSAL, id="8"), (HOSTILE,), HOSTILE))
    log = Tail(f"{HOSTILE}\x1b[31m{HOSTILE}\x1b]0;title\x07\x1b[2J".encode(), cut=False)
    under_way = site.state.under_way("/srv/trunk")
    site.board.show(Tile("hello", HOSTILE, "local", HOSTILE, seen, under_way, log=log))
    site.board.show_agents(Agents((Computer(HOSTILE, True, False, HOSTILE, 2, True),), 1.0, HOSTILE))
    site.state.end(landing, Outcome.ERROR, (HOSTILE,))
    for path in ("/", "/project/hello"):
        status, text = site.page(path)
        assert status == 200
        assert "alert(1)" in text
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert 'href="javascript:' not in text
        assert "\x1b" not in text
    told = json.loads(site.page("/api/projects/hello")[1])
    assert told["waiting"][0]["title"] == HOSTILE
    assert "\x1b" not in told["log"]["text"]
    titles = [one.text for one in xml(site.page("/feed/hello")[1]).iter("{http://www.w3.org/2005/Atom}title")]
    assert titles == ["hello: landings", f"error: 7 {HOSTILE}"]
    assert xml(site.page("/badge/hello.svg")[1]).findtext("{http://www.w3.org/2000/svg}title") == "hello: in trouble"
    site.board.show(Tile(HOSTILE, "x", "local"))
    sample = next(line for line in site.page("/metrics")[1].splitlines() if "script" in line)
    assert sample.count('\\"') == 2
    assert "\\n" in sample


@given(st.text(st.characters(), max_size=40))
def test_feeds_and_badges_are_xml_whatever_they_are_of(text: str) -> None:
    landing = dataclasses.replace(LANDED, title=text, reasons=(text,), revision=text)
    tile = Tile(text, text, "local")
    for made in (feeds.feed(tile, [landing], f"http://ci/{text}"), badges.badge(tile)):
        xml(made.encode("utf-8", "replace").decode())


def test_only_webhooks_may_write(site: Site) -> None:
    for path in ("/", "/project/hello", "/api/projects", "/healthz", "/metrics"):
        assert site.ask("POST", path, {}, [b"x"])[0] == 405
        assert site.page(path)[0] == 200
    assert site.page("/project/none")[0] == site.page("/api/projects/none")[0] == 404
