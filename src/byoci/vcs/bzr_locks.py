"""bzr's lock folders: held by a name, so a killed process leaves them behind. Ours are recovered, nobody else's are."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from breezy import errors as bzr_errors
from breezy import lockdir
from breezy.bzr.remote import RemoteBranch, UnknownErrorFromSmartServer
from breezy.osutils import rand_chars

from byoci import durable, effects
from byoci.errors import UnavailableError
from byoci.log import printable
from byoci.vcs.bzr_durable import torn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE: Final = 5  # seconds that a living holder gets to finish

_OURS: Final = "The lock is known as a dead run's, and broken."
_BREAK = effects.declare(
    "bzr.break-lock", "a lock that a dead run of ours held is broken", half="It is broken, or broken now."
)
_LOCK = effects.declare("bzr.lock", "trunk's branch is locked, and a checkout's files", half=_OURS, done=_OURS)
_NOTE = effects.declare(
    "bzr.note-lock",
    "what the lock is called that we take next, for where its holder cannot be asked",
    half="There is no such lock.",
    done="There is no such lock.",
)
_UNLOCK = effects.declare(
    "bzr.unlock",
    "trunk's branch is unlocked",
    half=_OURS + " The landing is found on trunk and reported.",
    done="The landing is found on trunk and reported.",
)


def be_patient() -> None:
    """How long breezy waits for a lock, in this process."""
    lockdir._DEFAULT_TIMEOUT_SECONDS = PATIENCE  # noqa: SLF001 - `brz serve` sets it the same way, there is no other


def break_dead(lockable: Any, *, alone: bool = False, ours: frozenset[str] = frozenset()) -> None:
    """Break the lock of a local branch, repository or working tree if a dead process of ours left it.

    alone   whether it is known that nobody but ourselves could hold it
    ours    nonces of dead runs' locks
    """
    lock = _lock_within(lockable)
    if lock is not None:
        holder = None if _broken_torn(lock) else lock.peek()
        if holder is not None and (alone or _is_dead(holder, ours)):
            with _BREAK:
                lock.force_break(holder)


def _is_dead(holder: Any, ours: frozenset[str]) -> bool:
    """Whether a dead run of ours holds a lock. What a process id says ends with a container, or with a boot."""
    return holder.get("nonce") in ours or bool(holder.is_lock_holder_known_dead())


@dataclass(slots=True)
class Held:
    """A write lock while it is held. Its holder sets `behind` where his work is not done: that is left to `recover`."""

    behind: bool = False


@contextmanager
def held(branch: Any, tree: Any, note: Path) -> Iterator[Held]:
    """Hold a branch's write lock, local or through a server. See `recover` for one of a killed run of ours.

    tree   the branch's working tree, to be locked too; None for none
    note   a file that tells which lock is ours, before we have it; itself locked as long as this process lives
    Raises `UnavailableError` with who holds it where somebody else does.
    """
    nonce, holding = rand_chars(20), Held()
    descriptor = _open_note(note, nonce)
    try:
        try:
            with _LOCK:
                lock = _lock(branch, tree, nonce, descriptor)
        except bzr_errors.LockContention as error:
            forget(note)
            raise _contention(branch) from error
        try:
            yield holding
        finally:
            with _UNLOCK:
                _unlock(branch, tree, lock)
                # breezy says nothing of it where it cannot unlock.
                if not (holding.behind or any(map(_stays_locked, (tree, branch, lock)))):
                    note.unlink()
    finally:
        os.close(descriptor)


def _lock(branch: Any, tree: Any, nonce: str, note: int) -> lockdir.LockDir | None:
    """Lock both, under a name that the note tells; what is to be unlocked besides."""
    if isinstance(branch, RemoteBranch):
        return _lock_served(branch, nonce, note)
    for lockable in (branch, branch.repository, tree):
        lock = _lock_within(lockable)
        if lock is not None:
            lock.extra_holder_info = {"nonce": nonce}
    branch.lock_write()
    try:
        if tree is not None:
            tree.lock_write()
    except BaseException:
        branch.unlock()
        raise
    return None


def _lock_served(branch: Any, nonce: str, note: int) -> lockdir.LockDir | None:
    """Lock a branch on a server by its files, so that it is us who name the lock, and tell the server that we have it.

    Where a server does not let clients at its files it is asked for a lock, and tells what that is called when we have
    it: whoever is killed in between leaves a lock that only people can know to be ours.
    """
    try:
        lock = _lock_of(branch)
        lock.extra_holder_info = {"nonce": nonce}
        lock.lock_write()
    except UnknownErrorFromSmartServer as error:
        if not any(b"DisabledMethod" in part for part in error.error_from_smart_server.error_tuple):
            raise
        _write_note(note, branch.lock_write().token.decode())
        return None
    try:
        branch.lock_write(token=lock.nonce)
    except BaseException:
        lock.unlock()
        raise
    return lock


def _unlock(branch: Any, tree: Any, lock: lockdir.LockDir | None) -> None:
    if tree is not None:
        tree.unlock()
    branch.unlock()
    if lock is not None:
        lock.unlock()


def _lock_within(lockable: Any) -> lockdir.LockDir | None:
    """The lock folder of a branch, repository or working tree; None for none, and for one that a server has."""
    if isinstance(lockable, RemoteBranch):
        return None
    files = getattr(lockable, "control_files", None) or getattr(lockable, "_control_files", None)
    lock = getattr(files, "_lock", None)
    return lock if isinstance(lock, lockdir.LockDir) else None


def _stays_locked(lockable: Any) -> bool:
    """Whether a lock of ours, that was to be released, is there still; False where it is a server's to tell."""
    lock = lockable if isinstance(lockable, lockdir.LockDir) else _lock_within(lockable)
    return bool(lock is not None and lock.is_held)


def recover(branch: Any, note: Path) -> frozenset[str] | None:
    """Break what locks a killed run of ours left on a branch; what they are called, None without such a run."""
    local = branch.user_transport.base.startswith("file:")
    ours = _left(note)
    if not local and ours is None:
        return None  # asking a server costs several round trips, and some do not tell
    if isinstance(branch, RemoteBranch):
        for nonce in ours or ():
            _release(branch, nonce)
        return ours
    lock = _lock_of(branch)
    was_torn = local and _broken_torn(lock)
    holder = None if was_torn else lock.peek()
    dead = holder is not None and _is_dead(holder, ours or frozenset())
    if dead:
        with _BREAK:
            lock.force_break(holder)
    if local:
        break_dead(branch.repository, ours=ours or frozenset())
    return ours or frozenset() if dead or was_torn else ours


@_BREAK
def _release(branch: Any, nonce: str) -> None:
    """Have a server let go of a lock, if it is called so: it lets whoever knows the name go on with a lock."""
    try:
        branch.lock_write(token=nonce.encode())
    except bzr_errors.TokenMismatch:
        return
    branch.dont_leave_lock_in_place()
    branch.unlock()


def _broken_torn(lock: lockdir.LockDir) -> bool:
    """Break a lock on this machine that a power failure left; whether it was one."""
    lines = torn(lock)
    if lines is not None:
        with _BREAK:
            lock.force_break_corrupt(lines)
    return lines is not None


def forget(note: Path) -> None:
    """Nothing is left of the run that wrote the note."""
    if note.exists():
        with _UNLOCK:
            note.unlink(missing_ok=True)


def _lock_of(branch: Any) -> lockdir.LockDir:
    """The branch's lock folder, seen from here also where the branch is on a server."""
    return lockdir.LockDir(branch.controldir.get_branch_transport(None, branch.name), "lock")


def _left(note: Path) -> frozenset[str] | None:
    """What lock a note tells of, if its writer is gone; none where he was killed before he had written it down."""
    try:
        with note.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return frozenset(opened.read().decode("ascii", "replace").split())
    except (FileNotFoundError, BlockingIOError):
        return None


@_NOTE
def _open_note(note: Path, nonce: str) -> int:
    """Write the note; the descriptor that holds it."""
    note.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _write_note(descriptor, nonce)
        durable.sync(note.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_note(descriptor: int, nonce: str) -> None:
    os.write(descriptor, f"{nonce}\n".encode())
    os.fsync(descriptor)  # a server's lock outlasts our machine


def _contention(branch: Any) -> UnavailableError:
    try:
        holder = _lock_of(branch).peek()
    except bzr_errors.BzrError:
        holder = None
    return UnavailableError(
        f"trunk {printable(branch.user_url)} is locked",
        details=printable(str(holder)) if holder is not None else "",
        resolution=f"Wait for its holder, or, if that is dead, run: brz break-lock {printable(branch.user_url)}",
    )
