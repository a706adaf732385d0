"""The files of a trunk that a person has checked out on this machine: they follow trunk, and are never overwritten."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breezy import errors as bzr_errors
from breezy.merge import merge_inner

from byoci import durable, effects
from byoci.errors import PublishRefusedError
from byoci.log import printable
from byoci.vcs.bzr_locks import break_dead
from byoci.vcs.bzr_open import borrow

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

_LOOK = effects.declare(
    "bzr.look", "a person's files are compared with trunk; bzr notes their times", done="Nothing depends on it."
)
_FILES = effects.declare(
    "bzr.files",
    "the files of a checked-out trunk follow it",
    half="They follow now, unless a person has touched them since.",
)


def tree_of(branch: Any, ours: frozenset[str] = frozenset()) -> Any:
    """The working tree that lies with a local branch; None where there is none.

    ours   nonces of dead runs' locks, one of which may be on it; it is broken
    """
    if not branch.user_transport.base.startswith("file:"):
        return None
    try:
        tree = branch.controldir.open_workingtree(recommend_upgrade=False)
    except (bzr_errors.NoWorkingTree, bzr_errors.NotLocalUrl):
        return None
    borrow(tree.branch.repository)
    if tree.branch.user_url != branch.user_url or tree.branch.name != branch.name:
        return None
    break_dead(tree, ours=ours)
    return tree


@_LOOK
def check_clean(tree: Any, candidate: Any) -> None:
    """Raise `PublishRefusedError` where bringing the tree to the revision tree `candidate` would touch a person's work.

    That is an uncommitted change, a pending merge, or a file that bzr does not know in the place of a new one.
    """
    if tree.has_changes():
        changed = [change.path[1] or change.path[0] for change in tree.iter_changes(tree.basis_tree())]
        raise _dirty(tree, changed or ["a merge that is not committed"])
    basis = tree.basis_tree()
    with candidate.lock_read(), basis.lock_read():
        changes = list(candidate.iter_changes(basis))
    new = [change.path[1] for change in changes if change.path[1] and change.path[0] != change.path[1]]
    in_the_way = [path for path in new if os.path.lexists(tree.abspath(path)) and not tree.is_versioned(path)]
    if in_the_way:
        raise _dirty(tree, in_the_way)


def _dirty(tree: Any, paths: Sequence[str]) -> PublishRefusedError:
    shown = [printable(path) for path in paths[:10]]
    return PublishRefusedError(
        f"the files in {printable(tree.basedir)} hold changes that are not committed",
        details="\n".join([*shown, *(["…"] if len(paths) > len(shown) else [])]),
        resolution=f"Commit, shelve or move away these changes in {printable(tree.basedir)}, then land again.",
    )


@_FILES
def catch_up(tree: Any) -> None:
    """Make the files those of the branch's tip, where a killed run of ours left them behind it, or half-way.

    What it was about to change was clean when it began. If all of that is as it was before or is to be, in any mixture,
    nobody has touched it since, and it is made whole; other changes of a person's stay. Otherwise all is left alone.
    """
    with tree.lock_write():
        for name in ("limbo", "pending-deletion"):  # of breezy's transforms: content that is in one of the revisions
            _remove(Path(tree.controldir.get_workingtree_transport(None).local_abspath(name)))
        tip, basis, new = tree.branch.last_revision(), tree.basis_tree(), tree.branch.basis_tree()
        if tree.last_revision() == tip:
            return
        with basis.lock_read(), new.lock_read():
            paths = {path for change in new.iter_changes(basis) for path in change.path if path}
            touched = [path for path in paths if not _is_one_of(Path(tree.abspath(path)), path, basis, new)]
            if touched:
                where = printable(tree.basedir)
                _log.warning("%s is behind its branch: run brz update there (%s)", where, printable(min(touched)))
                return
            for path in sorted(paths, reverse=True):
                if not tree.is_versioned(path):
                    _remove(Path(tree.abspath(path)))
            tree.revert(sorted(paths), new, backups=False)
            _sync(tree, paths)
            tree.set_parent_trees([(tip, new)])


def _sync(tree: Any, paths: set[str | None]) -> None:
    """Have changed files on the disk, before it is forgotten that they were ours to change."""
    for place in (Path(tree.abspath(path)) for path in paths if path):
        if place.is_file() and not place.is_symlink():
            durable.sync(place)


def _is_one_of(place: Path, path: str, *trees: Any) -> bool:
    """Whether what is at a path is not there, a folder, or what one of the trees has there, or its beginning."""
    there = [tree for tree in trees if tree.is_versioned(path)]
    if place.is_symlink():
        return any(
            tree.kind(path) == "symlink" and str(place.readlink()) == tree.get_symlink_target(path) for tree in there
        )
    if place.is_dir():
        return any(tree.kind(path) == "directory" for tree in there)
    if place.is_file():
        content = place.read_bytes()
        # A part of it is there where the disk was full, or the power went.
        return any(tree.kind(path) == "file" and tree.get_file_text(path).startswith(content) for tree in there)
    return not place.exists()


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder of ours; a folder in which a person has something stays."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.name in ("limbo", "pending-deletion"):
        shutil.rmtree(path, ignore_errors=True)
    elif path.is_dir():
        with contextlib.suppress(OSError):
            path.rmdir()


@_FILES
def bring_up_to_date(tree: Any) -> bool:
    """Make the files those of the branch's new tip; whether that went well.

    The landing has happened: from here on nothing is an error.
    """
    try:
        basis, new = tree.basis_tree(), tree.branch.basis_tree()
        with basis.lock_read(), new.lock_read():
            merge_inner(tree.branch, new, basis, this_tree=tree)
            _sync(tree, {change.path[1] for change in new.iter_changes(basis)})
            if basis.path2id("") != new.path2id(""):
                tree.set_root_id(new.path2id(""))
            tree.set_parent_trees([(tree.branch.last_revision(), new)])
    except (bzr_errors.BzrError, OSError) as error:
        where = printable(tree.basedir)
        _log.warning("%s is behind its branch: land again, or run brz update there (%s)", where, printable(str(error)))
        return False
    return True
