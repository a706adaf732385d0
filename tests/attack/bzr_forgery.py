"""Making bzr branches that no `brz commit` makes: through breezy's commit builder, with a hand in its works."""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from breezy.bzr.inventorytree import InventoryTreeChange
from breezy.config import MemoryStack
from breezy.controldir import ControlDir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.model import Location


class _Contents:
    """What the commit builder reads of a tree."""

    def __init__(self, basis: Any, contents: dict[str, bytes]) -> None:
        self._basis = basis
        self._contents = contents

    def get_file_with_stat(self, path: str) -> tuple[BytesIO, None]:
        return BytesIO(self._contents[path]), None

    def get_symlink_target(self, path: str) -> str:
        return self._contents[path].decode()

    def path2id(self, path: str) -> bytes:
        return self._basis.path2id(path)

    def id2path(self, file_id: bytes) -> str:
        return self._basis.id2path(file_id)


class Forger:
    """Commits anything to one local branch; to be used while breezy is kept quiet."""

    def __init__(self, where: Location) -> None:
        self.branch = ControlDir.open(where.url).open_branch()
        with self.branch.lock_read():
            self.basis = self.branch.basis_tree()
            with self.basis.lock_read():
                self.root: bytes = self.basis.path2id("")

    def id_of(self, path: str) -> bytes:
        with self.basis.lock_read():
            file_id: bytes = self.basis.path2id(path)
        return file_id

    def new(self, path: str, kind: str = "file", parent: bytes | None = None) -> InventoryTreeChange:
        """A new entry; its file id follows from its path."""
        name = PurePosixPath(path).name
        return InventoryTreeChange(
            b"id-of-" + path.encode().hex().encode(), (None, path), True, (False, True),
            (None, parent or self.root), (None, name), (None, kind), (None, False),
        )  # fmt: skip

    def changed(self, path: str, kinds: tuple[str, str] = ("file", "file")) -> InventoryTreeChange:
        """An entry with other content, or of another kind."""
        file_id = self.id_of(path)
        with self.basis.lock_read():
            parent = self.basis.path2id(path.rpartition("/")[0])
        name = PurePosixPath(path).name
        return InventoryTreeChange(
            file_id, (path, path), True, (True, True), (parent, parent), (name, name), kinds, (False, False)
        )

    def commit(
        self,
        changes: Sequence[InventoryTreeChange] = (),
        contents: dict[str, bytes] | None = None,
        *,
        revision: bytes = b"forged",
        message: str = "Nothing to see",
        parents: Sequence[bytes] | None = None,
        tamper: Callable[[Any], None] = lambda _: None,
        spoil: Callable[[Any], None] = lambda _: None,
        **fields: Any,
    ) -> str:
        """Commit to the branch and make it its tip.

        tamper   is handed the builder before it makes the inventory
        spoil    is handed it before it makes the revision
        """
        repository = self.branch.repository
        known = list(parents) if parents is not None else [self.branch.last_revision()]
        told = {"timestamp": 1.0, "timezone": 0, "committer": "Eve <eve@example.com>", "revprops": {}, **fields}
        with self.branch.lock_write():
            builder = repository.get_commit_builder(self.branch, known, MemoryStack(b""), revision_id=revision, **told)
            tree = _Contents(repository.revision_tree(known[0]) if known else None, contents or {})
            for _ in builder.record_iter_changes(tree, known[0] if known else b"null:", iter(changes)):
                pass
            tamper(builder)
            builder.finish_inventory()
            spoil(builder)
            builder.commit(message)
            self.branch.set_last_revision_info(self.branch.last_revision_info()[0] + 1, revision)
        self.basis = self.branch.basis_tree()
        return revision.decode()
