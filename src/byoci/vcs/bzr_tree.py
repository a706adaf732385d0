"""What a bzr tree holds, as values: the digest that names it does not depend on file ids or on history."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


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


def entries_of(tree: Any) -> dict[str, Entry]:
    """Everything in a revision's tree but the root, with the files' contents digested from their stored bytes."""
    inventory = {path: entry for path, entry in tree.iter_entries_by_dir() if path}
    digests = file_digests(tree, [path for path, entry in inventory.items() if entry.kind == "file"])
    return {
        path: Entry(entry.kind, bool(entry.executable), digests[path] if entry.kind == "file" else other_content(entry))
        for path, entry in inventory.items()
    }


def other_content(entry: Any) -> bytes:
    """The content of an inventory entry that is no file."""
    if entry.kind == "symlink":
        return str(entry.symlink_target).encode()
    return bytes(entry.reference_revision or b"") if entry.kind == "tree-reference" else b""


def file_digests(tree: Any, paths: Iterable[str]) -> dict[str, bytes]:
    """SHA-256 of each file, read in whatever order the repository likes best."""
    digests: dict[str, bytes] = {}
    for path, chunks in tree.iter_files_bytes([(path, path) for path in paths]):
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        digests[path] = digest.digest()
    return digests
