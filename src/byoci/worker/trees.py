"""Shared trees: a project's files on disk from one test to the next, so that only what changed has to be written.

    trees/KEY/files/       exactly the files of one revision; workers see them below their own, and never write to them
    trees/KEY/held         which revision that is; not there while it is made or changed
    trees/KEY.lock         held by the one who changes the tree or shows it to a worker

Nothing is made sure to be on the disk. So a tree counts only until the machine starts anew, and only where it was made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import ByociError
from byoci.model import Exported
from byoci.worker import sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.worker.base import Files

_log = logging.getLogger(__name__)

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NOTHING: Final = "It counts as nothing, and is made anew."
_STORE = effects.declare("tree.store", "the folder of shared trees")
_LOCK = effects.declare(
    "tree.lock",
    "a shared tree's lock file is made and locked",
    half="The kernel took the lock back.",
    done="The kernel took the lock back.",
)
_MAKE = effects.declare("tree.make", "a shared tree's folders, empty", half=_NOTHING, done=_NOTHING)
_UNMARK = effects.declare("tree.unmark", "a shared tree's note goes, before its files change", done=_NOTHING)
_MARK = effects.declare("tree.mark", "the note of what a shared tree holds", half=_NOTHING, done="It is used.")
_PRUNE = effects.declare("tree.prune", "shared trees that nobody uses are set aside", half="The rest is.")


@dataclass(frozen=True, slots=True)
class Tree:
    """A shared tree that is being used: it stays as it is as long as `lock` is open."""

    path: Path
    lock: int

    @property
    def files(self) -> Path:
        """The folder with the files."""
        return self.path / "files"

    def close(self) -> None:
        """Let go of it."""
        os.close(self.lock)


def key_of(name: str, layer: str) -> str:
    """What a shared tree is known by: whose files it holds, and the setup layer below.

    A tree is made after its layer is, so that to `make` its files are newer than what the layer holds, on any machine.
    """
    digest = hashlib.sha256()
    for part in (name, layer):
        raw = os.fsencode(part)
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:40]


class Store:
    """The shared trees of a site. `folder` may be used by several processes at once.

    owner    user and group that the files belong to; None for ourselves
    discard  removes a folder, now or later
    """

    def __init__(self, folder: Path, owner: int | None, discard: Callable[[Path], None]) -> None:
        self._folder = folder
        self._owner = owner
        self._discard = discard
        if not folder.is_dir():
            with _STORE:
                folder.mkdir(mode=0o711, exist_ok=True)

    def get(self, key: str, files: Files) -> Tree | None:
        """The tree `key` with exactly these files; None where somebody else uses that tree, or none can be trusted."""
        if not _boot():
            return None
        try:
            lock = self._lock(key)
        except BlockingIOError:
            return None
        place = self._folder / key
        try:
            if not self._update(place, files):
                self._make(place, files)
                self._prune()
        except BaseException:
            os.close(lock)
            raise
        return Tree(place, lock)

    @_LOCK
    def _lock(self, key: str) -> int:
        return sharing.locked(self._folder / f"{key}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _update(self, place: Path, files: Files) -> bool:
        """Bring a tree that is there to the wanted revision; False where there is none, or that goes wrong."""
        held = _held(place)
        if held is None:
            return False
        if held.revision != files.revision:
            with _UNMARK:
                (place / "held").unlink()
            try:
                held = files.update(place / "files", held)
            except (ByociError, OSError) as error:  # what cannot be exported at all is told by who exports it next
                _log.info("a shared tree is made anew, since it could not be updated: %s", error)
                return False
        _mark(place, held)
        return True

    def _make(self, place: Path, files: Files) -> None:
        with _MAKE:
            if place.exists():
                self._discard(place)
            place.mkdir()
            place.chmod(0o711)  # whatever the umask
            (place / "files").mkdir(mode=0o700)
            if self._owner is not None:
                os.chown(place / "files", self._owner, self._owner)
        _mark(place, files.export(place / "files", time.time_ns()))

    @_PRUNE
    def _prune(self) -> None:
        """Set trees aside that nobody used for a month, or half made, and the least used ones if all are too large."""
        trees = []
        for path in self._folder.iterdir():
            if path.suffix != ".lock":
                held = _held(path)
                with contextlib.suppress(FileNotFoundError):  # somebody else removes it
                    trees.append((path.stat().st_mtime if held else -math.inf, path, held.size if held else 0))
        for path in sharing.surplus(trees):
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            lock = self._lock(path.name)
        except BlockingIOError:
            return  # it is used
        try:
            with contextlib.suppress(FileNotFoundError):
                self._discard(path)
            (self._folder / f"{path.name}.lock").unlink()
        finally:
            os.close(lock)


def _held(place: Path) -> Exported | None:
    """What a tree holds, as its note says; None where there is none that counts."""
    try:
        note = json.loads((place / "held").read_bytes())
        return Exported(**note["holds"]) if note["of"] == _identity(place) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@_MARK
def _mark(place: Path, held: Exported) -> None:
    draft = place / "held.new"
    draft.write_text(json.dumps({"of": _identity(place), "holds": dataclasses.asdict(held)}))
    draft.rename(place / "held")  # its folder's time of change tells when the tree was used last


def _identity(place: Path) -> list[str | int]:
    """The machine's start, and this very folder: a note that was copied along with its tree says nothing."""
    found = (place / "files").stat()
    return [_boot(), found.st_dev, found.st_ino]


def _boot() -> str:
    """What tells this start of the machine from all others; "" where nothing does."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
