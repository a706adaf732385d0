"""The monitor lands proposals through builds on the controller: all of it for real, and killed in between."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import urllib.request
from typing import TYPE_CHECKING

import pytest
from both import VCS
from controller_process import wait_for
from monitored_site import monitored

from byoci.model import Outcome, Status
from receiver import receiving

if TYPE_CHECKING:
    from pathlib import Path

    from monitored_site import Monitored

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("vcs", VCS)
def test_what_may_land_lands_through_a_build_and_what_fails_is_reported(folder: Path, vcs: str) -> None:
    with monitored(folder, vcs) as site, receiving() as receiver:
        site.story.config.write_text(f'{site.story.config.read_text()}[webhook.chat]\nurl = "{receiver.hook.url}"\n')
        assert "made" in site.byoci("host", "secrets").stdout
        good = site.story.propose("good", {"good": "yes"})
        bad = site.story.propose("bad", {"broken": ""})
        later = site.story.propose("later", {"later": "yes"}, approve=False)
        site.start()
        site.await_status(good.id, Status.MERGED)
        site.await_status(bad.id, Status.NEEDS_REVIEW)
        site.story.approve("later", later.id)
        site.await_status(later.id, Status.MERGED)
        landings = site.ended(3)
        assert [(item.proposal, item.outcome) for item in landings] == [
            (good.id, Outcome.LANDED),
            (bad.id, Outcome.TESTS_FAILED),
            (later.id, Outcome.LANDED),
        ]
        assert landings[2].revision == site.story.trunk_tip()
        assert "broken" in landings[1].reasons[0] or "failed" in landings[1].reasons[0]
        assert {"good", "later"} < site.story.repository.names()
        assert "broken" not in site.story.repository.names()
        assert [build["number"] for build in site.builds()] == [3, 2, 1]
        assert_told(site)
        wait_for(lambda: len(receiver.told) >= 3)
        told = [(item["kind"], item["landing"]["proposal"], item["landing"]["revision"]) for item in receiver.told]
        assert told == [
            ("landed", good.id, landings[0].revision),
            ("failed", bad.id, None),
            ("landed", later.id, site.story.trunk_tip()),
        ]
        assert site.controller.get(f"job/land-hello/{landings[0].number}/api/json").json["url"] == landings[0].url


def assert_told(site: Monitored) -> None:
    """What the dashboard, the JSON API and the metrics say of the three landings, and that a webhook is heard."""
    page = site.get("project/hello").decode()
    assert "tests failed" in page
    assert f'href="{site.controller.url}job/land-hello/2/"' in page
    told = json.loads(site.get("api/projects/hello"))
    assert [item["outcome"] for item in told["landings"]] == ["landed", "tests-failed", "landed"]
    assert [item["title"] for item in told["waiting"]] == ["Do bad"]
    assert 'byoci_landings_total{project="hello",outcome="landed"} 2\n' in site.get("metrics").decode()
    assert json.loads(site.get("healthz"))["ok"]
    assert site.modes_of(site.home / "testing/forge.sqlite") == {os.O_RDONLY}  # it lands nothing itself
    secret = (site.home / "testing/secrets/controller/webhook").read_bytes().strip()
    assert site.byoci("host", "secrets", "--rotate", "webhook").returncode == 0  # forges know the older one
    signature = "sha256=" + hmac.new(secret, b"{}", hashlib.sha256).hexdigest()
    hook = urllib.request.Request(f"{site.url}hooks/local", b"{}", {"X-Hub-Signature-256": signature})
    with urllib.request.urlopen(hook, timeout=30) as reply:
        assert reply.status == 202


@pytest.mark.git
def test_a_killed_monitor_goes_on_with_the_builds_that_it_started(folder: Path) -> None:
    """One build runs on and ends while nobody looks, and none is started again."""
    with monitored(folder, "git", tests="sleep 2; test ! -e broken") as site:
        first = site.story.propose("first", {"first": "yes"})
        second = site.story.propose("second", {"second": "yes"})
        site.start()
        wait_for(lambda: [item for item in site.landings() if item.number])
        site.kill()
        site.await_status(first.id, Status.MERGED)
        site.start()
        site.await_status(second.id, Status.MERGED)
        site.kill()
        site.start()
        landings = site.ended(2)
        assert [(item.proposal, item.outcome) for item in landings] == [
            (first.id, Outcome.LANDED),
            (second.id, Outcome.LANDED),
        ]
        assert len(site.builds()) == 2


@pytest.mark.git
def test_into_a_frozen_trunk_only_a_hotfix_lands(folder: Path) -> None:
    with monitored(folder, "git") as site:
        usual = site.story.propose("usual", {"usual": "yes"})
        fix = site.story.propose("fix", {"fix": "yes"})
        assert site.byoci("monitor", "freeze", "hello", "--reason", "Release & <b>rest</b>").returncode == 0
        site.start()
        wait_for(lambda: b"Release &amp; &lt;b&gt;rest&lt;/b&gt;" in site.get("project/hello"))
        assert site.byoci("monitor", "hotfix", fix.id).returncode == 0
        site.await_status(fix.id, Status.MERGED)
        assert [item.proposal for item in site.ended(1)] == [fix.id]
        assert json.loads(site.get("api/projects/hello"))["freeze"]["reason"] == "Release & <b>rest</b>"
        assert site.byoci("monitor", "thaw", "hello").returncode == 0
        site.await_status(usual.id, Status.MERGED)
        assert [item.proposal for item in site.ended(2)] == [fix.id, usual.id]
    assert site.byoci("monitor", "thaw", "hello").returncode == 3
    assert site.byoci("monitor", "hotfix", usual.id, "--undo").returncode == 3
    assert site.byoci("monitor", "freeze", "none", "--reason", "x").returncode == 2
