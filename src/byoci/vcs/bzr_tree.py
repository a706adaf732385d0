"""What a bzr tree holds, as values: the digest that names it does not depend on file ids or on history."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder, link or nested tree, apart from its path.

    kind     "file", "directory", "symlink" or "tree-reference"
    content  file: SHA-256 of its bytes; symlink: its target; tree-reference: the revision; directory: empty
    """

    kind: str
    executable: bool
    content: bytes


def tree_digest(entries: Mapping[str, Entry]) -> str:
    """SHA-256 (hexadecimal) over every path with its kind, execute bit and content, in the order of the paths' bytes.

    Every field is prefixed with its length in 8 bytes. The root itself is left out, so that the digest can be computed
    from an exported folder too.
    """
    digest = hashlib.sha256()
    for path, entry in sorted((path.encode(), entry) for path, entry in entries.items()):
        for part in (path, entry.kind.encode(), b"x" if entry.executable else b"", entry.content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class Digests:
    """SHA-256 of files' contents; it remembers those of the last tree it was asked for, if trunk has that.

    A text of trunk is found by file id and revision for ever, so that most of the next tree's are known already.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def of(self, repository: Any, files: Mapping[str, Any]) -> dict[str, bytes]:
        """Digests of inventory entries, by path, all read from the repository."""
        digests: dict[str, bytes] = {}
        wanted = [(entry.file_id, entry.revision, path) for path, entry in files.items()]
        for path, chunks in repository.iter_files_bytes(wanted):
            digest = hashlib.sha256()
            for chunk in chunks:
                digest.update(chunk)
            digests[path] = digest.digest()
        return digests

    def of_trunk(self, repository: Any, files: Mapping[str, Any]) -> dict[str, bytes]:
        """The same, of a tree that trunk's own repository holds."""
        keys = {path: (entry.file_id, entry.revision) for path, entry in files.items()}
        new = self.of(repository, {path: entry for path, entry in files.items() if keys[path] not in self._known})
        digests = new | {path: self._known[key] for path, key in keys.items() if path not in new}
        self._known = {key: digests[path] for path, key in keys.items()}
        return digests


def entries_of(inventory: Mapping[str, Any], digests: Mapping[str, bytes]) -> dict[str, Entry]:
    """Inventory entries by path, all but the root's, as values; `digests` are those of the files."""
    return {
        path: Entry(entry.kind, bool(entry.executable), digests[path] if entry.kind == "file" else other_content(entry))
        for path, entry in inventory.items()
    }


def inventory_of(tree: Any) -> dict[str, Any]:
    """The inventory entries of a revision tree by path, all but the root's."""
    return {path: entry for path, entry in tree.iter_entries_by_dir() if path}


def files_of(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the entries that are regular files."""
    return {path: entry for path, entry in inventory.items() if entry.kind == "file"}


def other_content(entry: Any) -> bytes:
    """The content of an inventory entry that is no file."""
    if entry.kind == "symlink":
        return str(entry.symlink_target).encode()
    return bytes(entry.reference_revision or b"") if entry.kind == "tree-reference" else b""
