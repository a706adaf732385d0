"""What people try who may not see a project at the dashboard, and other sites' pages at those who may."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

pytest.importorskip("starlette", reason="missing: starlette")

from byoci.identity import access as access_module
from byoci.identity.access import Access, new_token
from byoci.identity.people import OPERATOR, READER, People
from byoci.model import Location, Outcome, Proposal, Status
from byoci.monitor.app import App, At
from byoci.monitor.board import Board, Seen, Tile
from byoci.monitor.sight import Permissions
from byoci.monitor.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.monitor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC, SECRET = "hello", "manhattan"
OF_PROJECT = ("/project/{}", "/api/projects/{}", "/badge/{}.svg", "/feed/{}")
PAGES = ("/", *OF_PROJECT, "/api/projects", "/metrics", "/api/agents", "/healthz")
NOT_OF_PROJECTS = PAGES[-2:]


def proposal(project: str) -> Proposal:
    where = Location(f"/srv/{project}")
    return Proposal(
        "local", project, "7", f"Do {project}", "bob", where, where, Status.APPROVED, NOW,
        approved_revision="abc", approved_at=NOW,
    )  # fmt: skip


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Visitor:
    """Somebody's browser, or (with `sent`) his program."""

    app: App
    host: str = "127.0.0.1:8020"
    cookie: str = ""
    sent: dict[str, str] = field(default_factory=lambda: {"accept": "text/html"})

    def ask(self, path: str, form: dict[str, str] | None = None, method: str = "", **headers: str) -> Answer:
        answers: list[Any] = []
        body = b"" if form is None else urlencode(form).encode()

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            answers.append(message)

        given = {"host": self.host, **self.sent, **({"cookie": self.cookie} if self.cookie else {})}
        if form is not None:
            given["content-type"] = "application/x-www-form-urlencoded"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method or ("GET" if form is None else "POST"), "path": path}
        scope |= {"query_string": query.encode(), "scheme": "http", "client": ("127.0.0.1", 5)}
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        asyncio.run(self.app({**scope, "headers": encoded}, receive, send))
        told = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
        if "set-cookie" in told:
            self.cookie = told["set-cookie"].partition(";")[0]
        content = b"".join(message.get("body", b"") for message in answers[1:])
        return Answer(answers[0]["status"], told, content.decode())


class Site:
    """A dashboard with a public project, and one that only ann may see."""

    def __init__(self, state: State, people: People) -> None:
        self.state = state
        self.people = people
        self.board = Board()
        for name in (PUBLIC, SECRET):
            self.show(name)
        self.access = Access(people, state.sessions, "secret", "byoci-dashboard", (OPERATOR, READER))

    def show(self, name: str, trouble: str = "") -> None:
        seen = (Seen(proposal(name), (), f"{name} in words"),)
        self.board.show(Tile(name, f"/srv/{name}", f"forge-of-{name}", trouble, seen))

    def visitor(self, *, anonymous: bool = True, url: str = "http://127.0.0.1:8020/", **more: Any) -> Visitor:
        permissions = Permissions(anonymous=anonymous, of={SECRET: frozenset({"ann"})}, administrators=("admin",))
        at = At(url, "http://127.0.0.1:8020/", b"5ec7e7", lambda _: None)
        return Visitor(App(self.board, self.state, self.access, permissions, at), **more)

    def signed_in(self, name: str, **more: Any) -> Visitor:
        visitor = self.visitor(**more)
        token, _ = new_token(self.people, name, "of a test")
        assert visitor.ask("/login", {"name": name, "secret": token}).status == 303
        return visitor


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with contextlib.closing(State(folder)) as state, contextlib.closing(People(folder)) as people:
        for name in ("ann", "bob", "eve"):
            people.add(name, None, READER)
        for name in (PUBLIC, SECRET, "removed"):
            landing = state.begin(name, f"/srv/{name}", proposal(name))
            assert landing is not None
            state.end(landing, Outcome.LANDED)
        yield Site(state, people)


@pytest.mark.parametrize("who", [None, "bob"])
def test_who_may_not_see_a_project_finds_no_trace_of_it(site: Site, who: str | None) -> None:
    visitor = site.signed_in(who) if who else site.visitor()
    for path in PAGES:
        answer = visitor.ask(path.format(PUBLIC))
        assert answer.status == 200
        assert SECRET not in answer.text + str(answer.headers)
        assert "removed" not in answer.text
    for path in (*OF_PROJECT, "/project/{}/x", "/project/{}?x=1", "/badge/{}"):
        hidden, missing = visitor.ask(path.format(SECRET)), visitor.ask(path.format("nothing"))
        assert (hidden.status, hidden.headers, hidden.text) == (404, missing.headers, missing.text)
    assert [item["project"] for item in json.loads(visitor.ask("/api/projects").text)] == [PUBLIC]


@pytest.mark.parametrize("who", ["ann", "admin"])
def test_who_may_see_it_does(site: Site, who: str) -> None:
    visitor = site.signed_in(who)
    for path in set(PAGES) - set(NOT_OF_PROJECTS):
        assert SECRET in visitor.ask(path.format(SECRET)).text


def test_what_happens_in_a_hidden_project_changes_nothing_for_others(site: Site) -> None:
    """As nothing but the tag of a page would tell somebody who asks again and again."""
    before = {path: site.visitor().ask(path).headers.get("etag") for path in ("/", f"/project/{PUBLIC}")}
    healthy = json.loads(site.visitor().ask("/healthz").text)["troubles"]
    site.show(SECRET, "its forge does not answer")
    for path, etag in before.items():
        assert etag is not None
        assert site.visitor().ask(path, if_none_match=etag).status == 304
        assert site.signed_in("ann").ask(path, if_none_match=etag).status == 200
    assert json.loads(site.visitor().ask("/healthz").text)["troubles"] == healthy
    site.show(SECRET)


def test_pages_elsewhere_show_the_pictures_only_that_everybody_may_see(site: Site) -> None:
    """What their page may load tells them whether their reader may see it."""
    policies = {
        name: site.signed_in("ann").ask(f"/badge/{name}.svg").headers["cross-origin-resource-policy"]
        for name in (PUBLIC, SECRET)
    }
    assert policies == {PUBLIC: "cross-origin", SECRET: "same-origin"}
    visitor = site.signed_in("ann", anonymous=False)
    assert visitor.ask(f"/badge/{PUBLIC}.svg").headers["cross-origin-resource-policy"] == "same-origin"


def test_nobody_is_told_anothers_page_by_its_tag(site: Site) -> None:
    ann = site.signed_in("ann")
    etag = ann.ask("/").headers["etag"]
    assert ann.ask("/", if_none_match=etag).status == 304
    for visitor in (site.signed_in("admin"), site.signed_in("bob"), site.visitor()):
        assert visitor.ask("/", if_none_match=etag).status == 200
    for header in ("private", "no-cache"):
        assert header in ann.ask("/").headers["cache-control"]


def test_without_signing_in_every_address_leads_to_the_form(site: Site) -> None:
    stranger = site.visitor(anonymous=False)
    for path in ("/", f"/project/{SECRET}", "/project/nothing", "/nothing", f"/api/projects/{PUBLIC}?x=1"):
        answer = stranger.ask(path)
        assert (answer.status, answer.text) == (303, "")
        assert answer.headers["location"] == f"/login?from={quote(path, safe='')}"
        assert "etag" not in answer.headers
    program = site.visitor(anonymous=False, sent={"accept": "*/*"})
    told = {path: program.ask(path) for path in (*PAGES[:-1], "/nothing", f"/api/projects/{SECRET}")}
    assert {(answer.status, answer.text) for answer in told.values()} == {(401, next(iter(told.values())).text)}
    health = json.loads(stranger.ask("/healthz").text)
    assert set(health) == {"ok", "silent_seconds", "troubles"}
    assert stranger.ask("/login").status == 200
    assert PUBLIC not in stranger.ask("/login").text


def test_a_program_signs_in_with_every_request(site: Site) -> None:
    token, id_ = new_token(site.people, "ann", "of a program")

    def program(word: str) -> Visitor:
        header = "Basic " + b64encode(word.encode()).decode()
        return site.visitor(anonymous=False, sent={"accept": "*/*", "authorization": header})

    assert json.loads(program(f"ann:{token}").ask(f"/api/projects/{SECRET}").text)["project"] == SECRET
    assert program(f"bob:{token}").ask("/api/projects").status == 401
    assert program("ann:wrong").ask("/metrics").status == 401
    site.access.revoke_token("ann", id_)
    assert program(f"ann:{token}").ask("/metrics").status == 401


ELSEWHERE = ("//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)")


@pytest.mark.parametrize("wanted", [*ELSEWHERE, "/\tx", " /x", "/\r\nX: y"])
def test_signing_in_leads_nowhere_else(site: Site, wanted: str) -> None:
    token, _ = new_token(site.people, "ann", "x")
    answer = site.visitor().ask("/login", {"name": "ann", "secret": token, "from": wanted})
    assert (answer.status, answer.headers["location"]) == (303, "/")
    form = site.visitor().ask(f"/login?from={quote(wanted, safe='')}").text
    assert 'name="from" value="/"' in form


def test_signing_in_leads_back_to_what_was_wanted(site: Site) -> None:
    token, _ = new_token(site.people, "ann", "x")
    visitor = site.visitor()
    answer = visitor.ask("/login", {"name": "ann", "secret": token, "from": f"/project/{SECRET}"})
    assert answer.headers["location"] == f"/project/{SECRET}"
    assert visitor.ask(f"/project/{SECRET}").status == 200


def test_the_cookie_is_for_the_server_alone(site: Site) -> None:
    token, _ = new_token(site.people, "ann", "x")
    for url, secure in (("http://127.0.0.1:8020/", False), ("https://ci.example.com/board/", True)):
        visitor = site.visitor(url=url, host=url.split("/")[2])
        start = url.removeprefix(f"{url.split('/')[0]}//{url.split('/')[2]}")
        told = visitor.ask(f"{start}login", {"name": "ann", "secret": token}).headers["set-cookie"].lower()
        flags = {part.strip() for part in told.split(";")[1:]}
        assert {"httponly", "samesite=lax", f"path={start}"} < flags
        assert ("secure" in flags) == secure
        assert "domain" not in told


def test_a_session_that_somebody_else_chose_is_not_signed_in(site: Site) -> None:
    token, _ = new_token(site.people, "ann", "x")
    visitor = site.visitor(cookie="byoci-dashboard=chosen-by-eve")
    visitor.ask("/login", {"name": "ann", "secret": token})
    assert "chosen-by-eve" not in visitor.cookie
    assert site.visitor(cookie="byoci-dashboard=chosen-by-eve").ask(f"/project/{SECRET}").status == 404
    eve = site.signed_in("eve")
    before = eve.cookie
    eve.ask("/login", {"name": "ann", "secret": token})
    assert eve.cookie != before
    assert site.visitor(cookie=before, anonymous=False).ask("/").status == 303  # the older one has ended


def test_a_session_ends_with_signing_out_and_with_its_token(site: Site) -> None:
    token, id_ = new_token(site.people, "ann", "x")
    other = site.visitor()
    other.ask("/login", {"name": "ann", "secret": token})
    ann = site.signed_in("ann")
    cookie = ann.cookie
    crumb = ann.ask("/").text.partition('name="Jenkins-Crumb" value="')[2].partition('"')[0]
    assert ann.ask("/logout", {"Jenkins-Crumb": "guess"}).status == 403
    assert other.ask("/logout", {"Jenkins-Crumb": crumb}).status == 403  # another session's
    assert ann.ask("/logout").status == 405
    assert ann.ask("/logout", {"Jenkins-Crumb": crumb}).status == 303
    assert site.visitor(cookie=cookie).ask(f"/project/{SECRET}").status == 404
    assert other.ask(f"/project/{SECRET}").status == 200
    site.access.revoke_token("ann", id_)
    assert other.ask(f"/project/{SECRET}").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8021"},  # another server of this machine
        {"origin": "https://127.0.0.1:8020.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_page_elsewhere_signs_nobody_in_or_out(site: Site, headers: dict[str, str]) -> None:
    token, _ = new_token(site.people, "eve", "x")
    ann = site.signed_in("ann")
    cookie = ann.cookie
    assert ann.ask("/login", {"name": "eve", "secret": token}, **headers).status == 403
    assert ann.ask("/logout", {"Jenkins-Crumb": ""}, **headers).status == 403
    assert ann.cookie == cookie
    assert ann.ask(f"/project/{SECRET}").status == 200


def test_another_hosts_name_neither_reads_nor_signs_in(site: Site) -> None:
    token, _ = new_token(site.people, "ann", "x")
    for host in ("evil.example", "127.0.0.1.evil.example:8020", ""):
        visitor = site.visitor(host=host)
        assert visitor.ask("/login", {"name": "ann", "secret": token}, origin=f"http://{host}").status == 421
        assert visitor.ask(f"/project/{PUBLIC}").status == 421
        assert visitor.cookie == ""


def test_the_form_is_small_and_what_is_wrong_with_it_is_told_without_names(site: Site) -> None:
    visitor = site.visitor()
    wrong = visitor.ask("/login", {"name": "ann", "secret": "wrong"})
    unknown = visitor.ask("/login", {"name": "nobody", "secret": "wrong"})
    assert (wrong.status, unknown.status) == (403, 403)
    assert wrong.text.replace('"ann"', '""') == unknown.text.replace('"nobody"', '""')
    assert visitor.ask("/login", {"name": "ann", "secret": "x" * 100_000}).status == 400
    assert visitor.ask("/login", {}, method="PUT").status == 405
    assert visitor.cookie == ""


@pytest.mark.slow
def test_an_unknown_name_costs_as_much_work_as_a_known_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: what takes long is looking at a password, and every try does that once."""
    site.people.add("rose", "correct horse", READER)
    looked: list[str] = []
    fits = access_module.fits
    monkeypatch.setattr(access_module, "fits", lambda word, kept: bool(looked.append(word)) or fits(word, kept))
    for name in ("rose", "ann", "nobody", "", "admin"):
        site.visitor().ask("/login", {"name": name, "secret": f"guess-{name}"})
    assert looked == ["guess-rose", "guess-ann", "guess-nobody", "guess-admin"]
    statuses = [site.visitor().ask("/login", {"name": "rose", "secret": str(n)}).status for n in range(5)]
    assert statuses == [403] * 4 + [429]
    site.people.remove("rose")


def test_a_reader_is_nobody_at_the_controller(site: Site) -> None:
    controller = Access(site.people, site.state.sessions, "secret", "byoci")
    token, _ = new_token(site.people, "ann", "x")
    header = "Basic " + b64encode(f"ann:{token}".encode()).decode()
    assert asyncio.run(controller.caller(header)) is None
    assert asyncio.run(controller.sign_in("ann", token)) is None
    word = asyncio.run(site.access.sign_in("ann", token))
    assert word
    assert controller.session(word) is None
