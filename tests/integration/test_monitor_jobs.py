"""`byoci job update` and `delete`: the definition's jobs, and never somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jenkins_clients import environment_folder
from monitored_site import monitored

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.monitor, pytest.mark.git, pytest.mark.slow]

THEIRS = "<project><description>ours, not byoci's</description></project>"
YAML = """
- job-template:
    name: "land-{project}"
    description: "the team's own for {trunk}"
    parameters:
      - string: {name: PROPOSAL}
      - string: {name: LANDING}
    builders:
      - shell: "{land} >landing.json"
- job:
    name: nightly
    builders:
      - shell: "true"
"""


def test_jobs_are_made_changed_and_deleted_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    with monitored(tmp_path, "git") as site:
        api = site.controller
        own = api.get("job/land-hello/config.xml").text
        assert "Managed by byoci" in own
        assert site.byoci("job", "update").stdout == "All jobs are as they should be.\n"
        api.post("createItem?name=nightly", THEIRS.encode())

        jobs = tmp_path / "jobs"
        jobs.mkdir()
        (jobs / "jobs.yaml").write_text(YAML)
        more = f'\n[jobs]\nbuilder = "{environment_folder()}/jenkins-jobs"\ntemplates = ["land-{{project}}"]\n'
        site.story.config.write_text(site.story.config.read_text() + more)
        dry = site.byoci("job", "update", "-n")
        assert (dry.returncode, dry.stderr) == (1, "nightly is not byoci's job, and stays as it is.\n")
        assert (
            f"+  <description>Managed by byoci. the team's own for {site.story.repository.trunk}</description>"
            in dry.stdout
        )
        assert api.get("job/land-hello/config.xml").text == own
        assert site.byoci("job", "update", "land-.*").returncode == 0
        assert "the team's own" in api.get("job/land-hello/config.xml").text
        assert site.byoci("job", "update", "land-hello").stdout == "All jobs are as they should be.\n"
        assert api.get("job/nightly/config.xml").text == THEIRS

        assert "land-hello: to be deleted" in site.byoci("job", "delete", "-n").stdout
        assert api.get("job/land-hello/api/json").status == 200
        assert site.byoci("job", "delete", "nightly").returncode == 1
        assert site.byoci("job", "delete").returncode == 0
        assert api.get("job/land-hello/api/json").status == 404
        assert api.get("job/nightly/config.xml").text == THEIRS
        assert site.byoci("job", "update", "(").returncode == 2
        (jobs / "jobs.yaml").write_text("- job:\n    nane: x\n")
        wrong = site.byoci("job", "update")
        assert (wrong.returncode, "jenkins-job-builder refuses the jobs" in wrong.stderr) == (2, True)
