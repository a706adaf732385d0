"""Where workers live on disk: within reach of their ordinary user, out of others' hands, and nothing stays.

As an ordinary user everything is below the site's state folder. As root it is below `/var/lib/byoci/workers`, since the
worker's user could not pass through `/root` or another private home to reach its workspace.

    etc-DIGEST/     what the image's /etc shows in a worker (root: one level up, for all sites)
    layers/         setup layers
    trees/          projects' files, which lie below workspaces
    live/P/lock     held (flock) by the process that owns P as long as it lives
    live/P/W/       one worker's folders
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import itertools
import logging
import os
import pwd
import stat
import struct
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import UnavailableError, UnsealableError, UsageError
from byoci.worker import tree

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

SYSTEM_BASE: Final = Path("/var/lib/byoci/workers")
_SYSTEM: Final = frozenset(
    ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "usr")
)
_DEPTH: Final = 3  # parts of a path, "/" included: nothing right below the root is a workspace
_REMOVALS: Final = 16  # workers whose folders are being removed; who destroys another one waits
_UIDS: Final = range(60706, 61184)  # Debian and systemd give these to nobody; they exist in small user namespaces too

# linux/fs.h; the size of their argument, which is an int all the same, is told as that of a long.
_GET_FLAGS: Final = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
_SET_FLAGS: Final = 1 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 2
_TOP_FOLDER: Final = 0x20000

_BASE = effects.declare("worker.base", "the folder of a site's workers, and those above it", half="The rest is made.")
_REAP = effects.declare("worker.reap", "folders of dead runs are removed", half="The rest is removed.")
_CLAIM = effects.declare(
    "worker.claim",
    "a folder for this run's workers, with a lock",
    half="It is removed: nobody holds its lock.",
    done="It is removed: nobody holds its lock.",
)
_FOLDER = effects.declare(
    "worker.folder", "a folder of one worker's", half="It goes with the run's.", done="It goes with the run's."
)
_DISCARD = effects.declare(
    "worker.discard", "a worker's folders are set aside", half="They go with the run's.", done="They go with the run's."
)
_SWEEP = effects.declare(
    "worker.sweep", "what was set aside is removed, while other things go on", half="The rest goes with the run's."
)
_LEAVE = effects.declare(
    "worker.leave", "this run's folder is removed", half="The rest is removed.", done="Nothing is left to do."
)


@dataclass(frozen=True, slots=True)
class Base:
    """The folder of a site's workers, and the user who runs them.

    uid     None where that is ourselves
    shared  where sites keep what does not depend on them
    """

    path: Path
    uid: int | None
    shared: Path

    @property
    def owner(self) -> int:
        """The user id, outside of the sandbox, of what runs in a worker."""
        return os.getuid() if self.uid is None else self.uid


def base_of(state: Path) -> Base:
    """The base of the site whose state folder is `state`; made where it is not there.

    Raises `UnavailableError` where somebody else could tamper with it.
    """
    base = _base_of(state, os.geteuid())
    if not base.path.is_dir():
        _base_of.cache_clear()
        base = _base_of(state, os.geteuid())
    return base


@functools.lru_cache(maxsize=64)
def _base_of(state: Path, user: int) -> Base:
    if user != 0:
        path = state.resolve() / "workers"
        with _BASE:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tree.opened(path) as fd:
            _own(path, os.fstat(fd))
        return Base(path, None, path)
    digest = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()
    path = SYSTEM_BASE / digest[:16]
    uid = _UIDS[int(digest[16:24], 16) % len(_UIDS)]
    _check_exists(uid)
    _make_chain(path)
    return Base(path, uid, SYSTEM_BASE)


def _check_exists(uid: int) -> None:
    """In a user namespace root may be the only user there is (user_namespaces(7)); then no worker can be another."""
    ranges = (tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines())
    if not any(first <= uid < first + count for first, _, count in ranges):
        raise UnsealableError(
            "a worker cannot be an ordinary user here, so nothing was run",
            details=f"This is root of a user namespace without a user {uid}.",
            resolution=f"Run byoci as an ordinary user, or give this container the user ids up to {_UIDS.stop}.",
        )


@_BASE
def _make_chain(path: Path) -> None:
    """Make folders from the root on, each of them root's own and passable for others, none of them a link."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for depth, name in enumerate(path.parts[1:], 2):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o711, dir_fd=fd)
            try:
                below = tree.open_folder(name, fd)
            except OSError as error:
                raise _tampered(Path(*path.parts[:depth]), str(error)) from error
            os.close(fd)
            fd = below
            _own(Path(*path.parts[:depth]), os.fstat(fd))
            if not os.fstat(fd).st_mode & stat.S_IXOTH:
                raise _tampered(Path(*path.parts[:depth]), "other users cannot pass through it")
    finally:
        os.close(fd)


def _own(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise _tampered(path, f"it belongs to user {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        raise _tampered(path, "other users may write to it")


def _tampered(path: Path, why: str) -> UnavailableError:
    return UnavailableError(
        f"workers cannot be kept in {path}",
        details=why,
        resolution=f"Make {path} a folder of user {os.geteuid()} that no other user may write to.",
    )


def check_workspace(path: Path, base: Base) -> None:
    """Raise `UsageError` unless `path` is a folder that may be handed to a worker's user.

    One below `base` is. Any other is refused where it is a link or no folder, belongs to the system, or has something
    of the system, of a person or of byoci itself below it. As root everything in a workspace changes hands, so in doubt
    it is none. What it holds is looked at later, by `tree.hand_over`.
    """
    if path.is_symlink() or not path.is_dir() or not path.is_absolute():
        raise _no_workspace(path, "it is not the absolute path of a folder")
    real = path.resolve()
    if base.uid is None or real.is_relative_to(base.path):
        return
    if len(real.parts) < _DEPTH or real.parts[1] in _SYSTEM:
        raise _no_workspace(path, "it belongs to the system")
    homes = {Path(entry.pw_dir) for entry in pwd.getpwall()}
    kept = {*homes, Path.home(), Path(sys.prefix), Path(sys.base_prefix), Path(__file__), base.path}
    if any(place.resolve().is_relative_to(real) for place in kept):
        raise _no_workspace(path, "it holds a home folder, or byoci itself")


def _no_workspace(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is no workspace for a worker",
        details=why,
        resolution="Use a folder that was made for this alone.",
    )


class Session:
    """The folder of this process in `live`; it is recognised as abandoned once the process is gone."""

    def __init__(self, base: Base) -> None:
        self.owner = os.getpid()
        self._numbers = itertools.count(1)
        self._remover = ThreadPoolExecutor(1, "remove workers' folders")  # the interpreter waits for it before it ends
        self._room = threading.BoundedSemaphore(_REMOVALS)
        live = base.path / "live"
        if not live.is_dir():
            with _BASE:
                live.mkdir(mode=0o711, exist_ok=True)
        _reap(live)
        self.path, self._lock = _claim(live)

    @_FOLDER
    def new_folder(self, kind: str) -> Path:
        """A new folder, which others may pass through."""
        path = self.path / f"{next(self._numbers)}-{kind}-{self.path.name}"
        path.mkdir()
        path.chmod(0o711)  # whatever the umask
        return path

    def discard(self, paths: Sequence[Path]) -> None:
        """Remove folders of ours. They are out of sight at once, and gone soon: the disk is not waited for.

        Where it is told of every block that becomes free (`mount -o discard`), it takes milliseconds for each folder.
        """
        hidden = []
        with _DISCARD:
            for path in paths:
                hidden.append(path.with_name(f"removed-{path.name}"))
                with contextlib.suppress(FileNotFoundError):
                    path.rename(hidden[-1])
        self._room.acquire()
        self._remover.submit(self._remove, hidden)

    def _remove(self, paths: Sequence[Path]) -> None:
        try:
            with _SWEEP:
                for path in paths:
                    tree.remove(path)
        except UnavailableError as error:
            _log.warning("%s", error)  # `close` tries again
        finally:
            self._room.release()

    @_LEAVE
    def close(self) -> None:
        """Remove the folder with all that is in it."""
        if self._lock >= 0 and self.owner == os.getpid():
            self._remover.shutdown()
            tree.remove(self.path)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def end(self) -> None:
        """The same as the last thing that a process does: what cannot be removed is left to the next one."""
        try:
            self.close()
        except (UnavailableError, OSError) as error:
            _log.warning("%s; the next run removes it", error)


@_CLAIM
def _claim(live: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=live))
        lock = _locked(path)
        if lock is not None:
            path.chmod(0o711)
            _spread(path)
            return path, lock


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a process' folder; None where another process holds it, or removed it."""
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == (path / "lock").stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _spread(path: Path) -> None:
    """Have each new folder in `path` put elsewhere on the disk, where the file system can be told to (chattr(1), T).

    ext4 without a journal takes no inode that became free a moment ago, and looks past every one of them: where workers
    come and go, making a file took up to a hundred times as long. Where a folder goes follows from its name, so each
    has one of its own.
    """
    with contextlib.suppress(OSError), tree.opened(path) as fd:
        (flags,) = struct.unpack("i", fcntl.ioctl(fd, _GET_FLAGS, bytes(4)))
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("i", flags | _TOP_FOLDER))


@_REAP
def _reap(live: Path) -> None:
    """Remove the folders of processes that are gone."""
    for path in live.iterdir():
        lock = _locked(path)
        if lock is not None:
            try:
                tree.remove(path)
            finally:
                os.close(lock)


_sessions: dict[tuple[int, Path], Session] = {}
_sessions_lock = threading.Lock()


def session(base: Base) -> Session:
    """The session of this process in `base`; removed when the process ends in good order."""
    with _sessions_lock:
        key = (os.getpid(), base.path)
        if key not in _sessions or not _sessions[key].path.exists():
            _sessions[key] = Session(base)
            atexit.register(_sessions[key].end)
        return _sessions[key]
