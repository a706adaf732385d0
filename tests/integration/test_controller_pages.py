"""The controller's pages as browsers ask for them: what they say, what they send, what forms do."""

from __future__ import annotations

import http.client
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from controller_process import ControllerProcess, running, wait_for
from pages_client import Browser
from pages_site import HOSTILE, PAGES, furnish, shell

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
    assert made.sign_in().status == 303
    return made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ControllerProcess]:
    """Another controller, with nothing in it; ended also where the test fails."""
    process = ControllerProcess(tmp_path / "home")
    process.start()
    yield process
    process.stop()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_whole_safe_and_has_a_head(browser: Browser, path: str) -> None:
    answer = browser.ask(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Jenkins"]
    look = answer.look
    names = [tag for tag, _ in look.tags]
    assert (names.count("main"), names.count("h1"), names.count("header")) == (1, 1, 1)
    assert look.title.endswith(" \N{EN DASH} byoci")
    for tag, values in look.tags:
        assert tag not in ("style", "iframe", "object", "img", "b") or (tag == "b" and not values)
        assert tag != "script" or values["src"].startswith("/static/")
        assert not [name for name in values if name == "style" or name.startswith("on")]
        for name in ("href", "src", "action"):
            assert values.get(name, "/").startswith(("/", "#", "?")), (tag, values)


@pytest.mark.parametrize("path", PAGES)
def test_every_form_that_changes_something_carries_the_sessions_crumb(browser: Browser, path: str) -> None:
    for form in browser.ask(path).look.forms:
        if form.method == "post" and form.action != "/login":
            assert re.fullmatch("[0-9a-f]{64}", form.fields["Jenkins-Crumb"])
        elif form.method == "get":
            assert form.fields.keys() <= {"filter", "find", "line", "state"}


def test_pages_say_how_things_stand(browser: Browser) -> None:
    overview = browser.ask("/").look
    for words in (
        "broken",
        "Failed",
        "Unstable",
        "Disabled",
        "libraries 2 jobs",
        "long",
        "are offline",
    ):
        assert words in overview.text
    job = browser.ask("/job/website/").look
    assert "Durations of the last 3 builds: 3 unstable" in job.text
    assert sum(tag == "rect" and values.get("class") == "is-unstable" for tag, values in job.tags) == 3
    build = browser.ask("/job/website/3/").look
    for words in ("Started by user admin", "3 tests, 1 failed", "out/a file & <b>.txt", "Finished: UNSTABLE"):
        assert words in build.text
    assert "/job/website/3/artifact/out/a%20file%20%26%20%3Cb%3E.txt" in build.links()
    assert browser.ask("/job/website/3/artifact/out/a%20file%20%26%20%3Cb%3E.txt").body == b"data\n"
    assert "the controller's key is missing" in browser.ask("/computer/distant/").look.text
    tests = browser.ask("/job/website/3/testReport/").look
    assert tests.text.index("test_markup") < tests.text.index("test_it_works")
    (one,) = [link for link in tests.links() if "test_it_works" in link]
    assert browser.ask(one).look.text.count("Passed") == 4
    assert "correct-horse" not in browser.ask("/job/deploy/1/").text


def test_lists_are_filtered_by_name_and_state(browser: Browser) -> None:
    found = browser.ask("/?filter=QUI").look
    assert ("/job/quick/" in found.links(), "/job/website/" in found.links()) == (True, False)
    failed = browser.ask("/?state=failure").look
    assert ("/job/broken/" in failed.links(), "/job/quick/" in failed.links()) == (True, False)
    view = browser.ask("/view/Fast/").look
    assert ("/job/quick/" in view.links(), "/job/broken/" in view.links()) == (True, False)
    assert "None of" in browser.ask("/?filter=nowhere").look.text


def seen_again(browser: Browser, path: str) -> dict[str, str] | None:
    """What a browser says that has seen a page, where it is not sent the page again."""
    seen = {"If-None-Match": browser.ask(path).headers["ETag"]}
    again = browser.ask(path, headers=seen)
    assert (again.status == 304) == (again.body == b"")
    return seen if again.status == 304 else None


def test_what_has_not_changed_is_not_sent_again(fresh: ControllerProcess) -> None:
    controller = fresh
    browser, other = Browser(controller), Browser(controller)
    browser.sign_in()
    other.sign_in()
    controller.create("changing", shell("true"))
    for number, path in enumerate(("/job/changing/", "/", "/queue/", "/computer/"), 1):
        seen = wait_for(partial(seen_again, browser, path))  # once nothing happens any more of what was before
        assert other.ask(path, headers=seen).status == 200  # its crumbs are others
        controller.run("changing", number=number)
        assert browser.ask(path, headers=seen).status == 200


def test_files_of_pages_never_change(browser: Browser) -> None:
    look = browser.ask("/").look
    files = [values.get("href") or values["src"] for tag, values in look.tags if tag in ("link", "script")]
    stranger = Browser(browser.controller)
    for path in files:
        answer = stranger.ask(path)
        assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True)
    assert stranger.ask("/static/x/nothing.css").status == 303


def test_a_build_is_asked_for_with_parameters(browser: Browser) -> None:
    number = browser.controller.get("job/deploy/api/json").json["nextBuildNumber"]
    answer = browser.submit("/job/deploy/build", "buildWithParameters?delay=0sec", BRANCH="feature", CLEAN="false")
    assert (answer.status, answer.headers["Location"]) == (303, "/job/deploy/")
    browser.controller.finished("deploy", number)
    log = browser.controller.get(f"job/deploy/{number}/consoleText").text
    assert f"feature|{HOSTILE}|false|here" in log
    wrong = browser.submit("/job/deploy/build", "buildWithParameters?delay=0sec", WHERE="nowhere")
    assert (wrong.status, "is no choice" in wrong.look.text) == (400, True)


def test_actions_lead_to_where_they_are_seen(browser: Browser) -> None:
    controller = browser.controller
    controller.create("acting", shell("sleep 60"))
    for action, page, target in (
        ("disable", "/job/acting/", "/job/acting/"),
        ("enable", "/job/acting/", "/job/acting/"),
        ("build?delay=0sec", "/job/acting/", "/job/acting/"),
    ):
        answer = browser.submit(page, action)
        assert (answer.status, answer.headers["Location"]) == (303, target)
    wait_for(lambda: browser.ask("/job/acting/1/").status == 200)
    answer = browser.submit("/job/acting/1/", "stop")
    assert (answer.status, answer.headers["Location"]) == (303, "/job/acting/1/")
    assert controller.finished("acting")["result"] == "ABORTED"
    assert browser.submit("/job/acting/1/confirmDelete", "doDelete").headers["Location"] == "/job/acting/"
    assert browser.submit("/job/acting/delete", "doDelete").headers["Location"] == "/"
    assert browser.ask("/job/acting/").status == 404
    controller.create("waiting", "<assignedNode>nowhere</assignedNode><canRoam>false</canRoam>" + shell("true"))
    controller.build("waiting")
    (form,) = [form for form in browser.ask("/job/waiting/").look.forms if "cancelItem" in form.action]
    assert browser.ask(form.action, form.fields).headers["Location"] == "/queue/"
    assert "waiting" not in browser.ask("/queue/").look.links()
    offline = browser.submit("/computer/distant/", "toggleOffline", offlineMessage="The disk <is> full")
    assert offline.headers["Location"] == "/computer/"
    assert "The disk <is> full" in browser.ask("/computer/").look.text
    browser.submit("/computer/distant/", "toggleOffline")
    assert "The disk <is> full" not in browser.ask("/computer/").look.text


def test_a_log_is_searched_and_a_line_has_an_address(browser: Browser) -> None:
    found = browser.ask("/job/website/3/console?find=not+OK").look
    assert "with “not OK”" in found.text
    (link, *_) = [link for link in found.links() if re.search(r"\?line=\d+#L\d+$", link)]
    number = link.rpartition("L")[2]
    assert int(number) in browser.ask(link.partition("#")[0]).look.lines()


def test_a_large_log_is_told_in_parts(browser: Browser) -> None:
    browser.controller.create("large", shell("true"))
    browser.controller.run("large")
    (log,) = browser.controller.home.glob("jobs/large/builds/1/log")
    line = b"x" * 99 + b"\n"
    with log.open("wb") as file:
        for _ in range(100):
            file.write(line * 10_000)  # 100 MB in all
    page = browser.ask("/job/large/1/")
    assert len(page.body) < 1_000_000
    assert page.look.lines()[-1] == 1_000_000
    (earlier, *_) = [link for link in page.look.links() if "before=" in link]
    before = browser.ask(earlier.partition("#")[0])
    assert len(before.body) < 1_000_000
    assert before.look.lines()[-1] == page.look.lines()[0] - 1
    assert 'id="L500000"' in browser.ask("/job/large/1/console?line=500000").text


class Stream:
    """Server-sent events, one after another."""

    def __init__(self, browser: Browser, path: str, last: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", browser.controller.port, timeout=30)
        headers = {"Cookie": browser.cookie, "Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        self.connection.request("GET", path, headers=headers)
        self.reply = self.connection.getresponse()
        assert self.reply.headers["Content-Type"].startswith("text/event-stream")

    def events(self) -> Iterator[tuple[str, str, Any]]:
        told: dict[str, str] = {}
        for line in self.reply:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                told[name] = value
            elif "data" in told:
                yield told["event"], told["id"], json.loads(told["data"])
                told = {}

    def close(self) -> None:
        self.reply.close()
        self.connection.close()


def test_a_log_is_followed_while_it_is_written(browser: Browser) -> None:
    controller = browser.controller
    gate = controller.home / "gate"
    controller.create(
        "live", shell(f"echo first; echo '<b>second</b>'; until [ -e {gate} ]; do sleep 0.02; done; echo third")
    )
    controller.build("live")
    wait_for(lambda: "second" in controller.get("job/live/1/consoleText").text)
    stream = Stream(browser, "/job/live/1/events?from=0")
    lines: dict[int, str] = {}
    place = ""
    for kind, place, data in stream.events():  # noqa: B007 - used after the loop
        assert kind == "lines"
        lines |= {number: "".join(text for _, text in parts) for number, _, _, parts in data}
        if "<b>second</b>" in lines.values():
            break
    stream.close()  # as when a connection breaks
    assert list(lines) == list(range(1, len(lines) + 1))
    again = Stream(browser, "/job/live/1/events?from=0", last=place)
    gate.touch()
    last = None
    for kind, _, data in again.events():
        if kind == "end":
            last = data
            break
        fresh = {number: "".join(text for _, text in parts) for number, _, _, parts in data}
        assert not {number for number in fresh if number < max(lines)}
        lines |= fresh
    again.close()
    assert last == {"state": "success", "word": "Success"}
    assert "\n".join(lines.values()) + "\n" == controller.get("job/live/1/consoleText").text


def test_who_follows_a_log_does_not_keep_the_controller_from_ending(fresh: ControllerProcess) -> None:
    controller = fresh
    browser = Browser(controller)
    browser.sign_in()
    controller.create("live", shell("sleep 300"))
    controller.build("live")
    wait_for(lambda: controller.get("job/live/1/api/json").status == 200)
    stream = Stream(browser, "/job/live/1/events?from=0")
    next(stream.events())
    controller.stop()  # which waits, and fails where it takes longer than a minute
    stream.close()
    controller.start(controller.port)
    assert browser.ask("/").status == 200  # the session outlives the process
    controller.post("job/live/1/stop")
    controller.finished("live")
