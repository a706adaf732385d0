"""The local forge and the lease among real processes: at once, killed, and on a full disk."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from byoci.forge.local import LocalForge
from byoci.model import Location, Status

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.slow]

TRUNK = Location("/srv/hello", "main")
COMMON = """
import sys
from pathlib import Path
from byoci.errors import ByociError, LeaseHeldError, UnavailableError
from byoci.forge.local import LocalForge
from byoci.model import Location, Status, VoteValue
from byoci.store.leases import Leases
path, me = Path(sys.argv[1]), sys.argv[2]
TRUNK = Location("/srv/hello", "main")
def opened():
    return LocalForge(path, user="root", administrators=("root",), trusted={"hello": ("rita",)})
def told(text):
    print(text, flush=True)
told("ready")
sys.stdin.readline()
"""
EVERYTHING = """
with opened() as forge:
    for number in range(10):
        made = forge.create("hello", Location(f"/home/{me}", str(number)), TRUNK, f"{me} {number}", acting_for=me)
        first = forge.proposal("1")
        forge.review("1", VoteValue.APPROVE, revision="r1", acting_for=me)
        forge.comment(first, f"key {number}", f"said by {me}")
        forge.request_review(made.id, "rita", acting_for=me)
        told(made.id)
"""
APPROVE = """
with opened() as forge:
    told(forge.change_status("1", Status.APPROVED, revision="r1", acting_for="rita").approved_at)
"""
MERGE = """
with opened() as forge:
    forge.mark_merged(forge.proposal("1"), f"merged-by-{me}")
    told(forge.proposal("1").merged_revision)
"""
FOREVER = """
with opened() as forge:
    number = 0
    while True:
        source = Location(f"/home/{me}", str(number))
        told(forge.create("hello", source, TRUNK, f"{me} {number}", description="x" * 5000).id)
        number += 1
"""
UNTIL_FULL = """
with opened() as forge:
    number = 0
    while True:
        try:
            made = forge.create("hello", Location(f"/home/{me}", str(number)), TRUNK, "Big", description="x" * 50000)
        except UnavailableError as error:
            told(f"error: {error}")
            break
        told(made.id)
        number += 1
    told("readable: " + str(len(forge.list_proposals())))
"""
HOLD = """
marker, taken, refused = path / "marker", 0, 0
leases = Leases(path / "leases")
while taken < 25:
    try:
        with leases.hold("https://example.com/hello;main"):
            marker.touch(exist_ok=False)
            taken += 1
            marker.unlink()
    except LeaseHeldError:
        refused += 1
told(f"{taken} taken")
"""


class Crowd:
    """Processes that run one script, and start at the same moment."""

    def __init__(self, script: str, folder: Path, size: int, file_limit: int | None = None) -> None:
        def limit() -> None:
            if file_limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", COMMON + script, folder, f"p{number}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },  # byoci may be there without being installed
                preexec_fn=limit if file_limit is not None else None,  # noqa: PLW1509 - no threads here
            )
            for number in range(size)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def outputs(self) -> list[list[str]]:
        return [process.communicate(timeout=120)[0].splitlines() for process in self.processes]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def opened(path: Path) -> LocalForge:
    return LocalForge(path, user="root", administrators=("root",), trusted={"hello": ("rita",)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "forge.sqlite"


def run(script: str, path: Path, size: int) -> list[list[str]]:
    crowd = Crowd(script, path, size)
    try:
        crowd.go()
        outputs = crowd.outputs()
        assert [process.returncode for process in crowd.processes] == [0] * size
        return outputs
    finally:
        crowd.close()


def test_many_at_once_lose_nothing(path: Path) -> None:
    """Even the file is made by all of them at once."""
    outputs = run(EVERYTHING, path, 6)
    assert sorted(int(number) for output in outputs for number in output) == list(range(1, 61))
    with opened(path) as forge:
        assert len(forge.proposals(TRUNK)) == 60
        first = forge.proposal("1")
        assert {vote.voter for vote in forge.ballot_of(first).votes} == {f"p{number}" for number in range(6)}
        assert len(forge.comments("1")) == 10
        assert Counter(event.what for event in forge.events("1")) == {
            "created": 1,
            "voted": 60,
            "commented": 10,
            "review requested": 1,
        }


def test_a_new_forge_is_made_by_all_at_once(tmp_path: Path) -> None:
    for round_ in range(30):
        reading, writing = os.pipe()
        children = []
        for _ in range(8):
            children.append(os.fork())
            if children[-1] == 0:
                os.close(writing)
                os.read(reading, 1)  # until the parent lets all of them go
                status = 1
                try:
                    opened(tmp_path / str(round_) / "forge.sqlite").close()
                    status = 0
                finally:
                    os._exit(status)
        os.close(writing)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
        os.close(reading)


def test_one_approval_and_one_landing_however_many_tell(path: Path) -> None:
    with opened(path) as forge:
        forge.create("hello", Location("/home/ann", "b"), TRUNK, "Greet")
        outputs = run(APPROVE, path, 6)
        assert {output[0] for output in outputs} == {str(forge.proposal("1").approved_at)}
        assert len({output[0] for output in run(MERGE, path, 6)}) == 1
        assert forge.proposal("1").status is Status.MERGED
        assert [event.details["after"] for event in forge.events("1")[1:]] == ["Approved", "Merged"]


def test_what_was_told_is_there_after_kill_9(path: Path) -> None:
    told: list[str] = []
    for round_ in range(8):
        crowd = Crowd(FOREVER.replace("{me}", f"{{me}}-{round_}"), path, 2)
        crowd.go()
        time.sleep(0.1 + 0.05 * round_)
        for process in crowd.processes:
            process.send_signal(signal.SIGKILL)
        lines = [line for output in crowd.outputs() for line in output]
        told += lines
        crowd.close()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        with opened(path) as forge:
            there = {proposal.id for proposal in forge.list_proposals()}
            assert set(told) <= there
            assert len(there) <= len(told) + 2 * (round_ + 1)  # at most the one that each was at
            assert all(len(forge.events(id_)) == 1 for id_ in lines)
    assert len(told) > 20


def test_a_full_disk_is_told_and_nothing_is_half_done(path: Path) -> None:
    """The kernel refuses to let any file grow beyond 2 MB."""
    opened(path).close()
    crowd = Crowd(UNTIL_FULL, path, 1, file_limit=2_000_000)
    try:
        crowd.go()
        ((*made, readable),) = crowd.outputs()
    finally:
        crowd.close()
    error = next(index for index, line in enumerate(made) if line.startswith("error: "))
    assert "local forge database" in made[error]
    assert any("nothing was changed" in line for line in made[error:])
    assert readable == f"readable: {error}"
    with opened(path) as forge:  # the disk has room again
        assert [proposal.id for proposal in forge.list_proposals()] == made[:error]
        assert all(len(forge.events(id_)) == 1 for id_ in made[:error])
        assert forge.create("hello", Location("/home/ann", "b"), TRUNK, "Small").id == str(error + 1)


def test_one_lander_at_a_time(tmp_path: Path) -> None:
    assert run(HOLD, tmp_path, 4) == [["25 taken"]] * 4


def test_a_slow_writer_is_waited_for(path: Path) -> None:
    with opened(path) as forge:
        forge.create("hello", Location("/home/ann", "b"), TRUNK, "Greet")
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        crowd = Crowd("opened().add_comment('1', 'patient'); told('done')", path, 1)
        crowd.go()
        time.sleep(1)
        assert [comment.text for comment in forge.comments("1")] == []  # reading does not wait
        writer.execute("COMMIT")
        writer.close()
        assert crowd.outputs() == [["done"]]
        crowd.close()
        assert [comment.text for comment in forge.comments("1")] == ["patient"]
