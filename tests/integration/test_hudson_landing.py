"""The monitor lands through Hudson 1.395, which Jenkins comes from, on an agent that `start-slave-via-ssh` launched."""

from __future__ import annotations

import getpass
import json
import shutil
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from agent_sshd import Sshd
from benchmarks import hudson
from controller_process import wait_for
from monitored_site import Monitored
from site_under_test import Story

from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.git, pytest.mark.bzr, pytest.mark.slow]

# Hudson's own remoting is older than Java's modules.
JAVA = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m", "--add-opens=java.base/java.lang=ALL-UNNAMED"]
BANNER = "Welcome to this machine!\n"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "sshd", BANNER)
    yield server
    server.cut()
    server.stop()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    if why := hudson.fetch(hudson.OLD):
        pytest.skip(f"missing: {why}")
    with hudson.running(hudson.OLD, tmp_path / "hudson", hudson.SPARING, hudson.CRUMBS) as address:
        yield address


def definition(url: str, sshd: Sshd, agent: str) -> str:
    """What the site says of its controller and its agent."""
    key = (sshd.folder / "host.pub").read_text().strip()
    return (
        f'\n[monitor]\nport = 0\n[controller]\nengine = "jenkins"\nurl = "{url}"\n[jobs]\nlabel = "{agent}-landing"\n'
        f'[agent.{agent}]\nhost = "127.0.0.1"\nport = {sshd.port}\nuser = "{getpass.getuser()}"\n'
        f'host_keys = ["{key}"]\nauthorized_keys = "{sshd.folder}/authorized"\nexecutors = 1\n'
        f'labels = ["{agent}-landing"]\nfolder = "{sshd.folder}/{agent}"\njava = {json.dumps(JAVA)}\n'
    )


class Hudson:
    """What its API tells."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return json.loads(reply.read())

    def is_online(self, node: str) -> bool:
        return not self.get(f"computer/{node}/api/json")["offline"]


def test_the_samples_land_through_hudson_on_an_agent_over_ssh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, sshd: Sshd
) -> None:
    """Git and bzr, each a site of its own with its own agent, through the same Hudson; jobs of one name, in turn."""
    api = Hudson(url)
    for vcs in ("git", "bzr"):
        home = tmp_path / vcs / "home"
        monkeypatch.setenv("BYOCI_HOME", str(home))
        (home / "testing").mkdir(parents=True, mode=0o700)
        story = Story(tmp_path / vcs, vcs)
        story.config.write_text(story.config.read_text() + definition(url, sshd, vcs))
        story.reopen()
        site = Monitored(story, None, home)
        try:
            assert_lands(site, api, vcs)
        finally:
            site.stop()
        assert "Traceback" not in site.log.read_text()
        assert site.byoci("job", "delete").returncode == 0
    shutil.rmtree(tmp_path / "hudson", ignore_errors=True)


def assert_lands(site: Monitored, api: Hudson, node: str) -> None:
    for command in (("host", "update-agent-access"), ("monitor", "update-agent"), ("job", "update")):
        done = site.byoci(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    again = site.byoci("monitor", "update-agent")  # no Hudson tells a node's configuration
    assert (again.returncode, f"node {node} is there, and this server does not tell" in again.stderr) == (75, True)
    assert site.byoci("job", "update").stdout == "All jobs are as they should be.\n"
    good = site.story.propose("good", {"good": "yes"})
    bad = site.story.propose("bad", {"broken": ""})
    wait_for(lambda: api.is_online(node))
    site.start()
    site.await_status(good.id, Status.MERGED)
    site.await_status(bad.id, Status.NEEDS_REVIEW)
    landings = site.ended(2)
    assert [(item.proposal, item.outcome) for item in landings] == [
        (good.id, Outcome.LANDED),
        (bad.id, Outcome.TESTS_FAILED),
    ]
    assert landings[0].revision == site.story.trunk_tip()
    assert "ended with exit code 1" in landings[1].reasons[0]
    assert [build["number"] for build in api.get("job/land-hello/api/json")["builds"]] == [2, 1]
    assert api.get("job/land-hello/1/api/json")["builtOn"] == node
