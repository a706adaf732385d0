"""bzr's lock folders: held by a name, so a killed process leaves them behind. Ours are recovered, nobody else's are."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from breezy import errors as bzr_errors
from breezy import lockdir

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
    "bzr.note-lock", "which lock we hold, for where its holder cannot be asked", half=_OURS, done=_OURS
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


def break_dead(lockable: Any, *, alone: bool = False) -> None:
    """Break the lock of a local branch, repository or working tree if a dead process of ours left it.

    alone   whether it is known that nobody but ourselves could hold it
    """
    files = getattr(lockable, "control_files", None) or lockable._control_files  # noqa: SLF001 - a working tree's
    lock = files._lock  # noqa: SLF001 - the only way to ask who holds it
    if isinstance(lock, lockdir.LockDir):
        holder = None if _broken_torn(lock) else lock.peek()
        if holder is not None and (alone or holder.is_lock_holder_known_dead()):
            with _BREAK:
                lock.force_break(holder)


@dataclass(slots=True)
class Held:
    """A write lock while it is held. Its holder sets `behind` where his work is not done: that is left to `recover`."""

    behind: bool = False


@contextmanager
def held(branch: Any, tree: Any, note: Path) -> Iterator[Held]:
    """Hold a branch's write lock, local or through a server. See `recover` for one of a killed run of ours.

    tree   the branch's working tree, to be locked too; None for none
    note   a file that tells which lock we hold, itself locked as long as this process lives: who holds a branch on a
           server is the server's process, dead or alive, and what a process id says ends with a container
    Raises `UnavailableError` with who holds it where somebody else does.
    """
    try:
        with _LOCK:
            token = _lock(branch, tree)
    except bzr_errors.LockContention as error:
        raise _contention(branch) from error
    descriptor, holding = -1, Held()
    try:
        if token:
            descriptor = _write_note(note, token)
        yield holding
    finally:
        with _UNLOCK:
            if tree is not None:
                tree.unlock()
            branch.unlock()
            if descriptor >= 0:
                # breezy says nothing of it where it cannot unlock.
                if not (holding.behind or _stays_locked(tree) or _stays_locked(branch)):
                    note.unlink()
                os.close(descriptor)


def _lock(branch: Any, tree: Any) -> bytes | None:
    """Lock both; the branch's token, where its kind has one."""
    token: bytes | None = getattr(branch.lock_write(), "token", None)
    try:
        if tree is not None:
            tree.lock_write()
    except BaseException:
        branch.unlock()
        raise
    return token


def _stays_locked(lockable: Any) -> bool:
    """Whether a lock of ours, that was to be released, is there still; False where it is a server's to tell."""
    files = getattr(lockable, "control_files", None) or getattr(lockable, "_control_files", None)
    return bool(getattr(getattr(files, "_lock", None), "is_held", False))


def recover(branch: Any, note: Path) -> bool:
    """Break what locks a killed run of ours left on a branch; whether there was such a run."""
    local = branch.user_transport.base.startswith("file:")
    nonce = _nonce(note)
    if not local and nonce is None:
        return False  # asking a server costs several round trips, and some do not tell
    lock = _lock_of(branch)
    was_torn = local and _broken_torn(lock)
    holder = None if was_torn else lock.peek()
    ours = holder is not None and (holder.get("nonce") == nonce or holder.is_lock_holder_known_dead())
    if ours:
        with _BREAK:
            lock.force_break(holder)
    if local:
        break_dead(branch.repository)
    return ours or was_torn or nonce is not None


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


def _nonce(note: Path) -> str | None:
    """What lock a note tells of, if its writer is gone; "" where he was killed before he had written it down."""
    try:
        with note.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return opened.read().decode("ascii", "replace")
    except (FileNotFoundError, BlockingIOError):
        return None


@_NOTE
def _write_note(note: Path, token: bytes) -> int:
    """Write the note; the descriptor that holds it."""
    note.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, token)
    os.fsync(descriptor)  # a server's lock outlasts our machine
    durable.sync(note.parent)
    return descriptor


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
