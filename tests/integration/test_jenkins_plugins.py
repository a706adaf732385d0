"""`byoci monitor update-plugins` and `update-agent` on the documented API of a Jenkins 2; see jenkins_plugins.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jenkins_plugins import JenkinsPlugins, serving

from byoci.errors import UnavailableError
from byoci.jenkins.client import Jenkins
from byoci.jenkins.plugins import Step, Update, installed, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.monitor, pytest.mark.slow]

CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[controller]
engine = "jenkins"
url = "{url}"
plugins = ["git:5.2", "command-launcher", "junit"]
launcher = ["/opt/byoci/bin/byoci"]
[agent.big]
host = "127.0.0.1"
labels = ["linux"]
host_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKHEChVZ5i0dTSUZ1Vd8RC9dWYBRXnlPnyEUbZxvQ5Jz"]
"""


@pytest.fixture
def server() -> JenkinsPlugins:
    made = JenkinsPlugins()
    made.plugins = {"git": "5.1", "junit": "1300.v1", "mailer": "4"}
    made.offered = {"git": "5.2.1", "command-launcher": "107.v2", "junit": "1301"}
    return made


@pytest.fixture
def jenkins(server: JenkinsPlugins) -> Iterator[Jenkins]:
    with serving(server) as url:
        yield Jenkins(url)


def update(jenkins: Jenkins, *wanted: str, restart: bool = True) -> list[str]:
    """What is told meanwhile."""
    said: list[str] = []
    steps = plan(installed(jenkins), wanted)
    done = Update(jenkins, steps, said.append)
    if done.install() and restart:
        done.restart()
    return said


def test_what_lacks_or_is_too_old_is_planned(jenkins: Jenkins) -> None:
    there = installed(jenkins)
    assert plan(there, ["mailer", "mailer:4.0", "junit:1300", "git:5.1-rc1"]) == []
    assert plan(there, ["new", "git:5.1.1", "mailer:4.0.1", "junit:1301.v0"]) == [
        Step("new", "", ""),
        Step("git", "5.1", "5.1.1"),
        Step("mailer", "4", "4.0.1"),
        Step("junit", "1300.v1", "1301.v0"),
    ]


def test_a_new_plugin_needs_no_restart_and_an_update_does(server: JenkinsPlugins, jenkins: Jenkins) -> None:
    update(jenkins, "command-launcher")
    assert (server.plugins["command-launcher"], server.restarts) == ("107.v2", 0)
    assert update(jenkins, "git:5.2", restart=False) == ["fetching git"]
    assert server.plugins["git"] == "5.1"
    assert update(jenkins, "git:5.2") == ["the Jenkins restarts, once its builds have ended"]  # it is fetched already
    assert (server.plugins["git"], server.restarts) == ("5.2.1", 1)


@pytest.mark.parametrize("other", ["junit:1301", "nowhere"])
def test_where_one_cannot_be_fetched_all_is_as_before(server: JenkinsPlugins, jenkins: Jenkins, other: str) -> None:
    server.failing = {"junit"}
    before = dict(server.plugins)
    with pytest.raises(UnavailableError, match=f"could not be installed: {other.partition(':')[0]}"):
        update(jenkins, "git:5.2", "command-launcher", other)
    jenkins.post("safeRestart")
    assert server.plugins == before


def test_where_one_does_not_work_after_the_restart_the_older_ones_are_back(
    server: JenkinsPlugins, jenkins: Jenkins
) -> None:
    server.broken = {"git:5.2.1"}
    before = dict(server.plugins)
    with pytest.raises(UnavailableError, match="plugins do not work: git"):
        update(jenkins, "git:5.2", "command-launcher")
    assert (server.plugins, server.restarts) == (before, 2)


def test_who_is_sent_to_the_login_has_done_nothing(server: JenkinsPlugins, jenkins: Jenkins) -> None:
    server.leads_to = "/login?from=%2F"
    with pytest.raises(UnavailableError, match="leads elsewhere"):
        jenkins.post("computer/doCreateItem", b'name=big&json={"labelString":""}')


@pytest.mark.slow
def test_the_commands_show_what_they_do_and_ask_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: JenkinsPlugins
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    config = tmp_path / "byoci.toml"

    def monitor(*words: str) -> str:
        argv = [Path(sys.executable).with_name("byoci"), "--config", config, "monitor", *words]
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
        assert run.returncode == 0, run.stderr
        return run.stdout

    with serving(server) as url:
        config.write_text(CONFIG.format(url=url))
        assert "git               update   5.1   5.2" in monitor("update-plugins", "-n")
        assert not server.jobs
        assert json.loads(monitor("update-plugins", "--json"))["state"] == "waits for a restart"
        assert (server.plugins["git"], server.restarts) == ("5.1", 0)
        monitor("update-plugins", "--restart")
        assert (server.plugins["git"], server.restarts) == ("5.2.1", 1)
        assert monitor("update-plugins") == "All plugins are as they should be.\n"

        assert "agent start-slave-via-ssh big" in monitor("update-agent", "-n")
        assert not server.nodes
        monitor("update-agent")
        server.nodes["big"] = "<?xml version='1.1'?>\n<slave><mode>EXCLUSIVE</mode><label>linux</label></slave>"
        shown = monitor("update-agent", "big")
        assert "+<slave><mode>EXCLUSIVE</mode><label>linux</label><remoteFS>~/.byoci/agent/testing</remoteFS>" in shown
        assert "<agentCommand>/opt/byoci/bin/byoci agent start-slave-via-ssh big</agentCommand>" in server.nodes["big"]
        assert server.nodes["big"].startswith("<?xml version='1.1'?>\n<slave><mode>EXCLUSIVE</mode>")
        assert monitor("update-agent") == "All nodes are as they should be.\n"
