"""What git and bzr print of changes, and what somebody could make of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.changes import Change, load_changes, read_changes, save_changes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.controller

ONE, TWO = "a" * 40, "b" * 40
GIT = (
    f"\x01{ONE}\x02Ann\x02ann@example.com\x021700000000\x02first line\n\nmore\n\x02\0\nM\0src/x\0A\0y z\0"
    f"\x01{TWO}\x02Bob <b>\x02\x02nonsense\x02msg\x02"
)
BZR = """------------------------------------------------------------
revno: 3 [merge]
revision-id: c@example.com-3
parent: c@example.com-2
committer: Cat <c@example.com>
branch nick: trunk
timestamp: Fri 2026-05-01 12:00:00 +0000
message:
  Merge it
  and more
modified:
  src/x                          x-20260501-1
added:
  y z                            yz-20260501-2
    ------------------------------------------------------------
    revno: 1.1.1
    revision-id: d@example.com-1
    message:
      inner
------------------------------------------------------------
revno: 2
revision-id: c@example.com-2
author: Dan
timestamp: nonsense
message:
  before
"""


def test_changes_of_git() -> None:
    first, second = read_changes(GIT, "")
    paths = (("edit", "src/x"), ("add", "y z"))
    assert first == Change(ONE, "Ann", "ann@example.com", 1_700_000_000.0, "first line\n\nmore", paths)
    assert second == Change(TWO, "Bob <b>", "", 0.0, "msg")
    assert read_changes(GIT, ONE) == [second]


def test_changes_of_bzr() -> None:
    (change,) = read_changes(BZR, "c@example.com-2")
    assert (change.id, change.author, change.email) == ("c@example.com-3", "Cat", "c@example.com")
    assert change.message.startswith("Merge it\nand more")
    assert change.seconds == 1_777_636_800.0
    assert change.paths[:2] == (("edit", "src/x"), ("add", "y z"))
    assert read_changes(BZR, "")[1].author == "Dan"


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load_changes(tmp_path / "changes.json") == []
    save_changes(tmp_path / "changes.json", read_changes(GIT, ""))
    assert [change.id for change in load_changes(tmp_path / "changes.json")] == [ONE, TWO]


@given(st.text(alphabet="\x01\x02\0\na0-:<>@ M", max_size=200), st.sampled_from(["", "\x01", f"\x01{ONE}", BZR[:90]]))
def test_any_output_is_read(text: str, start: str) -> None:
    for change in read_changes(start + text, ""):
        assert change.seconds >= 0
