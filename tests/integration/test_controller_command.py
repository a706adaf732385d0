"""`byoci up`, `byoci down` and `byoci job check`, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BYOCI = str(Path(sys.executable).with_name("byoci"))
SHELL = "<project><builders><hudson.tasks.Shell><command>true</command></hudson.tasks.Shell></builders></project>"
MAIL = "<project><publishers><hudson.plugins.emailext.ExtendedEmailPublisher/></publishers></project>"


def byoci(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BYOCI, *arguments],
        env={**os.environ, "BYOCI_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_up_and_down(tmp_path: Path) -> None:
    assert byoci(tmp_path, "down").returncode == 3
    try:
        first = byoci(tmp_path, "up", "--port", "0", "--json")
        assert first.returncode == 0, first.stderr
        told = json.loads(first.stdout)
        again = json.loads(byoci(tmp_path, "up", "--json").stdout)
        assert again == {**told, "changed": False}
        token = Path(told["token_file"]).read_text().strip()
        checked = byoci(tmp_path, "job", "check", told["url"], "--user", "admin", "--token-file", told["token_file"])
        assert (checked.returncode, checked.stdout) == (0, "0 jobs, of which 0 would run\n")
        assert token not in first.stdout + first.stderr
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(told["url"])
    finally:
        down = byoci(tmp_path, "down")
    assert (down.returncode, down.stderr) == (0, "The controller has ended.\n")
    assert byoci(tmp_path, "down").returncode == 3
    assert byoci(tmp_path, "--namespace", "../x", "up").returncode == 2


def test_what_does_not_start_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = byoci(tmp_path, "up", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 75
    assert "cannot be used" in run.stderr
    assert "Address already in use" in run.stderr


def test_jobs_of_a_folder_are_checked(tmp_path: Path) -> None:
    for name, config in (("good", SHELL), ("in/bad", MAIL), ("view", "<hudson.model.ListView/>"), ("none", "<x")):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        (tmp_path / "jobs" / name / "config.xml").write_text(config)
    run = byoci(tmp_path, "job", "check", str(tmp_path / "jobs"))
    assert run.returncode == 1
    assert run.stdout.splitlines()[0] == "in/bad"
    assert "hudson.plugins.emailext.ExtendedEmailPublisher (jenkins-job-builder: publishers: email-ext)" in run.stdout
    assert "3 jobs, of which 1 would run" in run.stdout
    rows = json.loads(byoci(tmp_path, "job", "check", "--json", str(tmp_path / "jobs")).stdout)
    assert [(row["name"], row["runs"]) for row in rows] == [("good", True), ("in/bad", False), ("none", False)]
    assert byoci(tmp_path, "job", "check", str(tmp_path / "missing")).returncode == 2
    (tmp_path / "empty").mkdir()
    assert byoci(tmp_path, "job", "check", str(tmp_path / "empty")).returncode == 2


def test_a_live_jenkins_is_checked_folder_by_folder(tmp_path: Path) -> None:
    from controller_process import ControllerProcess

    controller = ControllerProcess(tmp_path / "home")
    controller.start()
    try:
        folder = b"<com.cloudbees.hudson.plugins.folder.Folder/>"
        assert controller.post("createItem?name=f", folder).status == 200
        assert controller.post("job/f/createItem?name=inner", SHELL.encode()).status == 200
        token = ("--user", "admin", "--token-file", str(controller.home / "admin-token"))
        run = byoci(tmp_path, "job", "check", controller.url, *token, "--json")
        assert json.loads(run.stdout) == [{"name": "f/inner", "runs": True, "reasons": []}]
        refused = byoci(tmp_path, "job", "check", controller.url)
        assert refused.returncode == 75
        assert "401" in refused.stderr
    finally:
        controller.stop()
