"""What a proposal's new revisions must be like before anything reads them: true to their digests, and harmless.

A repository that a stranger made, or a server of his, can hold and send anything: records that nobody asked for,
contents under other names, graphs with loops, and trees with names that no `brz add` would have taken. Checked is every
revision that trunk does not have, each against its left parent, so that it costs what was changed and no more.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from breezy.revision import NULL_REVISION

from byoci.errors import RejectedError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from byoci.vcs.bzr_store import Store

_ID: Final = re.compile(rb"[^\x00-\x20\x7f]{1,1000}")
_KINDS: Final = ("file", "directory", "symlink", "tree-reference")
_NAME_BYTES: Final = 255  # NAME_MAX of Linux' file systems
_TARGET_BYTES: Final = 4095  # PATH_MAX without its NUL
_DEPTH: Final = 200
_LATEST: Final = 2.0**40  # seconds; what calendars can still name


@dataclass(frozen=True, slots=True)
class _Change:
    """An inventory entry that differs from the left parent's; None for one that is not there."""

    file_id: bytes
    old: Any
    new: Any


def is_id(raw: bytes) -> bool:
    """Whether this can be a revision's id: UTF-8 without spaces and control characters, and no reserved name."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return _ID.fullmatch(raw) is not None and not raw.endswith(b":")


def check_new(store: Store, apart: Any, tip: bytes, new: frozenset[bytes]) -> None:
    """Check the revisions `new`, just fetched to the repository `apart`, which falls back to trunk's.

    Raises `RejectedError`. What `apart` holds afterwards is exactly these revisions, whole and consistent.
    """
    trunk = store.trunk()
    with trunk.lock_read():
        _check_keys(apart, new)
        order = _check_graph(apart, trunk, new, store.ghosts())
        _check_pages(apart)
        checker = _Checker(apart, trunk, new)
        for revision in order:
            checker.check(revision)
    checker.check_findable(tip)


def _reject(revision: bytes, why: str) -> NoReturn:
    raise RejectedError(
        f"the revision {printable(revision.decode('utf-8', 'replace'))} cannot be taken: {printable(why)}",
        resolution="Commit the change again on a fresh branch of trunk, with an unmodified bzr or brz.",
    )


def _own(files: Any) -> Any:
    """A kind of records without those of fallback repositories."""
    return files.without_fallbacks()


def _check_keys(apart: Any, new: frozenset[bytes]) -> None:
    """Nothing came along that was not asked for: it would stand where somebody else's is looked up."""
    for revision in new:
        if not is_id(revision):
            _reject(revision, "its id is not one")
    revisions = {key[-1] for key in _own(apart.revisions).keys()}  # noqa: SIM118 - not a mapping
    for revision in revisions ^ new:
        _reject(revision, "its server did not send what was asked for")
    signed = {key[-1] for key in _own(apart.signatures).keys()}  # noqa: SIM118
    texts = {key[-1] for key in _own(apart.texts).keys()}  # noqa: SIM118
    trees = {key[-1] for key in _own(apart.inventories).keys()}  # noqa: SIM118
    for revision in (signed | texts | trees) - new:
        _reject(revision, "its server sent contents for it that were not asked for")


def _inventory_text(inventories: Any, revision: bytes) -> bytes:
    record = next(inventories.get_record_stream([(revision,)], "unordered", True))
    return b"" if record.storage_kind == "absent" else bytes(record.get_bytes_as("fulltext"))


def _check_graph(apart: Any, trunk: Any, new: frozenset[bytes], ghosts: frozenset[bytes]) -> list[bytes]:
    """The new revisions, parents first; no loops, no parent that is nowhere, none that trunk's history lacks."""
    for revision in new & ghosts:
        _reject(revision, "trunk's own history mentions it and was made without it")
    parents = {
        key[-1]: [parent[-1] for parent in keys] for key, keys in _parent_map(_own(apart.revisions), new).items()
    }
    outside = {parent for known in parents.values() for parent in known} - new - {NULL_REVISION}
    present = {key[-1] for key in _parent_map(trunk.revisions, outside)}
    for revision, known in parents.items():
        missing = [p for p in known if p in outside - present and (p == known[0] or p not in ghosts)]
        if missing or len(set(known)) != len(known):
            _reject(revision, f"it names a parent that its branch does not have: {missing or known}")
    return _parents_first(parents)


def _parent_map(files: Any, revisions: Iterable[bytes]) -> dict[Any, Any]:
    result: dict[Any, Any] = files.get_parent_map([(revision,) for revision in revisions])
    return result


def _parents_first(parents: dict[bytes, list[bytes]]) -> list[bytes]:
    waiting = {revision: {parent for parent in known if parent in parents} for revision, known in parents.items()}
    children: dict[bytes, list[bytes]] = {}
    for revision, known in waiting.items():
        for parent in known:
            children.setdefault(parent, []).append(revision)
    ready = [revision for revision, known in waiting.items() if not known]
    order = []
    while ready:
        order.append(revision := ready.pop())
        for child in children.get(revision, ()):
            waiting[child].discard(revision)
            if not waiting[child]:
                ready.append(child)
    if len(order) != len(parents):
        _reject(next(iter(set(parents) - set(order))), "it is its own ancestor")
    return order


def _check_pages(apart: Any) -> None:
    """The pages that inventories are made of are named by their digest; breezy does not check that."""
    pages = _own(apart.chk_bytes)
    for record in pages.get_record_stream(pages.keys(), "unordered", True):
        digest = hashlib.sha1(record.get_bytes_as("fulltext"), usedforsecurity=False).hexdigest()
        if record.key != (b"sha1:" + digest.encode(),):
            raise RejectedError("the proposal's repository is damaged", details=f"A page is not {record.key[-1]!r}.")


class _Checker:
    """Checks revision after revision, each against parents that are trunk's or were checked before."""

    def __init__(self, apart: Any, trunk: Any, new: frozenset[bytes]) -> None:
        self._apart = apart
        self._trunk = trunk
        self._new = new

    def check(self, revision: bytes) -> None:
        """Everything about one revision."""
        parents = self._check_fields(revision)
        inventory = self._apart.get_inventory(revision)
        present = [parent for parent in parents if self._apart.has_revision(parent)]
        known = [self._apart.get_inventory(parent) for parent in present]
        changes = list(self._changes(inventory, known[0] if known else None))
        self._check_names(revision, inventory, known[0] if known else None, changes)
        self._check_structure(revision, inventory, changes)
        self._check_texts(revision, [change.new for change in changes if not _carried(change, known[1:])])

    def _check_fields(self, revision: bytes) -> list[bytes]:
        """The revision's own record; its parents."""
        stored = self._apart.get_revision(revision)
        text = _inventory_text(_own(self._apart.inventories), revision)
        if stored.inventory_sha1 != hashlib.sha1(text, usedforsecurity=False).hexdigest().encode():
            _reject(revision, "its tree is not the one that was committed")
        graph = _parent_map(_own(self._apart.revisions), [revision])[(revision,)]
        parents: list[bytes] = list(stored.parent_ids)
        if stored.revision_id != revision or [key[-1] for key in graph if key[-1] != NULL_REVISION] != parents:
            _reject(revision, "its record and its place in history differ")
        if not math.isfinite(stored.timestamp) or not abs(stored.timestamp) < _LATEST:
            _reject(revision, "its date is not one")
        if stored.timezone is not None and abs(stored.timezone) > 26 * 3600:
            _reject(revision, "its time zone is not one")
        return parents

    def _changes(self, inventory: Any, basis: Any) -> Iterator[_Change]:
        for key, old, new in _map_changes(inventory.id_to_entry, basis and basis.id_to_entry):
            yield _Change(
                key[0],
                None if old is None else basis._bytes_to_entry(old),  # noqa: SLF001 - as breezy reads them
                None if new is None else inventory._bytes_to_entry(new),  # noqa: SLF001
            )

    def _check_names(self, revision: bytes, inventory: Any, basis: Any, changes: list[_Change]) -> None:
        """Names and ids are harmless, and both of an inventory's indices tell the same."""
        before, after = {}, {}
        for change in changes:
            if change.old is not None:
                before[_place(change.old)] = change.file_id
            if change.new is not None:
                _check_entry(revision, change.new, inventory.root_id)
                if change.new.file_id != change.file_id or _place(change.new) in after:
                    _reject(revision, f"two entries share a place: {change.new.name!r}")
                after[_place(change.new)] = change.file_id
        expected = {place: (before.get(place), after.get(place)) for place in before.keys() | after.keys()}
        told = {
            tuple(key): (old, new)
            for key, old, new in _map_changes(
                inventory.parent_id_basename_to_file_id, basis and basis.parent_id_basename_to_file_id
            )
        }
        if told != {place: pair for place, pair in expected.items() if pair[0] != pair[1]}:
            _reject(revision, "its tree contradicts itself")

    def _check_structure(self, revision: bytes, inventory: Any, changes: list[_Change]) -> None:
        """Everything lies in a folder, up to the root; nothing in what is a folder no more."""
        for change in changes:
            if change.new is not None:
                _check_way_up(revision, inventory, change.new)
            was_folder = change.old is not None and change.old.kind == "directory"
            if was_folder and (change.new is None or change.new.kind != "directory"):
                children = inventory.parent_id_basename_to_file_id.iteritems([(change.file_id,)])
                if next(iter(children), None) is not None:
                    _reject(revision, f"it has files in what is no folder: {change.old.name!r}")

    def _check_texts(self, revision: bytes, entries: list[Any]) -> None:
        """Contents are there, belong to these revisions or to trunk, and have the digest and size they were given."""
        wanted = {(entry.file_id, entry.revision): entry for entry in entries}
        ours = {key: entry for key, entry in wanted.items() if key[1] in self._new}
        found = 0
        for source, part in ((_own(self._apart.texts), ours), (self._trunk.texts, wanted.keys() - ours.keys())):
            for record in source.get_record_stream(list(part), "unordered", True):
                entry = wanted[tuple(record.key)]
                if record.storage_kind == "absent":
                    _reject(revision, f"the content of {entry.name!r} is missing")
                _check_text(revision, entry, record)
                found += 1
        if found != len(wanted):
            _reject(revision, "contents are missing")

    def check_findable(self, revision: bytes) -> None:
        """Every entry of a tree is found by its key, not only by walking over all of them."""
        inventory = self._apart.get_inventory(revision)
        for index in (inventory.id_to_entry, inventory.parent_id_basename_to_file_id):
            listed = {tuple(key): value for key, value in index.iteritems()}
            if listed != {tuple(key): value for key, value in index.iteritems(list(listed))}:
                _reject(revision, "its tree contradicts itself")


def _map_changes(index: Any, basis: Any) -> Iterator[tuple[Any, Any, Any]]:
    if basis is not None:
        yield from index.iter_changes(basis)
    else:
        yield from ((key, None, value) for key, value in index.iteritems())


def _place(entry: Any) -> tuple[bytes, bytes]:
    return entry.parent_id or b"", entry.name.encode()


def _check_entry(revision: bytes, entry: Any, root: bytes) -> None:
    """One entry's own fields."""
    if entry.kind not in _KINDS or not _ID.fullmatch(entry.file_id) or not _ID.fullmatch(entry.revision):
        _reject(revision, f"it has an entry that is none: {entry.name!r}")
    if entry.file_id == root:
        if entry.parent_id is not None or entry.name or entry.kind != "directory":
            _reject(revision, "its root is none")
        return
    if not _harmless(entry.name.encode()) or entry.parent_id is None:
        _reject(revision, f"the name {entry.name!r} is not allowed")
    if entry.kind == "symlink":
        target = entry.symlink_target.encode()
        if not target or b"\0" in target or len(target) > _TARGET_BYTES:
            _reject(revision, f"the symbolic link {entry.name!r} leads nowhere")


def _harmless(name: bytes) -> bool:
    """Whether a name stays in its folder, on Windows too, and does not stand for bzr's own."""
    parts = name.lower().split(b"\\")
    return (
        0 < len(name) <= _NAME_BYTES
        and not any(char in name for char in b"/\0")
        and not any(part in (b".", b"..", b".bzr") for part in parts)
    )


def _check_way_up(revision: bytes, inventory: Any, entry: Any) -> None:
    for _ in range(_DEPTH):
        if entry.parent_id is None:
            if entry.file_id == inventory.root_id:
                return
            break
        if not inventory.has_id(entry.parent_id):
            break
        entry = inventory.get_entry(entry.parent_id)
        if entry.kind != "directory":
            break
    _reject(revision, f"the entry {entry.name!r} lies in no folder, or too deep")


def _carried(change: _Change, others: list[Any]) -> bool:
    """Whether an entry is as in another parent (a merge brought it), where it was checked."""
    if change.new is None:
        return True
    return any(other.has_id(change.file_id) and other.get_entry(change.file_id) == change.new for other in others)


def _check_text(revision: bytes, entry: Any, record: Any) -> None:
    if entry.kind != "file":
        return
    digest, size = hashlib.sha1(usedforsecurity=False), 0
    for chunk in record.get_bytes_as("chunked"):
        digest.update(chunk)
        size += len(chunk)
    if (digest.hexdigest().encode(), size) != (entry.text_sha1, entry.text_size):
        _reject(revision, f"the content of {entry.name!r} is not what was committed")
