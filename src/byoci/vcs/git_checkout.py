"""Publishing to a local trunk that a person has checked out: his files follow, or nothing happens.

git's own `receive.denyCurrentBranch=updateInstead` changes the files before it locks the branch; a commit in between
would leave them ahead of it. Here the branch is locked first, then the files change, then the branch moves.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.errors import PublishRefusedError
from byoci.log import printable
from byoci.vcs import git_files
from byoci.vcs.git_publish import SYNCED, moved, persons_environment, refused
from byoci.vcs.git_run import LOCAL_SECONDS, said, unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from byoci.errors import TrunkMovedError
    from byoci.model import Candidate
    from byoci.vcs.git_remote import Branch
    from byoci.vcs.git_run import Git

_UNLOCKS: Final = "Git lets go of the branch when byoci is gone; it has not moved."
_FIND = effects.declare(
    "checkout.find", "`git worktree list` is asked where trunk is checked out", half=effects.READ_ONLY
)
_FETCH = effects.declare(
    "checkout.fetch", "the candidate's objects, in trunk's repository", half="Objects that nothing refers to."
)
_LOOK = effects.declare("checkout.look", "`git status` or `git diff` compares a person's files", half=effects.READ_ONLY)
_LOCK = effects.declare(
    "checkout.lock", "trunk's ref is locked, by a process that ends with byoci", half=_UNLOCKS, done=_UNLOCKS
)
_FILES = effects.declare(
    "checkout.files",
    "the files of a person's checkout become the candidate's",
    half="By the note about them they are known as ours, and are trunk's again.",
    done="By the note about them they are known as ours, and are trunk's again.",
)
_MOVE = effects.declare(
    "checkout.move",
    "trunk's ref moves to the candidate",
    half="It has moved or it has not.",
    done="The landing is found on trunk and reported.",
)
_BACK = effects.declare(
    "checkout.back",
    "the files become trunk's again, where trunk did not move",
    half="By the note about them they are known as ours: the rest is done.",
)


def checkout_of(branch: Branch) -> Path | None:
    """Where a local trunk's branch is checked out, linked working trees included; None where it is not."""
    path = branch.place.path
    if path is None or _plainly_bare(path):
        return None
    with _FIND:
        result = _git(path, "worktree", "list", "--porcelain", "-z")
    if result.status:
        raise unreachable(branch.place, result.stderr.decode("utf-8", "replace"))
    for record in result.text.split("\0\0"):
        first, *facts = record.split("\0")
        if f"branch {branch.ref}" in facts and "bare" not in facts:
            return Path(first.removeprefix("worktree "))
    return None


def _plainly_bare(path: Path) -> bool:
    """Whether a repository is bare and has no linked working trees, seen without starting a program."""
    try:
        return "bare = true" in (path / "config").read_text() and not (path / "worktrees").exists()
    except (OSError, UnicodeDecodeError):
        return False


def publish_checked_out(git: Git, candidate: Candidate, branch: Branch, expected: str, folder: Path) -> None:
    """Move a checked-out branch and its files to the candidate, if it is at `expected` and nothing is uncommitted."""
    place = branch.place
    recover(git)
    with _FETCH:
        result = _git(
            folder, "-c", "protocol.version=2", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
            "--no-recurse-submodules", "--no-auto-maintenance", "--refmap=", f"{git.repository}/.", candidate.id,
        )  # fmt: skip
    if result.status:
        raise refused(place, said(result.stderr.decode("utf-8", "replace")))
    with _LOOK:
        # Without a lock of the index, which stays where git is killed: there is no note yet.
        argv = ("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all")
        changed = _git(folder, *argv)
    if changed.status:
        raise refused(place, said(changed.stderr.decode("utf-8", "replace")))
    if changed.text:
        raise _dirty(folder, changed.text)
    change, run = git_files.Change(str(folder), branch.ref, expected, candidate.id), partial(_git, folder)
    if unknown := git_files.in_the_way(change, run):
        raise _dirty(folder, "\n".join(unknown))
    with git_files.noted(_noted(git), change) as half_way, _locked(branch, folder, candidate.id, expected) as finish:
        half_way.true = True
        try:
            _change(change, branch)
            git_files.sync(change, run)
            with _MOVE:
                finish()
            half_way.true = False
        except BaseException:
            with _BACK:
                half_way.true = not git_files.mend(change, run)
            raise


@_FILES
def _change(change: git_files.Change, branch: Branch) -> None:
    folder = Path(change.folder)
    _git(folder, "update-index", "-q", "--refresh")  # files that were touched and are as they were
    updated = _git(folder, "read-tree", "-m", "-u", change.old, change.new)
    if updated.status:
        words = updated.stderr.decode("utf-8", "replace")
        in_the_way = "overwritten" in words or "uptodate" in words
        raise _dirty(folder, words) if in_the_way else refused(branch.place, said(words))


def recover(git: Git) -> None:
    """Make a person's files whole that a dead run of ours left half-way."""
    git_files.recover(_noted(git), lambda folder: partial(_git, Path(folder)))


def _noted(git: Git) -> Path:
    return git.private / "checked-out"


@contextmanager
def _locked(branch: Branch, folder: Path, new: str, old: str) -> Iterator[Callable[[], None]]:
    """The branch, checked to be at `old` and locked; calling the value moves it to `new`, else it stays.

    The lock is held by `git update-ref`, which lets go of it when its input ends, also where byoci is killed.
    """
    with _temporary() as stderr:
        argv = [*_argv(folder), "update-ref", "-m", "byoci: landed", "--stdin"]
        with _LOCK:
            process = proc.start(argv, env=persons_environment(), stdin=subprocess.PIPE, stderr=stderr.fileno())
        assert process.stdin is not None
        assert process.stdout is not None

        def tell(commands: str, answer: bytes) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(commands.encode())
                process.stdin.flush()
            if not any(line == answer for line in iter(process.stdout.readline, b"")):
                raise _not_moved(branch, folder, old, stderr)

        try:
            with _LOCK:
                tell(f"start\nupdate {branch.ref} {new} {old}\nprepare\n", b"prepare: ok\n")
            yield lambda: tell("commit\n", b"commit: ok\n")
        finally:
            with contextlib.suppress(BrokenPipeError):  # it may have ended with what it was told unread
                process.stdin.close()
            process.wait(LOCAL_SECONDS)
            process.stdout.close()


@_LOCK
def _temporary() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _not_moved(branch: Branch, folder: Path, old: str, stderr: IO[bytes]) -> TrunkMovedError | PublishRefusedError:
    stderr.seek(0)
    with _LOOK:
        tip = _git(folder, "rev-parse", "--verify", "--quiet", branch.ref).text
    if tip != old:
        return moved(branch.place, old)
    return refused(branch.place, said(stderr.read().decode("utf-8", "replace")))


def _dirty(folder: Path, what: str) -> PublishRefusedError:
    return PublishRefusedError(
        f"the files in {printable(str(folder))} hold changes that are not committed",
        details=said(what),
        resolution=f"Commit, stash or move away these changes in {printable(str(folder))}, then land again.",
    )


def _git(folder: Path, *args: str, stdin: bytes = b"") -> proc.Result:
    """Git as the person whose folder it is would run it."""
    return proc.run([*_argv(folder), *args], env=persons_environment(), stdin=stdin, ok=None, timeout=LOCAL_SECONDS)


def _argv(folder: Path) -> list[str]:
    return ["git", "-c", "safe.directory=*", *SYNCED, "-C", str(folder)]
