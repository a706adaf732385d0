"""Units of systemd: what systemd says of them, and that the servers talk to it as units of `Type=notify` must."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from controller_process import wait_for
from monitored_site import BYOCI, monitored

from byoci.host.units import CONTROLLER, MONITOR, Installation, render
from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.host, pytest.mark.slow]

CONFIG = '[site]\nlanding.fullname = "Bot"\nlanding.email = "bot@example.com"\n[controller]\nport = 0\n'
HOME = Path('/srv/it\'s 100% "byoci" $HOME')


@pytest.fixture(params=["byoci", "root", ""])
def units(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder with the units of a user of the system, of root, or of a person."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("missing: systemd-analyze")
    config = HOME / "production/definition/byoci.toml"
    made = Installation(Path(sys.executable), HOME, config, "production", request.param)
    for name, text in render(made).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def analyze(*arguments: str | Path) -> list[str]:
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [line for line in done.stderr.splitlines() if "byoci" in line]  # not of other units of this machine


def test_systemd_finds_nothing_wrong_with_them_and_little_exposed(units: Path) -> None:
    text = (units / MONITOR).read_text()
    # The controller's builds on this machine need most of what there is; root's have to become another user. And a
    # person's units have no mounts of their own.
    limits = (20, 50) if "User=byoci" in text else (20, 75) if "User=" in text else (65, 90)
    for name, most in zip((MONITOR, CONTROLLER), limits, strict=True):
        assert analyze("verify", "--man=no", units / name) == []
        analyze("security", "--no-pager", "--offline=true", f"--threshold={most}", units / name)


def test_paths_are_whole_and_of_any_namespace(units: Path) -> None:
    text = (units / MONITOR).read_text()
    home = '/srv/it\'s 100%% \\"byoci\\" $'
    assert f'"--config" "{home}$HOME/%i/definition/byoci.toml" "--namespace" "%i"' in text
    assert f'Environment="BYOCI_HOME={home}HOME"' in text
    assert 'LoadCredential=controller-webhook:/srv/it\'s 100%% "byoci" $HOME/%i/secrets/controller/webhook\n' in text
    assert "User=" not in text or f'ReadWritePaths="{home}HOME/%i"\n' in text


@pytest.mark.parametrize("options", [(), ("--user",)])
def test_they_are_written_for_this_site(folder: Path, options: tuple[str, ...]) -> None:
    (folder / "byoci.toml").write_text(CONFIG)
    (folder / "home").mkdir(mode=0o700)
    command = [BYOCI, "--config", str(folder / "byoci.toml"), "host", "systemd-units", *options, "--to", folder / "to"]
    for _ in range(2):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60)
        assert "byoci-controller@testing.service byoci-monitor@testing.service" in done.stderr
    assert {path.name for path in (folder / "to").iterdir()} == {CONTROLLER, MONITOR}
    assert (folder / "home/testing/secrets/controller/webhook").exists()  # the unit could not start without it
    if shutil.which("systemd-analyze") is not None:
        for name in (CONTROLLER, MONITOR):
            assert analyze("verify", "--man=no", folder / "to" / name) == []


class Listener:
    """What systemd hears."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def has_heard(self, word: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(1000).decode())
        return word in self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    return tmp_path


def watched(listener: Listener, folder: Path) -> dict[str, str]:
    """The environment of a unit."""
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "controller-webhook").write_text("given by systemd\n")
    return {
        "NOTIFY_SOCKET": str(listener.path),
        "WATCHDOG_USEC": "600000",
        "CREDENTIALS_DIRECTORY": str(credentials),
    }


@pytest.mark.controller
@pytest.mark.monitor
@pytest.mark.git
def test_a_monitor_that_is_stopped_tears_no_landing(
    folder: Path, systemd: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monitored(folder, "git", tests="sleep 1; test ! -e broken") as site:
        proposal = site.story.propose("slow", {"slow": "yes"})
        for name, value in watched(systemd, folder).items():
            monkeypatch.setenv(name, value)
        site.start()
        wait_for(lambda: systemd.has_heard("READY=1"))
        signature = "sha256=" + hmac.new(b"given by systemd", b"{}", hashlib.sha256).hexdigest()
        hook = urllib.request.Request(f"{site.url}hooks/local", b"{}", {"X-Hub-Signature-256": signature})
        with urllib.request.urlopen(hook, timeout=30) as reply:
            assert reply.status == 202
        wait_for(lambda: [item for item in site.landings() if item.number])
        assert systemd.has_heard("WATCHDOG=1")
        assert not systemd.has_heard("STOPPING=1")
        site.stop()
        assert systemd.has_heard("STOPPING=1")
        assert [item.ended for item in site.landings()] == [None]
        site.await_status(proposal.id, Status.MERGED)
        site.start()
        (landing,) = site.ended(1)
        assert (landing.proposal, landing.outcome) == (proposal.id, Outcome.LANDED)
        assert len(site.builds()) == 1
        assert len(site.story.forge.comments(proposal.id)) == 1


@pytest.mark.controller
def test_a_controller_says_when_it_answers_and_when_it_ends(folder: Path, systemd: Listener) -> None:
    (folder / "byoci.toml").write_text(CONFIG)
    program = [BYOCI, "--config", str(folder / "byoci.toml"), "controller", "serve"]
    environment = os.environ | watched(systemd, folder)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        wait_for(lambda: systemd.has_heard("READY=1") or process.poll() is not None)
        address = (folder / "home/testing/controller/address").read_text().strip()
        with urllib.request.urlopen(f"{address}login", timeout=30) as reply:
            assert reply.status == 200
        wait_for(lambda: systemd.heard.count("WATCHDOG=1") > 1 or systemd.has_heard("nothing"))
    finally:
        process.terminate()
        assert process.wait(60) == 0, (folder / "log").read_text()
    assert systemd.has_heard("STOPPING=1")
