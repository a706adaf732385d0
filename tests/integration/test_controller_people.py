"""`byoci controller user`, while a controller runs: what is changed holds at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from controller_process import ControllerProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BYOCI = str(Path(sys.executable).with_name("byoci"))


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[ControllerProcess]:
    home = tmp_path / "testing/controller"
    home.parent.mkdir()
    with running(home) as process:
        yield process


def user(root: Path, *arguments: str, word: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BYOCI, "controller", "user", *arguments],
        env={**os.environ, "BYOCI_HOME": str(root)},
        input=word,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_people_come_change_and_go(controller: ControllerProcess, tmp_path: Path) -> None:
    def status(name: str, word: str) -> int:
        return controller.get("me/api/json", auth=f"{name}:{word}").status

    assert status("ann", "first password") == 401
    added = user(tmp_path, "add", "ann", "--password-file", "-", word="first password\n")
    assert (added.returncode, added.stderr) == (0, "ann may sign in.\n")
    assert user(tmp_path, "add", "ann", "--password-file", "-", word="first password\n").returncode == 2
    assert controller.get("me/api/json", auth="ann:first password").json["id"] == "ann"
    assert controller.get("user/ann/api/json").status == 200
    assert user(tmp_path, "password", "ann", "--password-file", "-", word="second password").returncode == 0
    assert status("ann", "first password") == 401
    assert status("ann", "second password") == 200

    path = "user/ann/descriptorByName/jenkins.security.ApiTokenProperty"
    made = controller.post(f"{path}/generateNewToken?newTokenName=mine", auth="ann:second password").json["data"]
    assert status("ann", made["tokenValue"]) == 200
    assert controller.post(f"{path}/revoke?tokenUuid={made['tokenUuid']}", auth="ann:second password").status == 200
    assert status("ann", made["tokenValue"]) == 401
    token = user(tmp_path, "token", "ann").stdout.strip()
    assert status("ann", token) == 200
    told = json.loads(user(tmp_path, "list", "--json").stdout)
    assert told == [
        {"name": "admin", "password": False, "tokens": True, "reader": False},
        {"name": "ann", "password": True, "tokens": True, "reader": False},
    ]

    assert user(tmp_path, "remove", "ann").returncode == 0
    assert status("ann", "second password") == status("ann", token) == 401
    assert user(tmp_path, "remove", "ann").returncode == 2
    assert user(tmp_path, "remove", "admin").returncode == 2
    assert user(tmp_path, "add", "bob").returncode == 2  # no terminal to ask in


def test_guessing_is_answered_429(controller: ControllerProcess, tmp_path: Path) -> None:
    user(tmp_path, "add", "ann", "--password-file", "-", word="first password\n")
    replies = [controller.get("api/json", auth=f"ann:guess {n}") for n in range(8)]
    assert [reply.status for reply in replies[:5]] == [401] * 5
    assert 429 in [reply.status for reply in replies[5:]]
    last = next(reply for reply in replies if reply.status == 429)
    assert int(last.headers["Retry-After"]) >= 1
    assert controller.get("api/json").status == 200  # others do not notice
    assert "guess" not in controller.errors.read_text()
