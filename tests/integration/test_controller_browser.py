"""The pages in a real browser: following a log, accessibility, the keyboard, narrow screens, both colour schemes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from controller_process import ControllerProcess, running, wait_for
from pages_site import PAGES, furnish, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api", reason="missing: playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        furnish(process)
        yield process


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("missing: chromium")
    with playwright.sync_playwright() as driver:
        # Its own sandbox does not work for root; what it is shown is our own, on loopback.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


class Person:
    """Somebody who looks at pages. `complaints` is what the browser said against them."""

    def __init__(self, chromium: Any, controller: ControllerProcess, scheme: str, width: int) -> None:
        self.controller = controller
        self.scheme = scheme
        self.context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 760})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.controller.url):
            self.complaints.append(f"asked for {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.controller.url + path.removeprefix("/"))
        return self.page

    def sign_in(self) -> None:
        page = self.open("/job/website/")
        page.fill("#name", "admin")
        page.fill("#secret", self.controller.token)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{self.controller.url}job/website/")


@pytest.fixture(scope="module", params=["light", "dark"])
def person(request: pytest.FixtureRequest, chromium: Any, controller: ControllerProcess) -> Iterator[Person]:
    made = Person(chromium, controller, request.param, 1280)
    made.sign_in()
    yield made
    made.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_barriers(person: Person, path: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = person.open(path)
    only = {"type": "tag", "values": RULES}
    if person.scheme == "dark":  # nothing else differs
        only = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]})
    assert found.response["violations"] == [], found.generate_report()
    assert person.complaints == []


@pytest.fixture(scope="module")
def phone(chromium: Any, controller: ControllerProcess) -> Iterator[Person]:
    made = Person(chromium, controller, "light", 360)
    made.sign_in()
    yield made
    made.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_on_a_phone(phone: Person, path: str) -> None:
    page = phone.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361).length"
    assert page.evaluate(wide) == 0


def test_the_sign_in_page_has_no_barriers(chromium: Any, controller: ControllerProcess) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for scheme in ("light", "dark"):
        stranger = Person(chromium, controller, scheme, 360)
        page = stranger.open("/")
        page.fill("#name", "admin")
        page.fill("#secret", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert Axe().run(page).response["violations"] == []
        stranger.context.close()


WALK = """() => {
  const all = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")].filter(
    (one) => one.tabIndex >= 0 && one.type !== "hidden" && one.checkVisibility());
  const now = document.activeElement;
  return [all.length, all.indexOf(now), getComputedStyle(now).outlineStyle];
}"""


@pytest.mark.parametrize("path", ["/", "/job/website/", "/job/website/3/", "/job/deploy/build", "/computer/distant/"])
def test_the_keyboard_reaches_everything_in_its_order_and_is_seen(person: Person, path: str) -> None:
    page = person.open(path)
    page.evaluate("document.activeElement.blur()")
    count = page.evaluate(WALK)[0]
    walked = []
    for _ in range(count):
        page.keyboard.press("Tab")
        walked.append(page.evaluate(WALK)[1:])
    assert [place for place, _ in walked] == list(range(count))
    assert "none" not in [outline for _, outline in walked]


def test_a_build_is_started_by_keyboard_and_its_log_followed(chromium: Any, controller: ControllerProcess) -> None:
    gate = controller.home / "gate"
    script = f"echo begun; until [ -e {gate} ]; do sleep 0.02; done; echo '<b>the end</b>'"
    controller.create("followed", shell(script))
    person = Person(chromium, controller, "dark", 1280)
    person.sign_in()
    page = person.open("/job/followed/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Build now"
    page.keyboard.press("Enter")
    page.wait_for_selector("#builds a[href='/job/followed/1/']")  # comes by itself
    page.goto(f"{controller.url}job/followed/1/")
    page.wait_for_selector("text=begun")
    assert page.locator("#state .badge").inner_text() == "Running"
    gate.touch()
    page.wait_for_selector("text=<b>the end</b>")
    page.wait_for_selector("#state .badge:has-text('Success')")
    assert "ended: Success" in page.locator("#told").text_content()
    numbers = page.eval_on_selector_all(".line > a", "links => links.map(link => Number(link.textContent))")
    assert numbers == list(range(1, len(numbers) + 1))
    told = page.eval_on_selector_all(".line > .text", "lines => lines.map(line => line.textContent + '\\n').join('')")
    assert told == controller.get("job/followed/1/consoleText").text
    assert person.complaints == []
    person.context.close()


def test_sections_fold_and_a_line_has_an_address(person: Person) -> None:
    page = person.open("/job/website/3/console")
    fold = page.locator(".fold").first
    line = page.locator("text=ok and not ok")
    assert line.is_visible()
    fold.focus()
    page.keyboard.press("Enter")
    assert (fold.get_attribute("aria-expanded"), line.is_visible()) == ("false", False)
    page.keyboard.press("Enter")
    assert line.is_visible()
    page.locator("#L4 > a").click()
    assert page.url.endswith("/job/website/3/console?line=4#L4")
    assert "is-chosen" in page.locator("#L4").get_attribute("class")
    assert person.complaints == []


def test_a_log_that_comes_fast_is_followed_without_filling_the_page(person: Person) -> None:
    controller = person.controller
    name = f"flood-{person.page.evaluate('matchMedia(`(prefers-color-scheme: dark)`).matches')}"
    gate = controller.home / name
    controller.create(
        name, shell(f"#!/bin/sh\necho ready; until [ -e {gate} ]; do sleep 0.02; done; seq 300000; echo done")
    )
    controller.build(name)
    wait_for(lambda: "ready" in controller.get(f"job/{name}/1/consoleText").text)
    page = person.open(f"/job/{name}/1/")
    page.wait_for_selector("text=ready")
    gate.touch()
    page.wait_for_selector("#state .badge:has-text('Success')")
    assert page.locator(".line").count() <= 5000
    assert page.locator(".line .text").last.inner_text() == "Finished: SUCCESS"
    size = len(controller.get(f"job/{name}/1/consoleText").text.splitlines())
    assert page.locator(".line > a").last.inner_text() == str(size)
    assert person.complaints == []


def test_pages_work_without_their_script(chromium: Any, controller: ControllerProcess) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{controller.url}job/deploy/build")
    page.fill("#name", "admin")
    page.fill("#secret", controller.token)
    page.click("main button")
    page.select_option("select", "there")
    page.uncheck("input[type=checkbox]")
    number = controller.get("job/deploy/api/json").json["nextBuildNumber"]
    page.click("main button")
    controller.finished("deploy", number)
    page.goto(f"{controller.url}job/deploy/{number}/console")
    assert "|false|there" in page.inner_text("#lines")
    context.close()
