"""Control groups are used for one worker after the other, and none feels what an earlier one did."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.worker import cgroup
from byoci.worker.base import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.worker, pytest.mark.slow]


@pytest.fixture
def home() -> Iterator[cgroup.Home]:
    found = cgroup.home()
    if found is None:
        pytest.skip("only where control groups can be written")
    cgroup._kept.close()
    yield found
    cgroup._kept.close()


def started(group: cgroup.Group, code: str) -> subprocess.Popen[bytes]:
    """A Python program in a group; it has told that it is there."""
    joining = [f"open({str(door)!r}, 'w').write('0')" for door in opened(group)]
    program = "; ".join([*joining, "print(flush=True)", code])
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def opened(group: cgroup.Group) -> list[Path]:
    return [Path(folder, "cgroup.procs") for folder in group._folders]


def test_the_next_worker_with_the_same_limits_gets_the_same_group(home: cgroup.Home) -> None:
    with cgroup.lent(home, Limits()) as first:
        pass
    with cgroup.lent(home, Limits()) as second:
        assert second is first
        with cgroup.lent(home, Limits()) as third:
            assert third is not first
    with cgroup.lent(home, Limits(processes=5)) as other:
        assert other not in (first, third)
    folders = first._folders + third._folders + other._folders
    assert all(Path(folder).exists() for folder in folders)
    cgroup._kept.close()
    assert not any(Path(folder).exists() for folder in folders)


def test_a_group_in_which_something_still_runs_is_not_used_again(home: cgroup.Home) -> None:
    with cgroup.lent(home, Limits()) as first:
        left = started(first, "import time; time.sleep(100)")
        reaper = threading.Thread(target=left.wait)
        reaper.start()
    reaper.join()
    assert left.returncode == -9
    with cgroup.lent(home, Limits()) as second:
        assert second is not first
    left.stdout.close()  # type: ignore[union-attr]


def test_a_group_that_ran_out_of_memory_is_not_used_again(home: cgroup.Home) -> None:
    limits = Limits(memory=32 << 20)
    with cgroup.lent(home, limits) as first:
        greedy = started(first, "b'1' * (64 << 20)")
        assert greedy.wait() == -9
        assert first.ran_out_of_memory()
    greedy.stdout.close()  # type: ignore[union-attr]
    with cgroup.lent(home, limits) as second:
        assert second is not first
        assert not second.ran_out_of_memory()


def test_a_group_that_holds_much_is_not_used_again(home: cgroup.Home, tmp_path: Path) -> None:
    """As the disk cache of what a worker wrote, which is charged to its group."""
    with cgroup.lent(home, Limits()) as first:
        writer = started(first, f"open({str(tmp_path / 'much')!r}, 'wb').write(b'1' * (100 << 20))")
        assert writer.wait() == 0
    writer.stdout.close()  # type: ignore[union-attr]
    with cgroup.lent(home, Limits()) as second:
        assert second is not first


def test_a_child_of_byoci_leaves_its_parents_groups_alone() -> None:
    program = """
import os
from byoci.worker import cgroup
from byoci.worker.base import Limits
home = cgroup.home()
if home is None:
    raise SystemExit("no groups here")
with cgroup.lent(home, Limits()) as first:
    pass
pid = os.fork()
with cgroup.lent(home, Limits()) as second:
    assert (second is first) == (pid != 0)
if pid:
    assert os.waitpid(pid, 0)[1] == 0
assert all(map(os.path.exists, first._folders))
if pid:
    import atexit  # what is registered last is called first, while the groups are there
    atexit.register(lambda: print(*filter(os.path.exists, first._folders), "left"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.stderr.strip() == "no groups here":
        pytest.skip("only where control groups can be written")
    assert done.returncode == 0, done.stderr
    *left, _ = done.stdout.split()
    assert left
    assert not any(Path(folder).exists() for folder in left)
