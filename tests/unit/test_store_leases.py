"""The landing lease: one holder a trunk, and it dies with its holder."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from byoci.errors import LeaseHeldError, UnavailableError
from byoci.model import Lease
from byoci.store.leases import Leases

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.agent

TRUNK = "https://example.com/hello;main"


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path / "leases")


def free(leases: Leases, trunk: str = TRUNK) -> bool:
    try:
        with leases.hold(trunk):
            return True
    except LeaseHeldError:
        return False


def test_one_holder_at_a_time(leases: Leases) -> None:
    with leases.hold(TRUNK) as lease:
        assert lease == Lease(TRUNK, lease.holder)
        with pytest.raises(LeaseHeldError) as caught, leases.hold(TRUNK):
            pass
        assert f"process {os.getpid()} on " in caught.value.details
        assert lease.holder in caught.value.details
        assert free(leases, "https://example.com/other;main")
    assert free(leases)


def test_it_is_given_back_when_the_landing_fails(leases: Leases) -> None:
    with pytest.raises(ZeroDivisionError), leases.hold(TRUNK):
        1 / 0  # noqa: B018
    assert free(leases)


def test_one_holder_among_threads(leases: Leases) -> None:
    outcomes = []
    with leases.hold(TRUNK):
        thread = threading.Thread(target=lambda: outcomes.append(free(leases)))
        thread.start()
        thread.join()
    assert outcomes == [False]


def test_it_dies_with_its_holder(leases: Leases) -> None:
    reading, writing = os.pipe()
    holder = os.fork()
    if holder == 0:
        with leases.hold(TRUNK):
            os.write(writing, b"held")
            time.sleep(60)
        os._exit(1)
    assert os.read(reading, 4) == b"held"
    with pytest.raises(LeaseHeldError, match=f"process {holder} on"), leases.hold(TRUNK):
        pass
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    assert free(leases)
    os.close(reading)
    os.close(writing)


def test_what_a_dead_holder_left_names_nobody_any_more(leases: Leases, tmp_path: Path) -> None:
    with leases.hold(TRUNK):
        pass
    (file,) = (tmp_path / "leases").iterdir()
    file.write_bytes(
        b'{"pid": 1, "host": "elsewhere", "since": "long ago", "trunk": "a much longer text than ours"}' * 9
    )
    with leases.hold(TRUNK), pytest.raises(LeaseHeldError, match=f"process {os.getpid()} on"), leases.hold(TRUNK):
        pass


@pytest.mark.parametrize("left", [b"", b"\xff\x00", b"[]", b"{}", b"null", b"9" * 10_000])
def test_a_holder_who_left_no_name(leases: Leases, tmp_path: Path, left: bytes) -> None:
    with leases.hold(TRUNK):
        (file,) = (tmp_path / "leases").iterdir()
        file.write_bytes(left)
        with pytest.raises(LeaseHeldError, match="another lander is at work on"), leases.hold(TRUNK):
            pass


def test_programs_that_the_holder_starts_do_not_keep_it(leases: Leases) -> None:
    with leases.hold(TRUNK):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert free(leases)
    finally:
        child.kill()
        child.wait()


def test_forked_children_do_not_keep_it(leases: Leases, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    awake, waking = os.pipe()
    with leases.hold(TRUNK):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.write(waking, b"+")
            os.read(reading, 1)  # until the parent ends
            os._exit(0)
        os.read(awake, 1)
        with pytest.raises(LeaseHeldError), leases.hold(TRUNK):
            pass  # the child closed its copy, and the parent still has the lease
    assert free(leases)
    for descriptor in (writing, reading, awake, waking):
        os.close(descriptor)
    assert os.waitpid(child, 0)[1] == 0


def test_spellings_of_one_path_are_one_trunk(leases: Leases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = tmp_path / "my trunk"
    trunk.mkdir()
    (tmp_path / "link").symlink_to(trunk)
    monkeypatch.chdir(tmp_path)
    with leases.hold(f"{trunk};main"):
        for spelling in ("my trunk", "./my trunk/", f"{tmp_path}/link", f"file://{tmp_path}/my%20trunk", f"{trunk}//"):
            assert not free(leases, f"{spelling};main"), spelling
        assert free(leases, f"{trunk};stable")


def test_the_files_are_private(leases: Leases, tmp_path: Path) -> None:
    with leases.hold(TRUNK):
        folder = tmp_path / "leases"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be taken") as caught, Leases(tmp_path / "file").hold(TRUNK):
        pass
    assert not isinstance(caught.value, LeaseHeldError)


def test_a_link_in_the_place_of_a_lease_is_not_followed(leases: Leases, tmp_path: Path) -> None:
    with leases.hold(TRUNK):
        pass
    (file,) = (tmp_path / "leases").iterdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises(UnavailableError, match="cannot be taken"), leases.hold(TRUNK):
        pass
    assert victim.read_text() == "precious"
