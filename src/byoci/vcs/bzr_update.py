"""An exported bzr tree is brought to another revision: what both have stays as it is."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from byoci import effects
from byoci.vcs import bzr_export
from byoci.vcs.bzr_tree import inventory_of
from byoci.vcs.export_owner import owner_of

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.model import Exported

_UPDATE = effects.declare(
    "bzr.update", "an exported tree becomes another revision's", half="Nothing says what it holds, and it is removed."
)


@_UPDATE
def update(repository: Any, old: dict[str, Any], tree: Any, folder: Path, held: Exported) -> Exported:
    """Make of the entries `old`, which `folder` has, those of a revision tree; see `Vcs.update`.

    held  what it will hold, but for the numbers

    What goes, goes first. So wherever something is written, folders lead there, and no link does.
    """
    new = inventory_of(tree)
    held = bzr_export.checked(new, held)
    same = {path for path in old.keys() & new.keys() if _shape(old[path]) == _shape(new[path])}
    gone = old.keys() - same
    written = {path: entry for path, entry in new.items() if path not in same}
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        changed = {path.rpartition("/")[0] for path in (*gone, *written)}
        _check_folders({path for path in changed if path in old and _is_folder(old[path])}, root)
        for path in sorted(gone, reverse=True):  # what is in a folder, before the folder
            (os.rmdir if _is_folder(old[path]) else os.unlink)(path.encode(), dir_fd=root)
        bzr_export.write(repository, written, root, owner_of(folder))
        bzr_export.date([*written, *(changed & new.keys() - written.keys()), "."], root, held.at)
    except OSError as error:
        raise bzr_export.unwritable(folder, error) from error
    finally:
        os.close(root)
    return held


def _check_folders(paths: set[str], root: int) -> None:
    """See that they are folders still, and so are those that they are in."""
    above = {path[:end] for path in paths for end, sign in enumerate(f"{path}/") if sign == "/"}
    for path in above:
        if not stat.S_ISDIR(os.lstat(path.encode(), dir_fd=root).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)


def _is_folder(entry: Any) -> bool:
    return entry.kind in ("directory", "tree-reference")


def _shape(entry: Any) -> tuple[Any, ...]:
    """What of an entry is seen on disk."""
    if _is_folder(entry):
        return ("folder",)
    if entry.kind == "symlink":
        return ("link", entry.symlink_target)
    return ("file", entry.text_sha1, bool(entry.executable))
