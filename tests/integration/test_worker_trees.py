"""Shared trees on disk: made, brought up to date and removed by several processes, some of which are killed."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from byoci.errors import RejectedError, UnavailableError
from byoci.model import Exported
from byoci.worker import sharing, tree, trees
from byoci.worker.base import Files
from byoci.worker.trees import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.worker

KEY = "0123456789abcdef"


class Revisions:
    """Files of numbered revisions, written as a version control system would; it counts."""

    def __init__(self) -> None:
        self.exported = 0
        self.updated = 0

    def files(self, number: int, during: Callable[[], None] = lambda: None) -> Files:
        """Those of revision `number`; `during` is called in the midst of writing them."""

        def export(folder: Path, at: int | None) -> Exported:
            self.exported += 1
            (folder / "same").write_text("same")
            return write(folder, at)

        def update(folder: Path, held: Exported) -> Exported:
            self.updated += 1
            return write(folder, held.at)

        def write(folder: Path, at: int | None) -> Exported:
            (folder / "one").write_text(f"{number}")
            during()
            (folder / "two").write_text(f"{number}")
            return Exported(f"{number}", 4, 6, at)

        return Files("hello", f"{number}", export, update)


@pytest.fixture
def revisions() -> Revisions:
    return Revisions()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "trees", None, tree.remove)


def read(store: Store, files: Files, key: str = KEY) -> list[str]:
    shared = store.get(key, files)
    assert shared is not None
    try:
        return [(shared.files / name).read_text() for name in ("same", "one", "two")]
    finally:
        shared.close()


def test_it_is_made_once_and_then_brought_up_to_date(store: Store, revisions: Revisions) -> None:
    assert read(store, revisions.files(1)) == ["same", "1", "1"]
    assert read(store, revisions.files(2)) == ["same", "2", "2"]
    assert read(store, revisions.files(2)) == ["same", "2", "2"]
    assert (revisions.exported, revisions.updated) == (1, 1)
    assert read(store, revisions.files(1), "another") == ["same", "1", "1"]
    assert revisions.exported == 2


def test_who_cannot_have_it_alone_does_not_get_it(store: Store, revisions: Revisions) -> None:
    used = store.get(KEY, revisions.files(1))
    assert used is not None
    assert store.get(KEY, revisions.files(1)) is None
    child = os.fork()
    if not child:
        os._exit(0 if Store(used.path.parent, None, tree.remove).get(KEY, revisions.files(2)) is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (used.files / "one").read_text() == "1"
    used.close()
    assert read(store, revisions.files(2)) == ["same", "2", "2"]


@pytest.mark.parametrize("first", [False, True])
def test_one_who_is_killed_in_the_midst_leaves_nothing_that_counts(
    store: Store, revisions: Revisions, first: bool
) -> None:
    if not first:
        read(store, revisions.files(1))
    child = os.fork()
    if not child:
        store.get(KEY, revisions.files(2, during=lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    exported = revisions.exported
    for number in (1, 2, 3):
        assert read(store, revisions.files(number)) == ["same", f"{number}", f"{number}"]
    assert revisions.exported == exported + 1


@pytest.mark.parametrize(
    "error", [UnavailableError("the disk is full"), OSError(28, "No space left"), RejectedError("x")]
)
def test_one_that_cannot_be_updated_is_made_anew(store: Store, revisions: Revisions, error: Exception) -> None:
    read(store, revisions.files(1))
    wrong = [error]

    def fail() -> None:
        if wrong:
            raise wrong.pop()

    assert read(store, revisions.files(2, fail)) == ["same", "2", "2"]
    assert revisions.exported == 2


def test_an_error_while_it_is_made_leaves_nothing_that_counts(store: Store, revisions: Revisions) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    for number in (1, 2):  # the first time there is none, the second time there is
        with pytest.raises(KeyboardInterrupt):
            store.get(KEY, revisions.files(number, fail))
        assert read(store, revisions.files(number)) == ["same", f"{number}", f"{number}"]
    assert (revisions.exported, revisions.updated) == (3, 1)


def test_after_a_start_of_the_machine_it_does_not_count(
    store: Store, revisions: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not yet on the disk when the machine went down is lost, and nobody can tell what that was."""
    read(store, revisions.files(1))
    (tmp_path / "boot").write_text("another\n")
    monkeypatch.setattr(trees, "_BOOT", tmp_path / "boot")
    (tmp_path / "trees" / KEY / "files" / "same").write_bytes(b"")
    assert read(store, revisions.files(1)) == ["same", "1", "1"]
    assert revisions.exported == 2
    monkeypatch.setattr(trees, "_BOOT", tmp_path / "absent")
    assert store.get(KEY, revisions.files(1)) is None


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b"{", b'{"of": 1, "holds": {}}', b"\xff", b'{"holds": 1}'])
def test_a_note_that_says_nothing_does_not_count(
    store: Store, revisions: Revisions, tmp_path: Path, note: bytes
) -> None:
    read(store, revisions.files(1))
    (tmp_path / "trees" / KEY / "held").write_bytes(note)
    assert read(store, revisions.files(2)) == ["same", "2", "2"]
    assert (revisions.exported, revisions.updated) == (2, 0)


def test_a_copy_does_not_count(store: Store, revisions: Revisions, tmp_path: Path) -> None:
    """It may have been copied while it changed."""
    read(store, revisions.files(1))
    there = tmp_path / "trees" / KEY
    there.rename(tmp_path / "was")
    (there / "files").mkdir(parents=True)
    (there / "held").write_bytes((tmp_path / "was/held").read_bytes())
    assert read(store, revisions.files(1)) == ["same", "1", "1"]


def test_those_that_nobody_uses_are_removed(
    store: Store, revisions: Revisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "trees"

    def there() -> set[str]:
        return {path.name for path in place.iterdir() if path.is_dir()}

    monkeypatch.setattr(sharing, "AGE_SECONDS", 1e10)
    for number, key in enumerate(("half", "oldest", "old", "older")):
        read(store, revisions.files(1), key)
        os.utime(place / key, (1e9 + number, 1e9 + number))
    (place / "half/held").unlink()
    used = store.get("used", revisions.files(1))
    assert there() == {"oldest", "old", "older", "used"}
    monkeypatch.setattr(sharing, "TOTAL_BYTES", 3 * 6)
    read(store, revisions.files(1), "first")
    assert there() == {"older", "used", "first"}
    monkeypatch.setattr(sharing, "AGE_SECONDS", -1.0)
    read(store, revisions.files(1), "second")
    assert there() == {"used", "second"}
    assert {path.name for path in place.iterdir()} == {"used", "used.lock", "second", "second.lock"}
    assert used is not None
    used.close()


@pytest.mark.slow
def test_many_who_want_it_at_once(store: Store, revisions: Revisions) -> None:
    """Each has its own revision or none at all, and while it has it, nobody changes it."""
    children = []
    for number in range(5):
        child = os.fork()
        if not child:
            status, got = 1, 0
            try:
                while got < 30:
                    shared = store.get(KEY, revisions.files(number))
                    if shared is not None:
                        got += 1
                        texts = {(shared.files / name).read_text() for name in ("one", "two")}
                        assert texts == {f"{number}"}
                        assert json.loads((shared.path / "held").read_bytes())["holds"]["revision"] == f"{number}"
                        shared.close()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
