"""Who only reads the local forge cannot write to it, and needs no file that is there already."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from byoci.errors import UnavailableError, UsageError
from byoci.forge.local import LocalForge
from byoci.forge.local_reading import LocalReader
from byoci.model import Location, Status, VoteValue

pytestmark = pytest.mark.agent

TRUNK = Location("/srv/hello", "main")
WHO = {"teams": {"core": ("rita",)}, "administrators": ("root",), "trusted": {"hello": ("core",)}}


def write(path: Path) -> None:
    with LocalForge(path, user="root", **WHO) as forge:  # type: ignore[arg-type]
        made = forge.create("hello", Location("/srv/bob", "x"), TRUNK, "Do it", acting_for="bob")
        forge.review(made.id, VoteValue.APPROVE, revision="abc", acting_for="rita")
        forge.change_status(made.id, Status.APPROVED, revision="abc", acting_for="rita")


def test_a_reader_sees_what_the_forge_has(tmp_path: Path) -> None:
    path = tmp_path / "forge.sqlite"
    reader = LocalReader(path, **WHO)  # type: ignore[arg-type]
    assert list(reader.proposals(TRUNK)) == []
    with pytest.raises(UnavailableError):
        reader.proposal("1")
    assert not path.exists()
    write(path)
    with LocalForge(path, user="root", **WHO) as forge:  # type: ignore[arg-type]
        (found,) = reader.proposals(TRUNK)
        assert found == forge.proposal("1")
        assert reader.ballot_of(found) == forge.ballot_of(found)
        forge.mark_merged(found, "def")
    assert reader.proposal("1").status is Status.MERGED
    with pytest.raises(UsageError, match="no proposal"):
        reader.proposal("2")


def test_its_file_is_open_for_reading_only(tmp_path: Path) -> None:
    path = tmp_path / "forge.sqlite"
    write(path)
    for leftover in tmp_path.glob("forge.sqlite-*"):
        leftover.unlink()
    before = path.read_bytes()
    reader = LocalReader(path, **WHO)  # type: ignore[arg-type]
    reader.proposal("1")
    modes = [fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE for number in opened(path)]
    assert modes == [os.O_RDONLY]
    database, _, _ = reader._parts()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("UPDATE proposal SET status = 'Merged'")
    database.close()
    assert path.read_bytes() == before


def opened(path: Path) -> list[int]:
    """This process' descriptors of a file."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            if link.readlink() == path:
                found.append(int(link.name))
    return found


def test_a_file_that_is_no_forge_yet_is_told(tmp_path: Path) -> None:
    path = tmp_path / "forge.sqlite"
    path.touch()
    with pytest.raises(UnavailableError, match="just being made"):
        LocalReader(path, **WHO).proposals(TRUNK)  # type: ignore[arg-type]
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UnavailableError, match="does not work"):
        LocalReader(path, **WHO).proposals(TRUNK)  # type: ignore[arg-type]
