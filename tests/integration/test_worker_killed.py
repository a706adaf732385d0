"""byoci is killed, with no time to clean up: nothing of its workers is left running, and the next one tidies up."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnavailableError
from byoci.worker import cgroup, folders
from worker_harness import BubblewrapHarness, processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.worker]

_marks = itertools.count(1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BubblewrapHarness]:
    site = BubblewrapHarness(tmp_path / "state")
    yield site
    site.close()


@pytest.fixture
def mark() -> str:
    """A number of seconds that no other program sleeps."""
    return f"{next(_marks)}{os.getpid():07}"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def start(site: BubblewrapHarness, folder: Path, body: str) -> subprocess.Popen[str]:
    """A byoci process that does `body` with the site's workers."""
    program = folder / "program.py"
    head = f"""
        import sys, threading
        sys.path[:0] = {sys.path!r}
        from pathlib import Path
        from worker_harness import BubblewrapHarness
        site = BubblewrapHarness(Path({str(site.state)!r}))
        """
    program.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, process_group=0)


def kill(victim: subprocess.Popen[str]) -> None:
    victim.kill()
    victim.wait()
    assert victim.stdout is not None
    victim.stdout.close()


@pytest.mark.parametrize(
    "way",
    [
        "sleep MARK",
        "sleep MARK & sleep MARK",
        "setsid sleep MARK & (setsid nohup sleep MARK >/dev/null 2>&1 </dev/null &); sleep MARK",
        "trap '' TERM INT HUP PIPE; sleep MARK; sleep MARK",
        "sleep MARK & sleep 0.3; kill -STOP $! $$",
        "exec >/dev/null 2>&1; sleep MARK",
    ],
)
@pytest.mark.slow
def test_nothing_outlives_it(site: BubblewrapHarness, tmp_path: Path, mark: str, way: str) -> None:
    command = "echo begun; " + way.replace("MARK", mark)
    victim = start(site, tmp_path, f"site.ready().sh({command!r}, on_output=lambda b: print(b.decode(), flush=True))")
    assert victim.stdout is not None
    assert victim.stdout.readline() == "begun\n"
    until(lambda: bool(processes(f"sleep\0{mark}")))
    kill(victim)
    until(lambda: not processes(f"sleep\0{mark}"))


@pytest.mark.slow
def test_nothing_outlives_it_whenever_it_is_killed(site: BubblewrapHarness, tmp_path: Path, mark: str) -> None:
    """Sandboxes come and go all the time, so that it is killed at every moment of a sandbox's life."""
    body = f"""
        def work():
            worker = site.ready()
            print("begun", flush=True)
            while True:
                worker.sh("setsid sleep {mark} & sleep {mark} & true")
        for _ in range(3):
            threading.Thread(target=work).start()
        """
    for _ in range(12):
        victim = start(site, tmp_path, body)
        assert victim.stdout is not None
        assert victim.stdout.readline() == "begun\n"
        time.sleep(random.uniform(0.0, 0.3))
        kill(victim)
        until(lambda: not processes(f"sleep\0{mark}"))


@pytest.mark.slow
def test_what_it_left_is_removed_by_the_next_one(site: BubblewrapHarness, tmp_path: Path, mark: str) -> None:
    body = f"site.ready().sh('echo begun; touch file; sleep {mark}', on_output=lambda b: print(b.decode(), flush=True))"
    victim = start(site, tmp_path, body)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "begun\n"
    until(lambda: bool(processes(f"sleep\0{mark}")))
    kill(victim)
    assert list((site.base / "live").glob(f"{victim.pid}-*"))
    following = start(site, tmp_path, "site.ready().sh('true'); site.close()")
    assert following.wait(30) == 0
    assert following.stdout is not None
    following.stdout.close()
    assert not list(folders.base_of(site.state).path.glob(f"live/{victim.pid}-*"))
    home = cgroup.home()
    assert not [group for folder in (home.folders if home else ()) for group in folder.glob(f"byoci-*-{victim.pid}-*")]


def test_without_its_guard_nothing_goes_on(site: BubblewrapHarness, mark: str) -> None:
    """The guard is the parent of all sandboxes. Whatever kills it, they end, and the next worker has another one."""
    worker = site.ready()

    def kill_guard(_: bytes) -> None:
        os.kill(worker.worker._reach(worker.folder)[0]._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]

    with pytest.raises(UnavailableError, match="guard is gone"):
        worker.sh(f"echo begun; setsid sleep {mark} & sleep {mark}", on_output=kill_guard)
    until(lambda: not processes(f"sleep\0{mark}"))
    assert site.ready().sh("echo on").output == "on\n"


def test_groups_of_others_with_a_name_like_ours_stay() -> None:
    """As those of services that are called byoci-agent.service."""
    home = cgroup.home()
    if home is None:
        pytest.skip("only where control groups can be written")
    other = home.folders[0] / f"byoci-{os.getpid()}.service"
    other.mkdir()
    try:
        cgroup._reap(home)
        assert other.exists()
    finally:
        other.rmdir()
