"""A person's files in git while a landing changes them: what a run that died half-way left is told from his own work.

A note says that they are being changed, from which commit to which, and that nothing was uncommitted when that began.
While it is there, files that are as the one or the other commit has them, or hold the beginning of that (the disk was
full, the power went), are taken for ours, and made trunk's; so are locks that git left when it was killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import durable, effects
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from byoci.proc import Result

    Run = Callable[..., Result]  # git in one folder: arguments, and perhaps `stdin`

_log = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 2.0  # how old a lock of git has to be before it is taken for a dead git's
_LINK: Final = "120000"
_SUBMODULE: Final = "160000"
_ABSENT: Final = "000000"
_NOTE = effects.declare(
    "checkout.note",
    "that the files of a person's checkout are being changed",
    half="Nothing was changed yet.",
    done="The files are what they were, and stay so.",
)
_FORGET = effects.declare(
    "checkout.forget",
    "the note that a person's files are being changed is removed",
    half="They are looked at again, and are trunk's.",
    done="Nothing is left to do.",
)
_UNLOCK = effects.declare("checkout.unlock", "locks that a dead git left in a person's repository are removed")
_LOOK = effects.declare("checkout.compare", "git compares a person's files with trunk", half=effects.READ_ONLY)
_MEND = effects.declare(
    "checkout.mend",
    "files that a dead run left half-way become trunk's",
    half="They still are such files: the rest is done.",
)


@dataclass(frozen=True, slots=True)
class Change:
    """The files in `folder`, where the branch `ref` is checked out, go from the commit `old` to `new`."""

    folder: str
    ref: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class _File:
    """What two commits have at a path; an id is all zeros where there is nothing."""

    path: str
    modes: tuple[str, str]
    ids: tuple[str, str]


@dataclass(slots=True)
class HalfWay:
    """Whether files are neither what they were nor what they are to be."""

    true: bool = False


@contextmanager
def noted(place: Path, change: Change) -> Iterator[HalfWay]:
    """While this lasts, it is noted at `place` that files change; and after it, if they are half-way then."""
    with _NOTE:
        durable.write(place, json.dumps(asdict(change)).encode())
    half_way = HalfWay()
    try:
        yield half_way
    finally:
        if not half_way.true:
            _forget(place)


@_FORGET
def _forget(place: Path) -> None:
    place.unlink(missing_ok=True)


def in_the_way(change: Change, run: Run) -> list[str]:
    """Files that git does not know, where new ones are to be."""
    new = (Path(change.folder, file.path) for file in _files(change, run) if file.modes[0] == _ABSENT)
    return [str(place) for place in new if os.path.lexists(place) and (place.is_symlink() or not place.is_dir())]


def recover(place: Path, run: Callable[[str], Run]) -> None:
    """Finish, or take back, what the run that wrote the note at `place` left half-way; nothing where there is none.

    run  git in a folder
    """
    try:
        change = Change(**json.loads(place.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return _forget(place)
    if Path(change.folder).is_dir():
        _unlock(change, place.stat().st_mtime, run(change.folder))
        if not mend(change, run(change.folder)):
            return None
    return _forget(place)


def mend(change: Change, run: Run) -> bool:
    """Make files that were left half-way trunk's; False where that has to be tried again. Other work stays."""
    with _LOOK:
        tip = run("rev-parse", "--verify", "--quiet", "HEAD").text
        here = run("symbolic-ref", "--quiet", "HEAD").text == change.ref
    if not here or tip not in (change.old, change.new):
        return True
    files = _files(change, run)
    touched = list(_touched(change, files, run))
    staged = all(_differ(run, "diff-index", "--cached", commit) for commit in (change.old, change.new))
    if touched or staged:
        shown = printable(min(touched, default="what is staged"))
        _log.warning("%s was left half-way, and changed since: %s stays", printable(change.folder), shown)
        return True
    side = int(tip == change.new)
    with _MEND:
        for file in sorted(files, key=lambda file: file.path, reverse=True):
            _remove(Path(change.folder, file.path))
        wanted = "".join(f"{file.path}\0" for file in files if file.modes[side] != _ABSENT)
        written = run("read-tree", tip).status == 0
        if wanted:
            argv = ("checkout-index", "--force", "--quiet", "-z", "--stdin")
            written = run(*argv, stdin=os.fsencode(wanted)).status == 0 and written
        run("update-index", "-q", "--refresh")
        sync(change, run, files)
    return written


def sync(change: Change, run: Run, files: Iterable[_File] | None = None) -> None:
    """Have the changed files on the disk."""
    for file in _files(change, run) if files is None else files:
        place = Path(change.folder, file.path)
        if place.is_file() and not place.is_symlink():
            durable.sync(place)


@_LOOK
def _files(change: Change, run: Run) -> list[_File]:
    """What the two commits do not have in common."""
    told = run("diff-tree", "-r", "-z", "--no-renames", "--raw", change.old, change.new).stdout.split(b"\0")
    files = []
    for facts, path in zip(told[::2], told[1::2], strict=False):
        before, after, old, new, _ = facts.decode().removeprefix(":").split(" ")
        files.append(_File(os.fsdecode(path), (before, after), (old, new)))
    return files


def _touched(change: Change, files: list[_File], run: Run) -> Iterator[str]:
    """The files that somebody else has changed since."""
    unlike = [_unlike(run, commit) for commit in (change.old, change.new)]
    for file in files:
        place = Path(change.folder, file.path)
        alike = (mode != _ABSENT and file.path not in paths for mode, paths in zip(file.modes, unlike, strict=True))
        as_git_has_it = os.path.lexists(place) and any(alike)
        if not as_git_has_it and not any(map(_begins, [place] * 2, file.modes, _contents(file, run))):
            yield file.path


@_LOOK
def _unlike(run: Run, commit: str) -> set[str]:
    """The paths of a commit, or of the index, where the files are otherwise."""
    told = run("diff", "--name-only", "-z", "--no-ext-diff", "--no-renames", "--ignore-submodules=all", commit)
    return {os.fsdecode(path) for path in told.stdout.split(b"\0")} - {""}


@_LOOK
def _differ(run: Run, *command: str) -> bool:
    return run(command[0], "--quiet", *command[1:]).status != 0


@_LOOK
def _contents(file: _File, run: Run) -> list[bytes]:
    return [
        b"" if mode in (_ABSENT, _SUBMODULE) else run("cat-file", "blob", id_).stdout
        for mode, id_ in zip(file.modes, file.ids, strict=True)
    ]


def _begins(place: Path, mode: str, content: bytes) -> bool:
    """Whether there is nothing at a place, or the beginning of what belongs there."""
    if place.is_symlink():
        return mode == _LINK and os.fsencode(place.readlink()) == content
    if place.is_dir():
        return mode == _SUBMODULE
    if place.is_file():
        return mode not in (_ABSENT, _SUBMODULE, _LINK) and content.startswith(place.read_bytes())
    return not os.path.lexists(place)


def _remove(place: Path) -> None:
    if place.is_file() or place.is_symlink():
        place.unlink()
        for folder in place.parents:
            try:
                folder.rmdir()
            except OSError:
                return


def _unlock(change: Change, since: float, run: Run) -> None:
    """Remove locks of git that are not older than the note, where no git is at work that could hold them."""
    with _LOOK:
        told = [run("rev-parse", "--git-path", f"{name}.lock").text for name in ("index", "HEAD", change.ref)]
    for place in (Path(change.folder, name) for name in told):
        with contextlib.suppress(FileNotFoundError):
            if place.stat().st_mtime < since - 1.0:
                continue  # it was there before
            time.sleep(max(0.0, min(_LOCK_SECONDS, place.stat().st_mtime + _LOCK_SECONDS - time.time())))
            if not _at_work(change.folder):
                with _UNLOCK:
                    place.unlink()


def _at_work(folder: str) -> bool:
    """Whether a git is running in a folder: it goes to the top of the files, wherever it was started."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().startswith("git") and (process / "cwd").samefile(folder):
                return True
    return False
