"""What hostile names, logs and other sites' pages try at the controller's pages and at who looks at them."""

from __future__ import annotations

import base64
import http.client
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from controller_process import ControllerProcess, running, wait_for
from pages_client import Answer, Browser
from pages_site import HOSTILE, PAGES, furnish, shell

from byoci.identity.people import People

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        furnish(process)
        yield process


@pytest.fixture
def browser(controller: ControllerProcess) -> Browser:
    made = Browser(controller)
    made.sign_in()
    return made


def assert_only_ours(answer: Answer) -> None:
    """A whole page, and no element in it that only what others wrote could have made."""
    assert answer.look.title
    assert "<b>bold" not in answer.text
    assert not [tag for tag, values in answer.look.tags if tag == "img" or (tag == "script" and "src" not in values)]


@pytest.mark.parametrize("path", PAGES)
def test_markup_in_names_logs_and_descriptions_stays_text(browser: Browser, path: str) -> None:
    assert_only_ours(browser.ask(path))


def test_nothing_that_people_wrote_is_run_as_a_template(browser: Browser) -> None:
    assert "{{ 7 * 7 }}" in browser.ask("/job/website/").look.text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/?filter={}",
        "/job/website/3/console?find={}",
        "/job/website/3/testReport/?filter={}",
        "/login?from={}",
        "/job/{}/",
        "/job/deploy/build?BRANCH={}",
        "/view/{}/",
        "/computer/{}/",
        "/job/website/3/{}",
    ],
)
def test_what_an_address_says_stays_text(browser: Browser, path: str) -> None:
    answer = browser.ask(path.format(quote(f"\"'>{HOSTILE}", safe="")))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert_only_ours(answer)


def test_a_log_cannot_end_the_page_or_hide_in_it(browser: Browser) -> None:
    controller = browser.controller
    attack = "</span></li></ol></main><script>alert(1)</script><a href='javascript:alert(1)'>\\033[8mhidden\\033[0m"
    controller.create(
        "escapes", shell(f"printf '{attack.replace(chr(39), chr(34))}\\000\\033]8;;javascript:alert(1)\\007x\\n'")
    )
    controller.run("escapes")
    answer = browser.ask("/job/escapes/1/")
    assert "<script>alert" not in answer.text
    assert "hidden" in answer.look.text
    assert not [link for link in answer.look.links() if not link.startswith(("/", "#", "?"))]
    assert [name for name in answer.text if ord(name) < 32 and name not in "\n\t"] == []


def test_nobody_sees_a_page_without_signing_in(controller: ControllerProcess) -> None:
    stranger = Browser(controller)
    for path in PAGES:
        if path != "/login":
            answer = stranger.ask(path)
            assert (answer.status, answer.body) == (303, b"")
            assert answer.headers["Location"] == f"/login?from={quote(path, safe='')}"
    stranger.cookie = "byoci-00000000=guess"
    assert stranger.ask("/").status == 303
    assert stranger.ask("/job/website/1/events").status == 303
    assert stranger.ask("/job/website/doDelete", {}).status == 401


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("admin", "wrong"),
        ("admin", ""),
        ("nobody", "TOKEN"),
        ("", "TOKEN"),
        ("admin\0", "TOKEN"),
        ("admin", "x" * 100_000),
    ],
)
def test_a_wrong_token_signs_nobody_in(controller: ControllerProcess, name: str, secret: str) -> None:
    stranger = Browser(controller)
    answer = stranger.ask("/login", {"name": name, "secret": secret.replace("TOKEN", controller.token)})
    assert answer.status == 403
    assert answer.headers.get("Set-Cookie") is None
    assert controller.token not in answer.text
    assert "secret" not in answer.look.forms[0].fields or not answer.look.forms[0].fields["secret"]


def test_the_cookie_is_for_this_server_and_no_script(controller: ControllerProcess) -> None:
    told = Browser(controller).sign_in().headers["Set-Cookie"].lower()
    for word in ("httponly", "samesite=lax", "path=/"):
        assert word in told
    assert controller.token not in told
    for path in controller.home.rglob("controller.sqlite*"):
        assert told.partition("=")[2].partition(";")[0].encode() not in path.read_bytes().lower()


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\\/evil.example",
        "/%0d%0aSet-Cookie:x",
        "/\t/evil.example",
        "",
        "///evil.example",
        "/\r\nX: y",
    ],
)
def test_signing_in_leads_nowhere_else(controller: ControllerProcess, target: str) -> None:
    stranger = Browser(controller)
    answer = stranger.ask("/login", {"name": "admin", "secret": controller.token, "from": target})
    assert answer.status == 303
    assert answer.headers["Location"] in ("/", "/%0d%0aSet-Cookie:x")
    assert answer.headers.get("X") is None


def test_another_sites_page_cannot_act(browser: Browser) -> None:
    crumb = browser.ask("/job/website/").look.forms[-1].fields["Jenkins-Crumb"]
    other = Browser(browser.controller)
    other.sign_in()
    others = other.ask("/job/website/").look.forms[-1].fields["Jenkins-Crumb"]
    basic = browser.controller.get("crumbIssuer/api/json").json["crumb"]
    assert len({crumb, others, basic}) == 3
    action = "/job/website/disable"
    for wrong in (
        {},
        {"Jenkins-Crumb": ""},
        {"Jenkins-Crumb": others},
        {"Jenkins-Crumb": basic},
        {"Jenkins-Crumb": "x"},
    ):
        assert browser.ask(action, wrong).status == 403
    right = {"Jenkins-Crumb": crumb}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert browser.ask(action, right, headers=headers).status == 403
        assert browser.ask("/login", {"name": "x", "secret": "y"}, headers=headers).status == 403
    assert "job/website/enable" not in browser.ask("/job/website/").text
    assert browser.ask(action).status == 405
    assert browser.ask(action, right).status == 303
    assert browser.ask("/job/website/enable", right).status == 303


def test_who_signed_out_or_whose_token_was_revoked_is_out(controller: ControllerProcess) -> None:
    browser = Browser(controller)
    browser.sign_in()
    cookie = browser.cookie
    assert browser.submit("/", "logout").headers["Location"] == "/login"
    browser.cookie = cookie
    assert browser.ask("/").status == 303
    address = "user/admin/descriptorByName/jenkins.security.ApiTokenProperty"
    made = controller.post(f"{address}/generateNewToken?newTokenName=x").json["data"]
    browser.cookie = ""
    assert browser.ask("/login", {"name": "admin", "secret": made["tokenValue"]}).status == 303
    assert browser.ask("/").status == 200
    controller.post(f"{address}/revoke?tokenUuid=short")
    assert browser.ask("/").status == 200
    controller.post(f"{address}/revoke?tokenUuid={made['tokenUuid']}")
    assert browser.ask("/").status == 303


@pytest.mark.parametrize("end", ["sign out", "password", "person", "token"])
def test_a_log_is_told_no_longer_than_its_reader_may_read_it(
    controller: ControllerProcess, tmp_path: Path, end: str
) -> None:
    job = f"followed-{end.replace(' ', '-')}"
    controller.shell(job, "#!/bin/sh\nuntil [ -e " + str(tmp_path / "over") + " ]; do echo tick; sleep 0.05; done")
    address = "user/admin/descriptorByName/jenkins.security.ApiTokenProperty"
    made = controller.post(f"{address}/generateNewToken?newTokenName=x").json["data"]
    people = People(controller.home)
    person = f"reader-{end.replace(' ', '-')}"
    people.add(person, "correct horse")
    controller.build(job)
    wait_for(lambda: "tick" in controller.get(f"job/{job}/1/consoleText").text)
    browser = Browser(controller)
    signed = {"name": "admin", "secret": made["tokenValue"]} if end == "token" else {}
    assert browser.ask("/login", signed or {"name": person, "secret": "correct horse"}).status == 303
    host, port = "127.0.0.1", controller.port
    by_header = "Basic " + base64.b64encode(b"admin:" + made["tokenValue"].encode()).decode()
    headers = [{"Cookie": browser.cookie}, *([{"Authorization": by_header}] if end == "token" else [])]
    streams = []
    for sent in headers:
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", f"/job/{job}/1/events", headers=sent)
        streams.append((connection, connection.getresponse()))
        assert b"tick" in b"".join(streams[-1][1].readline() for _ in range(6))
    if end == "sign out":
        assert browser.submit("/", "logout").headers["Location"] == "/login"
    elif end == "password":
        people.set_password(person, "battery staple")
    elif end == "person":
        people.remove(person)
    else:
        controller.post(f"{address}/revoke?tokenUuid={made['tokenUuid']}")
    for connection, reply in streams:
        reply.read()  # to its end, which a build that goes on does not give
        connection.close()
    assert controller.get(f"job/{job}/1/api/json").json["building"]
    (tmp_path / "over").touch()
    controller.finished(job)
    people.close()


@pytest.mark.parametrize(
    "query",
    [
        "line=0",
        "line=-1",
        "line=99999999999999999999",
        "before=x",
        "before=99999999999",
        "from=99999999999",
        "find=%00",
        "find=%ff",
        "find=" + "x" * 5000,
        "line=" + "9" * 15,
        "from=-5",
        "page=x",
        "before=-1",
    ],
)
def test_odd_places_in_a_log_are_answered(browser: Browser, query: str) -> None:
    for path in ("/job/website/3/console", "/job/website/", "/", "/job/website/3/testReport/"):
        assert browser.ask(f"{path}?{query}").status in (200, 400)
    assert browser.ask(f"/job/website/3/events?{query}").status in (200, 400)


def test_names_full_of_markup_make_whole_pages(browser: Browser) -> None:
    controller = browser.controller
    name = quote("(it's) = 'quoted' ~ {{x}} +,", safe="")
    controller.create(name, f"<displayName>{escape(HOSTILE)}</displayName>" + shell("true"))
    controller.run(name)
    for path in ("/", f"/job/{name}/", f"/job/{name}/1/", f"/job/{name}/delete"):
        answer = browser.ask(path)
        assert (answer.status, "<script>" in answer.text) == (200, False)
        assert answer.look.title
    assert HOSTILE in browser.ask(f"/job/{name}/").look.title


def test_a_password_signs_in_until_it_is_changed_and_guessing_is_slowed_down(controller: ControllerProcess) -> None:
    people = People(controller.home)
    people.add("ann", "correct horse")
    ann = Browser(controller)
    assert ann.ask("/login", {"name": "ann", "secret": "correct horse"}).status == 303
    assert "ann" in ann.ask("/").look.text
    people.set_password("ann", "battery staple")
    assert ann.ask("/").status == 303
    thief = Browser(controller)
    statuses = [thief.ask("/login", {"name": "ann", "secret": f"guess {number}"}).status for number in range(6)]
    assert statuses == [403] * 5 + [429]
    answer = thief.ask("/login", {"name": "ann", "secret": "another guess"})
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many wrong passwords" in answer.look.text
    people.close()
