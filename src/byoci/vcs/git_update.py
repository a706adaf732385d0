"""An exported tree is brought to another revision; trees whose ids are equal are not even read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from byoci import effects
from byoci.errors import RejectedError
from byoci.vcs.export_owner import owner_of
from byoci.vcs.git_export import (
    EXPORT_ENTRIES,
    Folder,
    Writer,
    bounded,
    check_names,
    explained,
    folders,
    read_below,
    too_large,
)
from byoci.vcs.git_objects import TREE, Entry, Objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from byoci.model import Exported

_UPDATE = effects.declare(
    "git.update", "an exported tree becomes another revision's", half="Nothing says what it holds, and it is removed."
)


@_UPDATE
def update(objects: Objects, folder: Path, held: Exported, revision: str) -> Exported:
    """Make of the files of one revision those of another; see `Vcs.update`."""
    old, new = objects.identify([f"{held.revision}^{{tree}}", f"{revision}^{{tree}}"])
    after = replace(held, revision=revision)
    if old == new:
        return after
    plan = bounded(_changes(_read(objects, old, new), old, new, b"", 0))
    try:
        with explained(folder):
            return Writer(objects, owner_of(folder), after).write(plan, folder)
    except BaseException:
        objects.close()
        raise


def _read(objects: Objects, old: str, new: str) -> dict[str, list[Entry]]:
    """The trees that differ, from the top down, and all within those that have no counterpart."""
    known: dict[str, list[Entry]] = {}
    added: list[str] = []
    pairs = [(old, new)]
    compared = 0
    while pairs:
        wanted = [name for name in dict.fromkeys(name for pair in pairs for name in pair) if name not in known]
        known |= zip(wanted, objects.trees(wanted), strict=True)
        below = []
        for before, after in pairs:
            compared += len(known[before]) + len(known[after])
            if compared > 2 * EXPORT_ENTRIES:
                raise too_large()
            trees = {entry.name: entry.id for entry in known[before] if entry.mode == TREE}
            for entry in known[after]:
                if entry.mode == TREE and entry.name in trees:
                    below.append((trees[entry.name], entry.id))
                elif entry.mode == TREE:
                    added.append(entry.id)
        pairs = [pair for pair in dict.fromkeys(below) if pair[0] != pair[1]]
    read_below(objects, added, known)
    return known


def _changes(known: dict[str, list[Entry]], old: str, new: str, name: bytes, depth: int) -> Iterator[Folder]:
    """What to do in one folder, and then in those within it."""
    before, after = {entry.name: entry for entry in known[old]}, {entry.name: entry for entry in known[new]}
    check_names(known[new])
    if len(after) != len(known[new]):
        raise RejectedError("The tree names a path twice")
    same = {name for name, entry in after.items() if before.get(name) == entry}
    kept = {name for name in after.keys() & before.keys() if after[name].mode == TREE == before[name].mode}
    new_files = [entry for entry in after.values() if entry.mode != TREE and entry.name not in same]
    yield Folder(name, depth, new_files, kept=True, gone=[name for name in before if name not in same | kept])
    for entry in after.values():
        if entry.mode == TREE and entry.name in kept - same:
            yield from _changes(known, before[entry.name].id, entry.id, entry.name, depth + 1)
        elif entry.mode == TREE and entry.name not in same:
            yield from folders(known, entry.id, entry.name, depth + 1)
