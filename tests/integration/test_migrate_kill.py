"""A migration that is killed anywhere has lost nothing, and the next one finishes it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from byoci.config import writing
from byoci.config.migrate import carrying
from older_team import FILES, planned, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.host
WATCHED = {str(Path(module.__file__).resolve()) for module in (carrying, writing)}
KEY = "-----BEGIN KEY-----\nkey\n"
VALUES = """\
testing.host.secrets = {secrets}
testing.monitor.token = 11aabb22cc
[anvil]
project.secrets = pypi-token:.pypi
apt.proxy = http://ann:hunter22@proxy/
"""
SECRETS = {
    "slaves/ssh/keys/jenkins@smithy-slave-testing": KEY,
    "launchpad/production": "oauth\n",
    "pypi-token": "pypi\n",
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for the site; in memory where there is such a place, for a kill does not care and disks are slow."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder) / "site"


def make(folder: Path) -> Path:
    write(folder / "secrets", SECRETS)
    return write(folder / "ci", {**FILES, "byov.conf.d/zz.conf": VALUES.format(secrets=folder / "secrets")})


def migrate(folder: Path) -> None:
    found = planned(folder / "ci", folder / "secrets")
    carrying.carry_out(found, force=False, keep=False)


def files(folder: Path) -> dict[str, bytes]:
    """All files but those that a killed writer had not put in place yet."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def killed_at(count: int) -> Callable[..., Any]:
    """A trace function that kills the process before the line of that number, of the watched modules' lines."""
    seen = 0

    def trace(frame: Any, event: str, _argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    return trace


def run(folder: Path, count: int) -> bool:
    """Carry the migration out in a process that is killed at line `count`; whether it came to its end before."""
    found = planned(folder / "ci", folder / "secrets")
    child = os.fork()
    if child == 0:
        sys.settrace(killed_at(count))
        status = 1
        try:
            carrying.carry_out(found, force=False, keep=False)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code == 0


def nothing_lost(folder: Path, toml: bytes) -> None:
    """Every secret is whole in one place at least; its older place is empty only when all else is done."""
    now = files(folder)
    secrets = {name: raw for name, raw in now.items() if "/.byoci/" in f"/{name}"}
    for name, content in SECRETS.items():
        old = now.get(f"secrets/{name}")
        assert old in (None, content.encode())
        assert content.encode() in secrets.values() or old is not None
    conf = now["ci/byov.conf.d/zz.conf"]
    assert b"11aabb22cc" in conf or b"11aabb22cc\n" in secrets.values()
    assert b"hunter22" in conf or b"http://ann:hunter22@proxy/\n" in secrets.values()
    assert now.get("ci/byoci.toml") in (None, toml)
    if "ci/byoci.toml" not in now:
        assert len([name for name in now if name.startswith("secrets/")]) == len(SECRETS)
        assert b"hunter22" in conf
        assert b"11aabb22cc" in conf
    assert not [raw for raw in secrets.values() if raw in (b"", KEY[:-1].encode())]


def kill_everywhere(place: Path, step: int) -> int:
    """Kill at every line in steps; all runs are in one place, since what they write names it."""
    make(place)
    migrate(place)
    finished = files(place)
    count = 1
    while True:
        shutil.rmtree(place)
        make(place)
        ended = run(place, count)
        nothing_lost(place, finished["ci/byoci.toml"])
        migrate(place)
        assert files(place) == finished
        if ended:
            return count
        count += step


@pytest.mark.slow
def test_killed_at_some_lines(place: Path) -> None:
    assert kill_everywhere(place, 47) > 200


@pytest.mark.slow
def test_killed_at_every_third_line(place: Path) -> None:
    assert kill_everywhere(place, 3) > 200


def test_a_draft_that_a_kill_left_is_no_part_of_the_configuration(place: Path) -> None:
    folder = make(place)
    write(folder, {"byov.conf.d/.zz.conf.x8dk2": "broken", "byov.conf.d/.byoci.toml.abc": "broken"})
    migrate(place)
    assert (folder / "byoci.toml").exists()
