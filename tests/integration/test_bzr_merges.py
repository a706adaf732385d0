"""Merges in memory compared with `brz merge` on random trees: the same tree and history, or a conflict in both."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from breezy import errors as bzr_errors
from breezy.controldir import ControlDir

from byoci import model
from byoci.errors import RejectedError
from byoci.model import AlreadyMerged, Candidate, Conflict, Lease, Location, MergedHow, MergeMeta
from byoci.vcs import bzr_open
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.bzr_tree import Entry, tree_digest
from byoci.vcs.urls import UrlPolicy
from contract import brz
from contract.bzr_trees import commit, two_branches

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]

REFERENCE = b"reference"


@pytest.fixture
def in_quiet(tmp_path: Path) -> Iterator[None]:
    """The reference works without anybody's configuration, too."""
    with bzr_open.quiet(tmp_path / "home", None):
        yield


def meta(revision: str) -> MergeMeta:
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    return MergeMeta("Bot", "bot@example.com", at, "hello", "7", model.landing_id("hello", "7", revision))


def ours(root: Path, trunk: Any, feature: Any) -> tuple[BzrVcs, Candidate | Conflict | AlreadyMerged]:
    vcs = BzrVcs(root / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")
    base = vcs.fetch(Location(trunk.basedir), trusted=True)
    revision = vcs.fetch(Location(feature.basedir))
    return vcs, vcs.merge(base, revision, "Merge", meta(revision))


def folder_digest(folder: Path) -> str:
    """The digest of a tree as it lies in a folder, computed from nothing but the files."""
    entries = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if name.split("/", maxsplit=1)[0] == ".bzr":
            continue
        if path.is_symlink():
            entries[name] = Entry("symlink", False, str(path.readlink()).encode())
        elif path.is_dir():
            entries[name] = Entry("directory", False, b"")
        else:
            content = hashlib.sha256(path.read_bytes()).digest()
            entries[name] = Entry("file", bool(path.stat().st_mode & 0o100), content)
    return tree_digest(entries)


def inventory(location: Path, revision: bytes) -> dict[str, tuple[Any, ...]]:
    """What a branch records of a revision: file ids, kinds, parents, contents, and the revision of the last change."""
    repository = bzr_open.borrow(ControlDir.open(str(location)).open_branch().repository)
    with repository.lock_read():
        tree = repository.revision_tree(revision)
        return {
            path: (
                entry.file_id, entry.kind, entry.parent_id, entry.text_sha1, entry.executable, entry.symlink_target,
                b"this one" if entry.revision == revision else entry.revision,
            )
            for path, entry in tree.iter_entries_by_dir()
        }  # fmt: skip


def compare(seed: int, root: Path) -> str:
    """Merge one random pair both ways; how it came out. Raises AssertionError where the two differ."""
    trees = two_branches(seed, root)
    if trees is None:
        return "not made"
    trunk, feature = trees
    base = trunk.last_revision()
    vcs, made = ours(root, trunk, feature)
    try:
        conflicts = trunk.merge_from_branch(feature.branch)
    except bzr_errors.BzrError:
        conflicts = None
    if conflicts is None:
        assert not isinstance(made, Candidate)
        return "refused"
    if conflicts:
        assert isinstance(made, Conflict), conflicts
        assert made.details
        return "conflict"
    if folder_digest(root / "trunk") == digest_of_export(vcs, base, root / "base"):
        assert isinstance(made, AlreadyMerged)
        assert made.how is MergedHow.NO_CHANGES
        return "nothing"
    assert isinstance(made, Candidate), made
    assert made.tree == folder_digest(root / "trunk") == digest_of_export(vcs, made.id.encode(), root / "out")
    commit(trunk, "Merge", REFERENCE)
    publish_beside(root, trunk, base, vcs, made)
    assert inventory(root / "beside", made.id.encode()) == inventory(root / "trunk", REFERENCE)
    return "clean"


def digest_of_export(vcs: BzrVcs, revision: bytes, folder: Path) -> str:
    vcs.export(revision.decode(), folder)
    return folder_digest(folder)


def publish_beside(root: Path, trunk: Any, base: bytes, vcs: BzrVcs, made: Candidate) -> None:
    """Publish to a second copy of trunk, which the reference did not touch."""
    with trunk.lock_read():
        trunk.branch.controldir.sprout(str(root / "beside"), revision_id=base)
    beside = Location(str(root / "beside"))
    vcs.publish(made, beside, base.decode(), Lease(str(beside), "test"))


@pytest.mark.parametrize("seed", range(12))
def test_a_merge_is_what_brz_makes_of_it(seed: int, tmp_path: Path, in_quiet: None) -> None:
    compare(seed, tmp_path)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder where to wait for a disk takes no time."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="byoci-merges-", dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize("first", range(1000, 1200, 40))
def test_hundreds_of_merges_are_what_brz_makes_of_them(first: int, in_memory: Path, in_quiet: None) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + 40):
        (root := in_memory / str(seed)).mkdir()
        outcomes[compare(seed, root)] += 1
        bzr_open.give_back()
    assert outcomes["clean"] > 12, outcomes
    assert outcomes["conflict"] > 4, outcomes


@pytest.mark.parametrize("seed", range(2000, 2012))
def test_the_real_program_agrees(seed: int, tmp_path: Path) -> None:
    with bzr_open.quiet(tmp_path / "home", None):
        trees = two_branches(seed, tmp_path)
    if trees is None:
        pytest.skip("this seed's criss-cross conflicts already")
    trunk, feature = trees
    _, made = ours(tmp_path, trunk, feature)
    # brz tells conflicts by its exit status 1, as it does a merge of what is merged already by 0 and no change.
    brz.run(tmp_path / "trunk", "merge", "-q", str(tmp_path / "feature"), ok=(0, 1), home=tmp_path / "home")
    conflicts = brz.run(tmp_path / "trunk", "conflicts", home=tmp_path / "home")
    assert bool(conflicts) == isinstance(made, Conflict)
    if isinstance(made, Candidate):
        assert made.tree == folder_digest(tmp_path / "trunk")


def test_unrelated_histories_do_not_merge(tmp_path: Path, in_quiet: None) -> None:
    trees = []
    for name in ("one", "other"):
        tree = ControlDir.create_standalone_workingtree(str(tmp_path / name))
        (tmp_path / name / "a").write_text(name)
        tree.add(["a"])
        commit(tree)
        trees.append(tree)
    with pytest.raises(RejectedError):
        ours(tmp_path, *trees)
