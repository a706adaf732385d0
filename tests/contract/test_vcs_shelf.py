"""The contract of every place beside a trunk where certificates are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnreachableError
from byoci.model import Location
from byoci.wiring import shelf_of
from contract.vcs_playground import File
from contract.vcs_suite import TEXT, land

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.vcs.base import Vcs
    from byoci.vcs.shelf import Shelf
    from contract.vcs_playground import Playground

pytestmark = [pytest.mark.agent, pytest.mark.slow]

CONTENT = b'{"a":"statement"}\n-----BEGIN SSH SIGNATURE-----\n  spaces and\n\n\nempty lines stay \n\n'


def new_shelf(play: Playground, private: Path) -> Shelf:
    kind = "git" if type(play).__name__.startswith("Git") else "bzr"
    return shelf_of(kind, private, None, local=True, committer=("Landing Bot", "bot@example.com"))


@pytest.fixture
def shelf(play: Playground, vcs: Vcs, tmp_path: Path) -> Shelf:
    return new_shelf(play, tmp_path / "private")


@pytest.fixture
def trunk(play: Playground) -> Location:
    return play.trunk(TEXT)


def landed(play: Playground, vcs: Vcs, trunk: Location, name: str) -> str:
    source = play.branch(trunk)
    return land(vcs, trunk, source, play.commit(source, {name: File(b"x\n")})).id


def test_a_trunk_without_any_has_none(vcs: Vcs, shelf: Shelf, trunk: Location) -> None:
    vcs.fetch(trunk, trusted=True)
    assert list(shelf.all(trunk)) == []


def test_what_is_put_is_there_byte_for_byte(
    play: Playground, vcs: Vcs, shelf: Shelf, trunk: Location, tmp_path: Path
) -> None:
    revision = landed(play, vcs, trunk, "b")
    shelf.put(trunk, revision, CONTENT)
    shelf.put(trunk, revision, CONTENT)
    assert list(shelf.all(trunk)) == [(revision, CONTENT)]
    other = play.vcs(tmp_path / "other")
    other.fetch(trunk, trusted=True)
    assert list(new_shelf(play, tmp_path / "other").all(trunk)) == [(revision, CONTENT)]
    assert play.tip(trunk) == revision, "trunk itself stays as it is"


def test_another_content_takes_its_place(play: Playground, vcs: Vcs, shelf: Shelf, trunk: Location) -> None:
    revision = landed(play, vcs, trunk, "b")
    shelf.put(trunk, revision, b"before")
    shelf.put(trunk, revision, CONTENT)
    assert list(shelf.all(trunk)) == [(revision, CONTENT)]


def test_what_several_landers_put_stays(
    play: Playground, vcs: Vcs, shelf: Shelf, trunk: Location, tmp_path: Path
) -> None:
    first = landed(play, vcs, trunk, "b")
    shelf.put(trunk, first, b"first")
    other = play.vcs(tmp_path / "other")
    other.fetch(trunk, trusted=True)
    second = landed(play, other, trunk, "c")
    new_shelf(play, tmp_path / "other").put(trunk, second, b"second")
    third = landed(play, vcs, trunk, "d")
    shelf.put(trunk, third, b"third")
    assert dict(shelf.all(trunk)) == {first: b"first", second: b"second", third: b"third"}


def test_a_trunk_that_is_gone_is_told(play: Playground, vcs: Vcs, shelf: Shelf, trunk: Location) -> None:
    revision = landed(play, vcs, trunk, "b")
    with pytest.raises(UnreachableError):
        shelf.put(Location(f"{trunk.url}/nowhere/at/all"), revision, CONTENT)
