"""The dashboard in a real browser while a proposal lands: accessibility, both colour schemes, a narrow screen."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from controller_process import wait_for
from monitored_site import monitored

from byoci.model import Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.git, pytest.mark.slow]
playwright = pytest.importorskip("playwright.sync_api", reason="missing: playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
STEPS = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo step $i; sleep 0.07; done"
TESTS = f"test ! -e broken && {{ test ! -e slow || {{ {STEPS}; }}; }}"
HOSTILE = "<script>alert(1)</script><b>bold</b> " + "long" * 40


def barriers(page: Any) -> str:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]})
    return str(found.generate_report()) if found.response["violations"] else ""


def browser_text(browser: Any, url: str, part: str) -> str:
    page = browser.new_page()
    page.goto(url)
    found = str(page.locator(part).inner_text())
    page.close()
    return found


def test_the_dashboard_follows_a_landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not CHROMIUM:
        pytest.skip("missing: chromium")
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    with (
        monitored(tmp_path, "git", tests=TESTS) as site,
        playwright.sync_playwright() as driver,
    ):
        bad = site.story.propose("bad", {"broken": ""})
        waiting = site.story.propose("waiting", {"x": ""}, approve=False)
        place = site.story.repository.location("hostile")
        site.story.forge.create("hello", place, site.story.repository.trunk, HOSTILE, acting_for="bob")
        site.start()
        site.await_status(bad.id, Status.NEEDS_REVIEW)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        complaints: list[str] = []
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(f"{site.url}project/hello")
        slow = site.story.propose("slow", {"slow": ""})
        page.wait_for_selector("#log:has-text('step 10')")
        first = page.locator("#log").inner_text()
        wait_for(lambda: len(page.locator("#log").inner_text()) > len(first))
        assert page.evaluate(
            "(log => log.scrollTop + log.clientHeight >= log.scrollHeight - 8)(document.querySelector('#log'))"
        )
        for address in ("project/hello", ""):
            for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360)):
                other = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
                other.goto(site.url + address)
                assert barriers(other) == ""
                assert other.evaluate("document.documentElement.scrollWidth") <= width
                other.close()
        site.await_status(slow.id, Status.MERGED)
        wait_for(lambda: page.locator("#landings .badge.is-success").count() == 1)
        assert page.locator("#log").count() == 0
        assert page.locator("#landings svg rect.is-success").count() == 1
        assert "1 of the last 2 landings landed" in page.content()
        assert "Built-In Node" in browser_text(browser, site.url, "#agents")
        assert complaints == []
        assert waiting.title in page.content()
        browser.close()
