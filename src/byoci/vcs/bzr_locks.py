"""bzr's lock folders: held by a name, so a killed process leaves them behind. Ours are recovered, nobody else's are."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from breezy import errors as bzr_errors
from breezy import lockdir, osutils

from byoci.errors import UnavailableError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE: Final = 5  # seconds that a living holder gets to finish


def be_patient() -> None:
    """How long breezy waits for a lock, in this process."""
    lockdir._DEFAULT_TIMEOUT_SECONDS = PATIENCE  # noqa: SLF001 - `brz serve` sets it the same way, there is no other


def break_dead(lockable: Any) -> None:
    """Break the lock of a local branch, repository or working tree if a dead process of ours left it."""
    files = getattr(lockable, "control_files", None) or lockable._control_files  # noqa: SLF001 - a working tree's
    lock = files._lock  # noqa: SLF001 - the only way to ask who holds it
    if isinstance(lock, lockdir.LockDir):
        holder = lock.peek()
        if holder is not None and holder.is_lock_holder_known_dead():
            lock.force_break(holder)


@contextmanager
def held(branch: Any, tree: Any, note: Path) -> Iterator[None]:
    """Hold a branch's write lock, local or through a server, after recovering it from a killed run of ours.

    tree   the branch's working tree, to be locked too; None for none
    note   a file that tells which lock we hold: on a server its holder is the server's process, dead or alive
    Raises `UnavailableError` with who holds it where somebody else does.
    """
    _recover(branch, note)
    locked = branch if tree is None else tree
    try:
        token = getattr(locked.lock_write(), "token", None)
    except bzr_errors.LockContention as error:
        raise _contention(branch) from error
    try:
        if token:
            _write_note(note, token)
        yield
    finally:
        locked.unlock()
        note.unlink(missing_ok=True)


def _lock_of(branch: Any) -> lockdir.LockDir:
    """The branch's lock folder, seen from here also where the branch is on a server."""
    return lockdir.LockDir(branch.controldir.get_branch_transport(None, branch.name), "lock")


def _recover(branch: Any, note: Path) -> None:
    local = branch.user_transport.base.startswith("file:")
    if not local and not note.exists():
        return  # asking a server costs several round trips, and some do not tell
    lock = _lock_of(branch)
    holder = lock.peek()
    if holder is not None and (holder.is_lock_holder_known_dead() or _is_ours(holder, note)):
        lock.force_break(holder)
    if local:
        break_dead(branch.repository)


def _is_ours(holder: lockdir.LockHeldInfo, note: Path) -> bool:
    """Whether the lock is the one that `note` tells of, and its writer is gone."""
    try:
        written = json.loads(note.read_bytes())
        return holder.get("nonce") == written["token"] and _gone(int(written["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _gone(pid: int) -> bool:
    return pid == os.getpid() or bool(osutils.is_local_pid_dead(pid))


def _write_note(note: Path, token: bytes) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"token": token.decode(), "pid": os.getpid()}))


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
