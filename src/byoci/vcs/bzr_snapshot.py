"""A copy of what one of trunk's newest trees holds, in a repository of its own, in which things are found fast.

Looking a thousand files up in the indices of fifty thousand revisions costs several times what it costs to read them.
The copy is asked before trunk's own repository; what it lacks, as trunk has moved on since, is in trunk's small newest
packs. It holds nothing but what trunk's repository holds, under the same names, and may be deleted at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from breezy.bzr import chk_map

from byoci import effects

if TYPE_CHECKING:
    from byoci.vcs.bzr_store import Store

_COPY = effects.declare("bzr.snapshot", "a copy of trunk's newest tree, apart")
STALE: Final = 200  # new revisions of trunk, after which the copy is made anew


def keep_fresh(store: Store, tip: bytes, new: int) -> None:
    """Tell that trunk's repository got `new` revisions and trunk is at `tip`; copy when it is time to."""
    behind = store.snapshot_behind()
    if behind is not None and behind + new <= STALE:
        store.note_snapshot_behind(behind + new)
        return
    trunk = store.trunk()
    with store.work() as work, trunk.lock_read():
        copy = store.create_bare(work / "repository")
        with _COPY, copy.lock_write():
            copy.start_write_group()
            _copy(trunk, copy, tip)
            copy.commit_write_group()
        store.keep_snapshot(work / "repository", tip)


def _copy(trunk: Any, copy: Any, revision: bytes) -> None:
    """Copy a revision's inventory, all pages of it, and every text that it names."""
    key = (revision,)
    copy.inventories.insert_record_stream(trunk.inventories.get_record_stream([key], "unordered", True))
    inventory = trunk.get_inventory(revision)
    for index in (inventory.id_to_entry, inventory.parent_id_basename_to_file_id):
        nodes = chk_map.iter_interesting_nodes(trunk.chk_bytes, [index.key()], set())
        copy.chk_bytes.insert_record_stream(record for record, _ in nodes if record is not None)
    texts = [(entry.file_id, entry.revision) for _, entry in inventory.iter_entries()]
    copy.texts.insert_record_stream(trunk.texts.get_record_stream(texts, "groupcompress", True))
