"""One project's private folder: trunk's history, every proposal's new revisions apart from it, and candidates.

In bzr a revision's id is a name that its author chose, no digest of its content. So nothing that a proposal brought is
ever put where trunk's own revisions, or another proposal's, are looked up: each lies in a repository of its own, and
whoever reads them sees trunk's first.

    trunk/                 what was fetched as trusted
    snapshots/NAME/        a copy of one of trunk's newest trees; the file `snapshot` tells which, and how old it is
    tips/DIGEST            the revision that a location was at when it was last fetched
    ghosts                 ids that trunk's history mentions and does not have, one a line
    proposals/NAME/        the revisions of a proposal that trunk did not have; NAME tells its tip's content
    approved/DIGEST        a tip's id → NAME
    candidates/ID/         a merge; the file `proposals` in it tells the NAMEs it was made with, one a line
    home/                  an empty home folder for breezy
    work/                  unfinished things, which nobody looks for
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from breezy.controldir import ControlDir, format_registry
from breezy.revision import NULL_REVISION
from breezy.transport import get_transport_from_url

from byoci import effects
from byoci.errors import UnavailableError
from byoci.log import printable
from byoci.vcs import bzr_locks
from byoci.vcs.bzr_index import keep_pages
from byoci.vcs.bzr_open import borrow
from byoci.vcs.scratch import alone, discard, in_use, reap, scratch, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

_log = logging.getLogger(__name__)

_FORMAT: Final = format_registry.make_controldir("2a")

_UNUSED: Final = "It is not found; the folder work/ is emptied."
_MAKE_TRUNK = effects.declare("bzr.make-trunk", "our copy of trunk, empty, by a rename", done="It is used.")
_REPOSITORY = effects.declare("bzr.repository", "an empty repository in a scratch folder", half=_UNUSED, done=_UNUSED)
_KEEP_CANDIDATE = effects.declare("bzr.keep-candidate", "a candidate's repository gets its place, by a rename")
_KEEP_PROPOSAL = effects.declare("bzr.keep-proposal", "a proposal's checked revisions get their place, by a rename")
_COUNT = effects.declare("bzr.count-snapshot", "how old the copy of trunk's newest tree is", done="It is known.")
_KEEP_SNAPSHOT = effects.declare("bzr.keep-snapshot", "a copy of trunk's newest tree gets its place, by a rename")
_USE = effects.declare("bzr.use-proposal", "that a proposal's revisions are used now", done="They stay longer.")
_NOTE_TIP = effects.declare(
    "bzr.note-tip", "where trunk is", half="The last one counts, until trunk is fetched.", done="It is known."
)
_NOTE_GHOSTS = effects.declare(
    "bzr.note-ghosts", "revisions that trunk's history mentions and lacks", done="They are known."
)
_DROP = effects.declare(
    "bzr.drop-candidate", "a candidate that trunk has now is removed", done="Nothing is left to do."
)
_DAMAGED = effects.declare(
    "bzr.discard-damaged",
    "what a power failure may have damaged is removed, once a boot",
    half="The rest is removed.",
    done="It is made anew.",
)
_PRUNE = effects.declare("bzr.prune", "what nobody used for long is removed", half="The rest is removed.")
KEEP_SECONDS: Final = 14 * 24 * 3600.0  # how long a proposal or candidate stays that nobody fetched or merged again


def name_of(text: str | bytes) -> str:
    """A file name for any text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:32]


class Store:
    """The private folder; every method opens what it returns afresh. One process may write, others may read."""

    def __init__(self, private: Path) -> None:
        self.private = private
        self.home = private / "home"

    def discard_damaged(self) -> None:
        """Keep what a power failure cannot have damaged: trunk's packs, which are synced. The rest is made anew."""
        kept = {"trunk", "locks", "home", self.unfinished.name}
        rest = [path for path in self.private.glob("*") if path.name not in kept]
        ghosts = self._ghosts_of_trunk() if (self.private / "trunk").exists() else frozenset()
        if ghosts is None:
            rest.append(self.private / "trunk")
        with _DAMAGED:
            for path in rest:
                discard(path, self.unfinished)
        self.note_ghosts(ghosts or frozenset())

    def _ghosts_of_trunk(self) -> frozenset[bytes] | None:
        """Looked for in all of trunk's history; None where our copy of trunk is damaged."""
        try:
            trunk = self.trunk()
            with trunk.lock_read():
                parents = trunk.get_parent_map(trunk.all_revision_ids())
        except Exception as error:  # noqa: BLE001 - whatever breezy makes of files of which a part is missing
            _log.warning("our copy of trunk is damaged, and fetched again: %s", printable(str(error)))
            return None
        return frozenset(parent for found in parents.values() for parent in found) - {*parents, NULL_REVISION}

    def trunk(self) -> Any:
        """Trunk's repository; `UnavailableError` before anything was fetched."""
        if not (self.private / "trunk").exists():
            raise UnavailableError("nothing of trunk was fetched yet", details=str(self.private))
        return open_repository(self.private / "trunk")

    def make_trunk(self) -> Any:
        """Trunk's repository for writing, made when it is not there."""
        folder = self.private / "trunk"
        if not folder.exists():
            with self.work() as work:
                self.create_bare(work / "repository")
                with _MAKE_TRUNK:
                    (work / "repository").rename(folder)
        return open_repository(folder)

    def tidy(self) -> None:
        """Remove what killed runs left: scratch folders, and the lock of our copy of trunk."""
        reap(self.unfinished)
        if (self.private / "trunk" / ".bzr" / "repository" / "lock" / "held").exists():
            with alone(self.unfinished) as nobody:
                bzr_locks.break_dead(open_repository(self.private / "trunk"), alone=nobody)

    def writing(self) -> AbstractContextManager[None]:
        """While this lasts, nobody takes the lock on our copy of trunk for a killed run's."""
        return in_use(self.unfinished)

    @property
    def unfinished(self) -> Path:
        """Where `scratch` keeps what nobody looks for."""
        return self.private / "work"

    def work(self) -> AbstractContextManager[Path]:
        """A new folder, removed at the end with whatever is there then."""
        return scratch(self.unfinished)

    @_REPOSITORY
    def create_bare(self, folder: Path) -> Any:
        """A new, empty repository at `folder`."""
        folder.mkdir(parents=True)
        repository = _FORMAT.initialize(str(folder)).create_repository(shared=True)
        _without_copies(repository)
        return borrow(repository)

    def create(self, folder: Path, *proposals: str) -> Any:
        """A new, empty repository at `folder` that falls back to trunk's, and then to proposals'."""
        return self._over(self.create_bare(folder), proposals)

    def view(self, *proposals: str) -> Any:
        """An empty repository in memory that shows trunk, and then proposals."""
        controldir = _FORMAT.initialize_on_transport(get_transport_from_url("memory:///"))
        return self._over(borrow(controldir.create_repository(shared=True)), proposals)

    def candidate(self, candidate_id: str) -> Any:
        """The repository with a candidate, over trunk and its proposal; None where there is no such candidate."""
        folder = self.candidate_folder(candidate_id)
        if not folder.exists():
            return None
        return self._over(open_repository(folder), (folder / "proposals").read_text().split())

    def new_texts(self, candidate_id: str) -> Iterator[tuple[bytes, bytes]]:
        """The keys, file id and revision, of all files that a candidate and its proposal bring."""
        folder = self.candidate_folder(candidate_id)
        names = (folder / "proposals").read_text().split()
        for repository in map(open_repository, [folder, *(self.private / "proposals" / name for name in names)]):
            with repository.lock_read():
                yield from map(tuple, repository.texts.keys())

    def _over(self, repository: Any, proposals: Iterable[str]) -> Any:
        name, _, _ = (_read(self.private / "snapshot") or "").partition(" ")
        if name and (folder := self.private / "snapshots" / name).exists():
            repository.add_fallback_repository(open_repository(folder))
        repository.add_fallback_repository(self.trunk())
        for proposal in proposals:
            repository.add_fallback_repository(open_repository(self.private / "proposals" / proposal))
        return repository

    def candidate_folder(self, candidate_id: str) -> Path:
        """Where a candidate is, or will be."""
        return self.private / "candidates" / name_of(candidate_id)

    @_KEEP_CANDIDATE
    def keep_candidate(self, made: Path, candidate_id: str, proposals: Iterable[str]) -> None:
        """Keep a finished candidate; an earlier one with this id was made from the same values and goes."""
        (made / "proposals").write_text("\n".join(proposals))
        self._replace(made, self.candidate_folder(candidate_id))

    @_KEEP_PROPOSAL
    def keep_proposal(self, made: Path, revision: bytes, content: str) -> None:
        """Keep a checked proposal, and let its tip's id stand for it from now on."""
        name = f"{name_of(revision)}-{content[:16]}"
        self._replace(made, self.private / "proposals" / name)
        self._write(self.private / "approved" / name_of(revision), name)

    def snapshot_behind(self) -> int | None:
        """How many revisions trunk got since the snapshot was made; None where there is none."""
        name, _, behind = (_read(self.private / "snapshot") or "").partition(" ")
        return int(behind) if name and (self.private / "snapshots" / name).exists() else None

    @_COUNT
    def note_snapshot_behind(self, behind: int) -> None:
        """Remember that trunk moved on."""
        name, _, _ = (_read(self.private / "snapshot") or "").partition(" ")
        self._write(self.private / "snapshot", f"{name} {behind}")

    @_KEEP_SNAPSHOT
    def keep_snapshot(self, made: Path, tip: bytes) -> None:
        """Use a new copy of trunk's newest tree; the last one stays for who reads it, the one before that goes."""
        used, _, _ = (_read(self.private / "snapshot") or "").partition(" ")
        for folder in (self.private / "snapshots").glob("*"):
            if folder.name != used:
                discard(folder, self.unfinished)
        self._replace(made, self.private / "snapshots" / name_of(tip))
        self._write(self.private / "snapshot", f"{name_of(tip)} 0")

    def proposal(self, revision: bytes) -> str | None:
        """The name of what was last fetched with the tip `revision`; None for nothing."""
        name = _read(self.private / "approved" / name_of(revision))
        if not name or not (self.private / "proposals" / name).exists():
            return None
        with _USE:
            os.utime(self.private / "proposals" / name)
        return name

    def proposal_repository(self, name: str) -> Any:
        """A proposal's own revisions, without trunk's."""
        return open_repository(self.private / "proposals" / name)

    def tip(self, location: str) -> bytes | None:
        """Where a location was when it was last fetched."""
        tip = _read(self.private / "tips" / name_of(location))
        return tip.encode() if tip else None

    @_NOTE_TIP
    def note_tip(self, location: str, revision: bytes) -> None:
        """Remember where a location is."""
        self._write(self.private / "tips" / name_of(location), revision.decode())

    def ghosts(self) -> frozenset[bytes]:
        """Ids that trunk's history mentions but does not have."""
        return frozenset((_read(self.private / "ghosts") or "").encode().split(b"\n")) - {b""}

    def note_ghosts(self, ghosts: frozenset[bytes]) -> None:
        """Remember these as well."""
        if not ghosts <= self.ghosts():
            with _NOTE_GHOSTS:
                self._write(self.private / "ghosts", b"\n".join(sorted(ghosts | self.ghosts())).decode())

    @_DROP
    def drop_candidate(self, candidate_id: str) -> None:
        """Forget a candidate that trunk has now."""
        discard(self.candidate_folder(candidate_id), self.unfinished)

    @_PRUNE
    def prune(self) -> None:
        """Remove proposals and candidates that have been of no use for long."""
        oldest = time.time() - KEEP_SECONDS
        for kind in ("proposals", "candidates"):
            for folder in (self.private / kind).glob("*"):
                if folder.stat().st_mtime < oldest:
                    discard(folder, self.unfinished)

    def _write(self, path: Path, text: str) -> None:
        write(path, text, self.unfinished)

    def _replace(self, made: Path, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            discard(folder, self.unfinished)
        made.rename(folder)


def _without_copies(repository: Any) -> None:
    """Let a repository hold its own revisions' records and nothing else.

    breezy wants one that falls back to another to have the whole inventories of the other's revisions that its own
    build on, for servers that cannot see the other. That would cost as much as the tree is large, for every proposal
    and every candidate; and what is not there need not be checked. Ours are only ever read together with trunk's.
    """
    repository.get_missing_parent_inventories = lambda check_for_missing_texts=True: set()  # noqa: ARG005
    repository._pack_collection._check_new_inventories = list  # noqa: SLF001


def open_repository(folder: Path) -> Any:
    """A repository of ours."""
    repository = borrow(ControlDir.open(str(folder)).open_repository())
    keep_pages(repository)
    return repository


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
