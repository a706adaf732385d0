"""Merging two bzr revisions in memory, and committing the result so that the same merge has the same id everywhere.

breezy's own way from a merge to a revision, `TransformPreview.commit`, records wrong content for renamed files and
commits conflict markers. So the merge is breezy's, but what it means for each file is looked up here, by file id: new
content lies in the transform's limbo folder, unchanged content in the basis under the file's *old* path.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from breezy import errors as bzr_errors
from breezy.bzr.pack_repo import PackCommitBuilder
from breezy.bzr.transform import DiskTreeTransform, TransformPreview
from breezy.memorybranch import MemoryBranch
from breezy.merge import Merge3Merger, Merger
from breezy.transform import FinalPaths
from vcsgraph.graph import CachingParentsProvider, Graph

from byoci import effects
from byoci.errors import ByociError, RejectedError, UnavailableError
from byoci.log import printable
from byoci.model import Conflict
from byoci.vcs.bzr_tree import Digests, Entry, entries_of, files_of, inventory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MERGE = effects.declare("bzr.merge", "new content of a merge, in a scratch folder")
_MERGED = effects.declare("bzr.merged", "the content of a merge that was committed is removed")


class _Preview(TransformPreview):  # type: ignore[misc]
    """A transform whose limbo folder is ours: gone with the scratch folder, also after a kill."""

    def __init__(self, tree: Any, limbo: Path) -> None:
        tree.lock_read()
        limbo.mkdir()
        DiskTreeTransform.__init__(self, tree, str(limbo))


class MergedTree:
    """What a clean merge gives, as breezy's commit builder wants to read a tree: changed entries by their new path."""

    def __init__(self, transform: Any, basis: Any) -> None:
        self._transform = transform
        self._basis = basis
        self._final = FinalPaths(transform)
        self.changes = list(transform.iter_changes())
        self._transforms: dict[str, str] = {
            change.path[1]: transform.trans_id_file_id(change.file_id) for change in self.changes if change.versioned[1]
        }

    def id2path(self, file_id: bytes) -> str:
        """The path in the merged tree of a file that exists in both; its content may be asked for afterwards."""
        trans_id = self._transform.trans_id_file_id(file_id)
        path: str = self._final.get_path(trans_id)
        self._transforms[path] = trans_id
        return path

    def _limbo(self, path: str) -> Path | None:
        """Where new content lies; None where the basis has it."""
        trans_id = self._transforms[path]
        if not self._transform.new_contents(trans_id):
            return None
        return Path(self._transform._limbo_name(trans_id))  # noqa: SLF001 - there is no other way to ask

    def _old_path(self, path: str) -> str:
        old: str = self._transform.tree_path(self._transforms[path])
        return old

    def get_file_with_stat(self, path: str) -> tuple[BinaryIO, os.stat_result | None]:
        """A file's content, and its size by way of stat where that is known."""
        limbo = self._limbo(path)
        if limbo is None:
            return BytesIO(self._basis.get_file_text(self._old_path(path))), None
        opened = limbo.open("rb")  # the builder closes it
        return opened, os.fstat(opened.fileno())

    def get_symlink_target(self, path: str) -> str:
        """A link's target."""
        limbo = self._limbo(path)
        return str(self._basis.get_symlink_target(self._old_path(path)) if limbo is None else limbo.readlink())

    def get_reference_revision(self, path: str) -> bytes:
        """The revision of a nested tree; a merge never makes a new one."""
        reference: bytes = self._basis.get_reference_revision(self._old_path(path))
        return reference

    def path2id(self, path: str) -> bytes:
        """The file id at a path; asked for the root only."""
        file_id: bytes = self._transform.final_file_id(self._transform.root if not path else self._transforms[path])
        return file_id

    def entries(
        self, digests: Callable[[dict[str, Any]], dict[str, bytes]]
    ) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """The basis and the merged tree, whole but for their roots; `digests` gives those of the basis' files."""
        inventory = inventory_of(self._basis)
        before = entries_of(inventory, digests(files_of(inventory)))
        changed = {change.file_id for change in self.changes}
        after = {
            self._final.get_path(self._transform.trans_id_tree_path(path)): before[path]
            for path, entry in inventory.items()
            if entry.file_id not in changed
        }
        for change in self.changes:
            path, kind = change.path[1], change.kind[1]
            if change.versioned[1] and path:
                executable = kind == "file" and bool(change.executable[1])
                after[path] = Entry(kind, executable, self._content(path, kind, before))
        return before, after

    def _content(self, path: str, kind: str, before: dict[str, Entry]) -> bytes:
        limbo = self._limbo(path)
        if kind == "directory":
            return b""
        if limbo is None:
            return before[self._old_path(path)].content
        if kind == "symlink":
            return os.fsencode(limbo.readlink())
        with limbo.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()

    def check_recorded(self, inventory: dict[str, Any], after: dict[str, Entry], repository: Any) -> None:
        """Compare what was committed with what was merged: changed files by content, all others with the basis."""
        fresh = {change.path[1] for change in self.changes if change.kind[1] == "file"}
        kept = {path: entry for path, entry in files_of(inventory).items() if path not in fresh}
        for path, entry in kept.items():
            basis = self._basis.root_inventory.get_entry(entry.file_id)
            if (basis.text_sha1, basis.text_size) != (entry.text_sha1, entry.text_size):
                raise _wrong(path)
        digests = Digests().of(repository, {path: inventory[path] for path in fresh if path in inventory})
        recorded = entries_of(inventory, digests | {path: after[path].content for path in kept if path in after})
        for path in recorded.keys() | after.keys():
            if recorded.get(path) != after.get(path):
                raise _wrong(path)


def _wrong(path: str) -> ByociError:
    """breezy, or our use of it, is at fault; better no candidate than a wrong one."""
    return ByociError(
        f"a merge was recorded wrongly: {printable(path)}", resolution="Report this, with both revisions."
    )


class CandidateBuilder(PackCommitBuilder):  # type: ignore[misc]
    """breezy's commit builder, but right where the history lies in a fallback repository.

    The original looks for a file's history in its own packs only, finds none, and records merges that are none.
    """

    def __init__(self, repository: Any, parents: list[bytes], config: Any, **fields: Any) -> None:
        super().__init__(repository, parents, config, **fields)
        self._texts: Any = Graph(CachingParentsProvider(repository.texts))  # type: ignore[no-untyped-call]

    def _ensure_fallback_inventories(self) -> None:
        """Not for ours; see `bzr_store`."""

    def _heads(self, file_id: bytes, revision_ids: set[bytes]) -> set[bytes]:
        return {key[1] for key in self._texts.heads([(file_id, revision_id) for revision_id in revision_ids])}


@contextmanager
def merged(
    repository: Any, this: bytes, other: bytes, limbo: Path, *, base: bytes | None = None
) -> Iterator[MergedTree | Conflict]:
    """Merge the revision `other` into `this`; the tree can be read while the context lasts.

    base   the revision to compare with; by default the newest common ancestor (or ancestors, where they criss-cross)
    limbo  a folder that does not exist yet, for new content
    """
    _refuse_hooks()
    tree = repository.revision_tree(this)
    tree.preview_transform = lambda: _Preview(tree, limbo)
    branch = MemoryBranch(repository, (0, this))
    try:
        merger = Merger.from_revision_ids(
            tree, other, base, other_branch=branch, base_branch=branch, tree_branch=branch
        )
    except bzr_errors.UnrelatedBranches as error:
        raise RejectedError(
            f"{other.decode()} shares no history with {this.decode()}",
            resolution="Propose a branch that was made from the target.",
        ) from error
    for side in (merger.base_tree, merger.other_tree):
        _read_at_once(side)
    merger.merge_type = Merge3Merger
    merger.base_is_ancestor = merger.base_is_other_ancestor = True  # so that merge3 is not told to cherry-pick
    with ExitStack() as stack:
        stack.enter_context(tree.lock_read())
        worker = merger.make_merger()
        with _MERGE:
            transform = worker.make_preview_transform()
        stack.callback(_MERGED(transform.finalize))
        if worker.cooked_conflicts:
            yield _conflict(this, other, worker.cooked_conflicts)
        else:
            yield MergedTree(transform, tree)


def _read_at_once(tree: Any) -> None:
    """Let a tree give a file as a whole: breezy's way takes time in proportion to the square of the file's size."""
    tree.get_file = lambda path: BytesIO(tree.get_file_text(path))


def _refuse_hooks() -> None:
    """A hook would make the result depend on who merges."""
    if list(Merger.hooks["merge_file_content"]):
        raise UnavailableError(
            "something in this process changes how bzr merges",
            details="A merge_file_content hook is set in breezy.",
            resolution="Run byoci in a process of its own, in which no breezy plugin is loaded.",
        )


def _conflict(this: bytes, other: bytes, conflicts: list[Any]) -> Conflict:
    paths = sorted({printable(conflict.path) for conflict in conflicts if conflict.path})
    words = sorted({printable(conflict.describe()) for conflict in conflicts})
    return Conflict(this.decode(), other.decode(), tuple(paths), "\n".join(words))
