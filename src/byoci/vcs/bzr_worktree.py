"""The files of a trunk that a person has checked out on this machine: they follow trunk, and are never overwritten."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from breezy import errors as bzr_errors
from breezy.merge import merge_inner

from byoci import effects
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
    "bzr.files", "the files of a checked-out trunk follow it", half="They are behind trunk, which their person is told."
)


def tree_of(branch: Any) -> Any:
    """The working tree that lies with a local branch; None where there is none."""
    if not branch.user_transport.base.startswith("file:"):
        return None
    try:
        tree = branch.controldir.open_workingtree(recommend_upgrade=False)
    except (bzr_errors.NoWorkingTree, bzr_errors.NotLocalUrl):
        return None
    borrow(tree.branch.repository)
    if tree.branch.user_url != branch.user_url or tree.branch.name != branch.name:
        return None
    break_dead(tree)
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


def catch_up(tree: Any) -> None:
    """Make the files those of the branch's tip, where they are behind it and hold nothing else."""
    with tree.lock_write():
        if tree.last_revision() != tree.branch.last_revision():
            new = tree.branch.basis_tree()
            try:
                check_clean(tree, new)
            except PublishRefusedError as error:
                _log.warning("%s is behind its branch: %s", printable(tree.basedir), error.brief)
            else:
                bring_up_to_date(tree)


@_FILES
def bring_up_to_date(tree: Any) -> None:
    """Make the files those of the branch's new tip. The landing has happened: from here on nothing is an error."""
    try:
        basis, new = tree.basis_tree(), tree.branch.basis_tree()
        with basis.lock_read(), new.lock_read():
            merge_inner(tree.branch, new, basis, this_tree=tree)
            if basis.path2id("") != new.path2id(""):
                tree.set_root_id(new.path2id(""))
            tree.set_parent_trees([(tree.branch.last_revision(), new)])
    except (bzr_errors.BzrError, OSError) as error:
        where = printable(tree.basedir)
        _log.warning("%s is behind its branch: run brz update there (%s)", where, printable(str(error)))
