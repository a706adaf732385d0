"""Certificates in a bzr branch beside trunk: `URL-of-trunk-certificates`, one file for each revision of trunk."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from breezy import errors as bzr_errors
from breezy.bzr.inventorytree import InventoryTreeChange
from breezy.config import MemoryStack
from breezy.controldir import ControlDir, format_registry
from breezy.revision import NULL_REVISION
from breezy.transport import get_transport

from byoci import effects
from byoci.errors import PublishRefusedError, UnreachableError
from byoci.model import Location
from byoci.vcs import bzr_locks, bzr_open, urls
from byoci.vcs.bzr_durable import durably
from byoci.vcs.bzr_store import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from byoci.vcs.urls import UrlPolicy

SUFFIX: Final = "-certificates"
_ROOT: Final = b"TREE_ROOT"
_MAKE = effects.declare(
    "sibling.make", "the branch beside trunk, empty", half="What is whole of it is used.", done="It is used."
)
_COMMIT = effects.declare(
    "sibling.commit",
    "a certificate, in the branch beside trunk",
    half="It is there or it is not; that is seen, and it is committed if need be.",
    done="That it is there is seen.",
)


class BzrSibling:
    """A trunk's sibling branch (`byoci.vcs.shelf.Shelf`); made when something is put there first. See `BzrVcs`."""

    def __init__(
        self,
        private: Path,
        policy: UrlPolicy,
        rewrite: Mapping[str, str],
        *,
        committer: tuple[str, str],
        ssh_config: Path | None = None,
    ) -> None:
        self._private = private
        self._policy = policy
        self._rewrite = rewrite
        self._committer = f"{committer[0]} <{committer[1]}>"
        self._ssh_config = ssh_config

    def put(self, trunk: Location, revision: str, content: bytes) -> None:
        """See `Shelf.put`."""
        name = quote(revision, safe="")
        with bzr_open.quiet(self._private / "home", self._ssh_config), durably():
            self._make(trunk)
            with self._opened(trunk) as branch:
                note = self._note(branch)
                if bzr_locks.recover(branch, note) is not None:
                    bzr_locks.forget(note)
                with bzr_locks.held(branch, None, note):
                    self._put(branch, name, content)

    def _put(self, branch: Any, name: str, content: bytes) -> None:
        basis = branch.basis_tree()
        with basis.lock_read():
            if not (basis.is_versioned(name) and basis.get_file_text(name) == content):
                _commit(branch, basis, name, content, self._committer)

    def all(self, trunk: Location) -> Iterator[tuple[str, bytes]]:
        """See `Shelf.all`."""
        found: list[tuple[str, bytes]] = []
        with bzr_open.quiet(self._private / "home", self._ssh_config):
            if not self._is_there(trunk):
                return iter(())
            with self._opened(trunk) as branch, branch.lock_read():
                tree = branch.basis_tree()
                with tree.lock_read():
                    names = [path for path, entry in tree.iter_entries_by_dir() if path and entry.kind == "file"]
                    wanted = [(name, name) for name in names]
                    found += ((unquote(name), b"".join(chunks)) for name, chunks in tree.iter_files_bytes(wanted))
        return iter(found)

    def _place(self, trunk: Location) -> Location:
        return Location(trunk.url.rstrip("/") + SUFFIX)

    def _opened(self, trunk: Location) -> Any:
        return bzr_open.opened(self._place(trunk), self._policy, self._rewrite, self._private, trusted=True)

    def _note(self, branch: Any) -> Path:
        return self._private / "locks" / name_of(branch.user_url)

    def _is_there(self, trunk: Location) -> bool:
        try:
            with self._opened(trunk):
                return True
        except UnreachableError as error:
            if isinstance(error.__cause__, bzr_errors.NotBranchError):
                return False
            raise

    @_MAKE
    def _make(self, trunk: Location) -> None:
        if self._is_there(trunk):
            return
        place = bzr_open.place_of(self._place(trunk), self._policy, self._rewrite)
        with bzr_open.unreachable(place, self._private), _refusing(place):
            transport = get_transport(bzr_open.as_breezy_url(place))
            transport.ensure_base()
            _remove_halves(transport)
            control = _control(transport)
            try:
                control.find_repository()
            except bzr_errors.NoRepositoryPresent:
                control.create_repository()
            control.create_branch()


def _remove_halves(transport: Any) -> None:
    """Remove what a killed run left of a branch that it was about to make: breezy writes the name of a format last."""
    if not transport.has(".bzr"):
        return
    parts = [part for part in ("repository", "branch") if transport.has(f".bzr/{part}")]
    for part in parts:
        if not transport.has(f".bzr/{part}/format"):
            transport.delete_tree(f".bzr/{part}")
    if not parts and not transport.has(".bzr/branch-format"):
        transport.delete_tree(".bzr")


def _control(transport: Any) -> Any:
    try:
        return ControlDir.open_from_transport(transport)
    except bzr_errors.NotBranchError:
        return format_registry.make_controldir("2a").initialize_on_transport(transport)


class _OneFile:
    """What the commit builder reads of a tree in which one file is another."""

    def __init__(self, basis: Any, content: bytes) -> None:
        self._basis = basis
        self._content = content

    def get_file_with_stat(self, _path: str) -> tuple[BytesIO, None]:
        return BytesIO(self._content), None

    def path2id(self, path: str) -> bytes:
        file_id: bytes = self._basis.path2id(path) or _ROOT
        return file_id


@_COMMIT
def _commit(branch: Any, basis: Any, name: str, content: bytes, committer: str) -> None:
    """Commit one file to a branch that is locked. breezy's own tree in memory cannot commit in version 3.3."""
    revno, tip = branch.last_revision_info()
    root = basis.path2id("") or _ROOT
    changes = []
    if not basis.is_versioned(""):
        changes.append(
            InventoryTreeChange(
                root, (None, ""), True, (False, True), (None, None), (None, ""), (None, "directory"), (None, False)
            )
        )
    known = basis.is_versioned(name)
    file_id = basis.path2id(name) if known else b"certificate-" + hashlib.sha256(name.encode()).hexdigest().encode()
    before = (name, root, name, "file", False) if known else (None, None, None, None, None)
    path, parent, name_, kind, executable = zip(before, (name, root, name, "file", False), strict=True)
    changes.append(InventoryTreeChange(file_id, path, True, (known, True), parent, name_, kind, executable))
    repository = branch.repository
    builder = repository.get_commit_builder(
        branch, [] if tip == NULL_REVISION else [tip], MemoryStack(b""), committer=committer, revprops={}
    )
    try:
        for _ in builder.record_iter_changes(_OneFile(basis, content), tip, iter(changes)):
            pass
        builder.finish_inventory()
        made = builder.commit(f"The certificate of {unquote(name)}")
    except BaseException:
        builder.abort()
        raise
    branch.set_last_revision_info(revno + 1, made)


@contextmanager
def _refusing(place: urls.Url) -> Iterator[None]:
    try:
        yield
    except (bzr_errors.PermissionDenied, bzr_errors.TransportNotPossible, bzr_errors.ReadOnlyError) as error:
        raise PublishRefusedError(
            f"{place} cannot be made",
            details=urls.shown(str(error)),
            resolution="Make it by hand: brz init, at that place; the landing user must be able to write to it.",
        ) from error
