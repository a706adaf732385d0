"""A trunk in bzr, and landing on it by hand.

breezy's own commit takes several milliseconds for each revision. Here the records of thousands of revisions are made
first, the pages of their inventories by breezy's own map, and then stored together. `brz check` finds nothing amiss.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import shutil
import sysconfig
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from breezy.branch import Branch
from breezy.bzr.chk_serializer import chk_bencode_serializer
from breezy.bzr.inventory import CHKInventory, Inventory, InventoryDirectory, InventoryFile
from breezy.bzr.versionedfile import ChunkedContentFactory
from breezy.controldir import format_registry
from breezy.revision import Revision

from benchmarks.histories.base import (
    EMAIL,
    EVERY,
    FILES,
    NAME,
    START,
    TOPICS,
    Files,
    Repositories,
    folder_of,
    name_of,
    run,
)
from byoci.model import Location
from byoci.vcs import bzr_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_AT_ONCE: Final = 10_000  # revisions that are stored together; breezy would join packs of fewer again and again


def write(folder: Path, commits: int) -> None:
    """`trunk`, a branch of so many revisions, and `people`, a copy with branches `topic-NUMBER` in its repository."""
    files, history = Files(), _History()
    with _breezy():
        trunk = _new_branch(folder / "trunk")
        with trunk.lock_write():
            for number in range(commits):
                at = START + number * EVERY
                history.commit(_revision_id(f"commit-{number}", at), files.commit(number), at)
                if (number + 1) % _AT_ONCE == 0 or number + 1 == commits:
                    history.store(trunk.repository)
            trunk.set_last_revision_info(commits, history.tip)
        shutil.copytree(folder / "trunk", folder / "people")
        people = Branch.open(str(folder / "people"))
        at = START + commits * EVERY
        tips = {f"topic-{number}": _revision_id(f"topic-{number}", at) for number in range(TOPICS)}
        with people.lock_write():
            for number, tip in enumerate(tips.values()):
                history.topic(tip, files.topic(number), files, at)
            history.store(people.repository)
        for name, tip in tips.items():
            people.controldir.sprout(str(folder / "people" / name), tip, create_tree_if_local=False)
        (folder / "tips.json").write_text(json.dumps({name: tip.decode() for name, tip in tips.items()}))


def _new_branch(folder: Path) -> Any:
    """A branch without a working tree, in a repository that branches below it share."""
    folder.mkdir(parents=True)
    place = format_registry.make_controldir("2a").initialize(str(folder))
    place.create_repository(shared=True).set_make_working_trees(False)
    return place.create_branch()


@contextmanager
def _breezy() -> Iterator[None]:
    """Breezy without anybody's settings."""
    with tempfile.TemporaryDirectory() as home, bzr_open.quiet(Path(home), None):
        yield


class _History:
    """Makes revisions, and stores them together.

    tip  trunk's newest
    """

    def __init__(self) -> None:
        self.tip = b""
        self._changed: dict[int, bytes] = {}  # file → the commit to trunk that changed it last
        self._pages = _Pages()
        self._records: dict[str, list[Any]] = {"texts": [], "inventories": [], "revisions": []}
        self._inventory: Any = None

    def commit(self, revision: bytes, changed: Mapping[int, Sequence[bytes]], at: int) -> None:
        """Commit these files' lines to trunk."""
        if self._inventory is None:
            self._inventory = self._folders(revision)
        self._record(revision, changed, at)
        self._changed |= dict.fromkeys(changed, revision)
        self.tip = revision

    def topic(self, revision: bytes, changed: Mapping[int, Sequence[bytes]], files: Files, at: int) -> None:
        """Commit these files' lines to a branch of its own; `files` are trunk's."""
        self._record(revision, changed, at)
        for file, lines in files.now(changed).items():
            self._put(file, lines, self._changed[file])

    def store(self, repository: Any) -> None:
        """Put what is new into a repository, which is locked; of each kind the newest first, as breezy packs them."""
        pages = [ChunkedContentFactory(key, None, None, [page]) for key, page in self._pages.new.items()]
        repository.start_write_group()
        for kind, records in (*self._records.items(), ("chk_bytes", pages)):
            records.sort(key=lambda record: record.key[:-1])  # the texts of a file together
            getattr(repository, kind).insert_record_stream(reversed(records))
            records.clear()
        repository.commit_write_group()
        self._pages.new.clear()

    def _folders(self, revision: bytes) -> Any:
        """An inventory of nothing but the folders."""
        first = Inventory(root_id=None)
        first.revision_id = revision
        for name in ("", *dict.fromkeys(map(folder_of, range(FILES)))):
            entry = InventoryDirectory(_file_id(name), name, _file_id("") if name else None)
            entry.revision = revision
            first.add(entry)
            self._add("texts", (entry.file_id, revision), (), [])
        return CHKInventory.from_inventory(self._pages, first, 65536, b"hash-255-way")  # as the format 2a has it

    def _record(self, revision: bytes, changed: Mapping[int, Sequence[bytes]], at: int) -> None:
        for file, lines in changed.items():
            key = _file_id(name_of(file))
            before = ((key, self._changed[file]),) if file in self._changed else ()
            self._add("texts", (key, revision), before, lines)
            self._put(file, lines, revision)
        self._inventory.id_to_entry._save()
        if not self.tip:
            self._inventory.parent_id_basename_to_file_id._save()
        self._inventory.revision_id = revision
        tree = self._inventory.to_lines()
        parents = [self.tip] if self.tip else []
        made = Revision(
            revision,
            parent_ids=parents,
            committer=f"{NAME} <{EMAIL}>",
            message="a commit",
            properties={},
            inventory_sha1=_sha1(b"".join(tree)),
            timestamp=float(at),
            timezone=0,
        )
        above = tuple((parent,) for parent in parents)
        self._add("inventories", (revision,), above, tree)
        self._add("revisions", (revision,), above, chk_bencode_serializer.write_revision_to_lines(made))

    def _put(self, file: int, lines: Sequence[bytes], revision: bytes) -> None:
        """Let the inventory tell that a file has been like this since a revision."""
        text = b"".join(lines)
        entry = InventoryFile(_file_id(name_of(file)), name_of(file), _file_id(folder_of(file)))
        entry.revision, entry.text_sha1, entry.text_size = revision, _sha1(text), len(text)
        self._inventory.id_to_entry.map((entry.file_id,), self._inventory._entry_to_bytes(entry))
        if file not in self._changed:
            place = (entry.parent_id, entry.name.encode())
            self._inventory.parent_id_basename_to_file_id.map(place, entry.file_id)

    def _add(self, kind: str, key: tuple[bytes, ...], parents: tuple[Any, ...], lines: Sequence[bytes]) -> None:
        self._records[kind].append(ChunkedContentFactory(key, parents, None, lines))


class _Pages:
    """Where breezy's map puts the pages of an inventory: not into a repository yet."""

    def __init__(self) -> None:
        self.new: dict[tuple[bytes], bytes] = {}

    def add_lines(
        self, _key: object, _parents: object, lines: Iterable[bytes], **_options: bool
    ) -> tuple[bytes, int, None]:
        """Take a page, and tell its digest."""
        page = b"".join(lines)
        digest = _sha1(page)
        self.new[(b"sha1:" + digest,)] = page
        return digest, len(page), None

    def get_record_stream(self, keys: Iterable[tuple[bytes]], _order: str, _whole: bool) -> Iterator[Any]:
        """Give pages back."""
        return (ChunkedContentFactory(key, None, None, [self.new[key]]) for key in keys)


@functools.cache
def _file_id(name: str) -> bytes:
    """An id as bzr makes it when all files are added at once; "" for the root."""
    return f"{name or 'tree_root'}-{_date(START)}-{_chars('files')}-{len(name)}".encode()


def _revision_id(what: str, at: int) -> bytes:
    """An id as long, and as hard to compress, as bzr makes it."""
    return f"{EMAIL}-{_date(at)}-{_chars(what)}".encode()


def _date(at: int) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(at))


def _chars(what: str) -> str:
    return base64.b32encode(hashlib.sha256(what.encode()).digest())[:16].decode().lower()


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def make(template: Path, folder: Path) -> Repositories:
    """Trunks and topics, copied from what `write` wrote."""
    for name, origin in (("trunk", "trunk"), ("trunk-by-hand", "trunk"), ("hand", "trunk"), ("people", "people")):
        shutil.copytree(template / origin, folder / name)
    tips = json.loads((template / "tips.json").read_text())
    topics = [(Location(str(folder / "people" / name)), tip) for name, tip in tips.items()]
    trunk, trunk_by_hand = (Location(str(folder / name)) for name in ("trunk", "trunk-by-hand"))
    return Repositories(trunk, topics, trunk_by_hand, _ByHand(folder))


class _ByHand:
    """The same by the program `brz`: pull, merge, commit, push, in a working tree of trunk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._brz("checkout", "--quiet", ".")
        self._trunk = str(folder / "trunk-by-hand")

    def __call__(self, number: int) -> None:
        self._brz("pull", "--quiet", self._trunk)
        self._brz("merge", "--quiet", str(self._folder / "people" / f"topic-{number}"))
        self._brz("commit", "--quiet", "--message", f"Merge topic-{number}")
        self._brz("push", "--quiet", self._trunk)

    def _brz(self, *arguments: str) -> str:
        return run(self._folder / "hand", str(Path(sysconfig.get_path("scripts"), "brz")), *arguments)
