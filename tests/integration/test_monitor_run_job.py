"""`byoci monitor run-job`, and the jobs that test a trunk and notice that it has changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from controller_process import wait_for
from monitored_site import monitored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.git, pytest.mark.slow]
PARAMETER = (
    "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
    "<hudson.model.StringParameterDefinition><name>WHAT</name><defaultValue>the usual</defaultValue>"
    "</hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty>"
    "</properties>"
)


def test_jobs_are_built_followed_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    with monitored(tmp_path, "git") as site:
        api = site.controller
        tests = site.byoci("monitor", "run-job", "test-.*")
        assert tests.returncode == 0, tests.stderr
        assert f" at {site.story.trunk_tip()}" in tests.stdout
        assert tests.stderr.splitlines()[-1] == "test-hello #1: SUCCESS"
        assert api.get("job/test-hello/1/artifact/tests.subunit").body.startswith(b"\xb3")

        api.shell("say-more", 'echo "told $WHAT"; exit 1', PARAMETER)
        api.shell("say-some", 'echo "told some"')
        dry = site.byoci("monitor", "run-job", "say-.*", "-n")
        assert (dry.returncode, dry.stdout) == (0, "say-more\nsay-some\n")
        both = site.byoci("monitor", "run-job", "say-.*")
        assert both.returncode == 1
        assert both.stdout.index("told the usual") < both.stdout.index("told some")
        told = site.byoci("monitor", "run-job", "--json", "say-some")
        (row,) = json.loads(told.stdout)
        assert row == {"job": "say-some", "build": 2, "url": f"{api.url}job/say-some/2/", "result": "SUCCESS"}
        assert site.byoci("monitor", "run-job", "none").returncode == 3

        site.story.config.write_text(f"{site.story.config.read_text()}\n[jobs]\ntriggers = true\n")
        assert "trigger-hello-devs-test" in site.byoci("job", "update").stdout
        assert site.byoci("monitor", "run-job", "trigger-.*").returncode == 0
        wait_for(lambda: api.get("job/test-hello/2/api/json").status == 200)
        again = site.byoci("monitor", "run-job", "trigger-.*")
        assert (again.returncode, "is still at" in again.stdout) == (0, True), again.stdout
        site.story.repository.commit(None, {"broken": ""}, "break it", "alice")
        assert site.byoci("monitor", "run-job", "trigger-.*").returncode == 0
        assert api.finished("test-hello", 3)["result"] == "FAILURE"
        assert api.get("job/test-hello/api/json").json["nextBuildNumber"] == 4

        api.post("job/say-some/disable")
        assert site.byoci("monitor", "run-job", "say-some").returncode == 75
