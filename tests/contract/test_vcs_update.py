"""The contract of every version control system: a folder that is brought to another revision is as if exported anew."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import ByociError, RejectedError, RevisionGoneError
from byoci.vcs import bzr_export, git_export
from contract.vcs_playground import Change, File, Gone, Link, Playground, Tree, read_folder
from contract.vcs_suite import TEXT, candidate, land

if TYPE_CHECKING:
    from byoci.vcs.base import Vcs

pytestmark = pytest.mark.agent

AT = 1_700_000_000_123_456_789
NAMES = ("a", "b", "c d", "ünï", "-e", "A")


def everything(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """All that `stat` and a reader can tell of a folder, itself included, but for what differs between any two."""
    found = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        for path in (parent, *(parent + b"/" + name for name in (*folders, *files))):
            facts = os.lstat(path)
            content = b""
            if stat.S_ISLNK(facts.st_mode):
                content = os.readlink(path)  # noqa: PTH115 - bytes
            elif stat.S_ISREG(facts.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123 - bytes
                    content = file.read()
            owner = (facts.st_uid, facts.st_gid, facts.st_mtime_ns)
            # How many names a folder has follows from what is in it, and on some disks is not counted.
            links = facts.st_nlink if not stat.S_ISDIR(facts.st_mode) else 0
            found[os.path.relpath(path, os.fsencode(folder))] = (facts.st_mode, links, content, *owner)
    return found


def same_as_exported(vcs: Vcs, tmp_path: Path, updated: object, folder: Path, revision: str) -> None:
    fresh = Path(tempfile.mkdtemp(dir=tmp_path))
    assert vcs.export(revision, fresh, AT) == updated
    fresh.chmod(stat.S_IMODE(folder.stat().st_mode))
    assert everything(folder) == everything(fresh)


def random_tree(dice: random.Random, depth: int = 0) -> Tree:
    """Files and links, few enough names that the next tree has most of them too, often as something else."""
    tree: Tree = {}
    for name in dice.sample(NAMES, dice.randint(1, 5)):
        kind = dice.random()
        if kind < 0.3 and depth < 4:
            tree |= {f"{name}/{below}": what for below, what in random_tree(dice, depth + 1).items()}
        elif kind < 0.45:
            tree[name] = Link(dice.choice(("a", "../b", "/etc", "nowhere")))
        else:
            tree[name] = File(dice.choice((b"", b"one\n", b"two\n")), dice.random() < 0.3)
    return tree


def changes(old: Tree, new: Tree) -> dict[str, Change]:
    gone: dict[str, Change] = {path: Gone() for path in old if path not in new}
    return gone | {path: what for path, what in new.items() if old.get(path) != what}


@pytest.mark.slow
def test_whatever_changes(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    dice = random.Random(f"{play.name} trees")
    trees = [random_tree(dice) for _ in range(10)]
    # A folder becomes a link to a folder, and a file; what was a link becomes a folder that has what that had.
    trees += [
        {"d/x": File(b"x"), "e/x": File(b"x"), "f": File(b"f")},
        {"d": Link("e"), "e/x": File(b"x"), "f/x": File(b"f")},
        {"d/x": File(b"x", executable=True), "e": File(b""), "f": Link("d")},
        {"d/x": File(b"x"), "f": Link("d/x")},
    ]
    trunk = play.trunk(trees[0])
    folder = tmp_path / "tree"
    held = vcs.export(vcs.fetch(trunk, trusted=True), folder, AT)
    for old, new in itertools.pairwise(trees):
        play.commit(trunk, changes(old, new))
        tip = vcs.fetch(trunk, trusted=True)
        held = vcs.update(folder, held, tip)
        assert read_folder(folder, without=()) == new
        same_as_exported(vcs, tmp_path, held, folder, tip)


def test_what_did_not_change_is_not_touched(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    """The file that changed is another one, so whoever has the old one open, or another name of it, keeps that."""
    trunk = play.trunk({"d/same": File(b"same"), "d/other": File(b"1"), "e/same": File(b"same")})
    folder = tmp_path / "tree"
    held = vcs.export(vcs.fetch(trunk, trusted=True), folder, AT)
    before = {path: path.stat() for path in folder.rglob("same")}
    os.link(folder / "d/other", tmp_path / "kept")
    play.commit(trunk, {"d/other": File(b"2")})
    vcs.update(folder, held, vcs.fetch(trunk, trusted=True))
    assert {path: path.stat().st_ctime_ns for path in before} == {path: f.st_ctime_ns for path, f in before.items()}
    assert (tmp_path / "kept").read_bytes() == b"1"
    assert (folder / "d/other").read_bytes() == b"2"


@pytest.mark.slow
def test_from_one_candidate_to_the_next(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    sources = [play.branch(trunk) for _ in range(2)]
    revisions = [play.commit(source, {f"new-{n}": File(b"n\n")}) for n, source in enumerate(sources)]
    first = land(vcs, trunk, sources[0], revisions[0])
    folder = tmp_path / "tree"
    second = candidate(vcs, trunk, sources[1], revisions[1])
    held = vcs.export(first.id, folder, AT)
    assert vcs.update(folder, held, second.id).revision == second.id
    assert read_folder(folder, without=()) == {**TEXT, "new-0": File(b"n\n"), "new-1": File(b"n\n")}


def test_a_revision_that_is_gone_is_told(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    tip = vcs.fetch(play.trunk(TEXT), trusted=True)
    held = vcs.export(tip, tmp_path / "tree", AT)
    with pytest.raises(RevisionGoneError):
        vcs.update(tmp_path / "tree", dataclasses.replace(held, revision="f" * 40), tip)
    with pytest.raises(RevisionGoneError):
        vcs.update(tmp_path / "tree", held, "f" * 40)


def test_what_is_not_as_it_was_left_is_an_error(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    """Somebody was there. Nothing is written through what he made, and whoever asked has to start anew."""
    trunk = play.trunk({"d/x": File(b"1"), "y": File(b"1")})
    held = vcs.export(vcs.fetch(trunk, trusted=True), tmp_path / "tree", AT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "tree/d/x").rename(outside / "x")
    (tmp_path / "tree/d").rmdir()
    (tmp_path / "tree/d").symlink_to(outside)
    play.commit(trunk, {"d/x": File(b"2"), "d/y": File(b"2"), "y": File(b"2")})
    with pytest.raises(ByociError):
        vcs.update(tmp_path / "tree", held, vcs.fetch(trunk, trusted=True))
    assert read_folder(outside) == {"x": File(b"1")}


def test_all_of_it_together_is_bounded(
    play: Playground, vcs: Vcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an export would refuse as too large is refused too where only a little of it is new."""
    trunk = play.trunk({"a": File(b"x" * 600), "b": File(b"x" * 300)})
    held = vcs.export(vcs.fetch(trunk, trusted=True), tmp_path / "tree", AT)
    monkeypatch.setattr(git_export, "EXPORT_BYTES", 1000)
    monkeypatch.setattr(bzr_export, "EXPORT_LIMIT", 1000)
    play.commit(trunk, {"a": File(b"y" * 650)})
    held = vcs.update(tmp_path / "tree", held, vcs.fetch(trunk, trusted=True))
    assert held.size == 950
    play.commit(trunk, {"c": File(b"y" * 100)})
    with pytest.raises(RejectedError, match="too large"):
        vcs.update(tmp_path / "tree", held, vcs.fetch(trunk, trusted=True))
