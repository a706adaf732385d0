"""A site whose proposals are landed by the monitor through builds: controller, monitor and agent as real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller_process import ControllerProcess, running, wait_for
from site_under_test import TESTS, Story

from byoci.monitor.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.model import Status
    from byoci.monitor.values import Started

BYOCI = str(Path(sys.executable).with_name("byoci"))


class Monitored:
    """The site, its controller, and a monitor that can be killed and started again."""

    def __init__(self, story: Story, controller: ControllerProcess, home: Path) -> None:
        self.story = story
        self.controller = controller
        self.home = home
        self.log = home / "monitor.log"
        self._process: subprocess.Popen[bytes] | None = None

    def byoci(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BYOCI, "--config", str(self.story.config), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def url(self) -> str:
        """The dashboard's address."""
        address = self.home / "testing/monitor/address"
        return str(wait_for(lambda: address.exists() and address.read_text().strip()))

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return bytes(reply.read())

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [BYOCI, "--config", str(self.story.config), "monitor", "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(30) == 0, self.log.read_text()

    def modes_of(self, path: Path) -> set[int]:
        """In which ways the monitor's process has a file open."""
        assert self._process is not None
        process = Path("/proc", str(self._process.pid))
        modes = set()
        for link in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if link.readlink() == path:
                    told = (process / "fdinfo" / link.name).read_text().split()
                    modes.add(int(told[told.index("flags:") + 1], 8) & os.O_ACCMODE)
        return modes

    def await_status(self, id_: str, status: Status) -> None:
        wait_for(lambda: self.story.forge.proposal(id_).status is status, 60)

    def landings(self) -> list[Started]:
        """What the monitor started, oldest first."""
        with contextlib.closing(State(self.home / "testing/monitor")) as state:
            return list(reversed(state.newest()))

    def ended(self, number: int) -> list[Started]:
        """The same, once so many have ended and none is under way."""

        def enough() -> Any:
            found = self.landings()
            return len(found) >= number and all(item.ended for item in found) and found

        return wait_for(enough, 120)  # type: ignore[no-any-return]

    def builds(self) -> list[dict[str, Any]]:
        return self.controller.get("job/land-hello/api/json").json["builds"]  # type: ignore[no-any-return]


@contextlib.contextmanager
def monitored(folder: Path, vcs: str, *, tests: str = TESTS) -> Iterator[Monitored]:
    """A site below `folder`, whose $BYOCI_HOME is `folder/home`, with the controller running and its jobs made."""
    home = folder / "home"
    assert os.environ["BYOCI_HOME"] == str(home)
    (home / "testing").mkdir(parents=True, mode=0o700)
    story = Story(folder, vcs, tests=tests)
    story.config.write_text(f"{story.config.read_text()}\n[monitor]\nport = 0\n")
    story.reopen()
    with running(home / "testing/controller") as controller:
        site = Monitored(story, controller, home)
        assert site.byoci("host", "secrets").returncode == 0
        made = site.byoci("job", "update")
        assert made.returncode == 0, made.stderr
        try:
            yield site
        finally:
            site.stop()
    assert not site.log.exists() or "Traceback" not in site.log.read_text()
