"""Adding projects by many at once, by somebody who is killed, on a full disk: the file is whole, nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from byoci import proc
from byoci.config.loading import load

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"HOME": "/nowhere"}
ENVIRONMENT = proc.base_environment() | {"PYTHONPATH": ":".join(sys.path)}
ADDER = """
import sys
from pathlib import Path
from byoci.config.detect import Detected
from byoci.config.writing import add_project, render_project
from byoci.model import Location
path, prefix, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    name = f"{prefix}{number}"
    text = render_project(Detected("git", Location(f"/srv/{name}", "main"), name, None), test="make check")
    add_project(path, text, namespace="testing", environ={"HOME": "/nowhere"})
    print(name, flush=True)
"""


def adder(path: Path, prefix: str, count: int) -> subprocess.Popen[bytes]:
    return proc.start((sys.executable, "-c", ADDER, str(path), prefix, str(count)), env=ENVIRONMENT)


@pytest.mark.slow
def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new/byoci.toml"
    running = [adder(path, prefix, 6) for prefix in ("a", "b", "c")]
    for process in running:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0, told.decode()
    assert set(load(path, environ=ENVIRON).projects) == {f"{prefix}{number}" for prefix in "abc" for number in range(6)}
    assert [entry.name for entry in path.parent.iterdir()] == ["byoci.toml"]


@pytest.mark.slow
def test_killed_at_any_moment_the_file_holds_all_that_was_added(tmp_path: Path) -> None:
    path = tmp_path / "byoci.toml"
    chance, added = random.Random(7), set[str]()
    for turn in range(8):
        process = adder(path, f"p{turn}-", 1000)
        assert process.stdout is not None
        added.add(process.stdout.readline().decode().strip())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        added |= set(rest.decode().split("\n")[:-1])
        found = set(load(path, environ=ENVIRON).projects)
        assert added <= found
        assert len(found - added) <= turn + 1  # each was killed at most between adding one and telling so
    assert len(added) > 8


@pytest.mark.slow
def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "byoci.toml"
    first = adder(path, "first", 1)
    first.communicate(timeout=30)
    before = path.read_bytes()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)}, {len(before)}))\n"
    quiet = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    argv = (sys.executable, "-c", limited + quiet + ADDER, str(path), "second", "1")
    ended = proc.run(argv, env=ENVIRONMENT, ok=None)
    assert ended.status == 1
    assert b"UnavailableError: the configuration cannot be written: File too large" in ended.stderr
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["byoci.toml"]
