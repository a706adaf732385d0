"""What `byoci init` and the commands without a project's name learn from a folder: repository, trunk, branch, tests.

Nothing of the repository is run: git is asked for names only, with hooks, file system monitors and the person's
configuration closed off; bzr's own files are read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from byoci.config import detect_bzr, detect_git
from byoci.config.detect_tests import propose_tests
from byoci.config.trunks import canonical, is_local, resolve_trunk
from byoci.errors import UsageError
from byoci.log import printable
from byoci.model import Location

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.detect_tests import TestProposal
    from byoci.config.found import Found

_BZR_FOLDERS: Final = ("trunk", "main", "master", "devel", "dev", "work")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f;\udc80-\udcff]|^\s|\s$")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a project's section can be written from; `tests` is None where the person must name the command."""

    vcs: str
    trunk: Location
    name: str
    tests: TestProposal | None
    notes: tuple[str, ...] = ()


def repository(path: Path) -> Found | None:
    """The repository that `path` is in: the nearest folder, upwards, that is one; None where there is none."""
    start = path.absolute()
    for folder in (start, *start.parents):
        if detect_git.is_repository(folder):
            return detect_git.facts(start if start.is_dir() else start.parent)
        if detect_bzr.is_repository(folder):
            return detect_bzr.facts(folder, start)
    return None


def current_branch(path: Path) -> Location | None:
    """The branch that is checked out where `path` is, in the form that `detect` gives a trunk; None where none is."""
    found = repository(path)
    return None if found is None else found.current


def detect(path: Path, *, home: Path, trunk: str | None = None) -> Detected:
    """What `byoci init PATH` proposes.

    home   what `~` in `trunk` stands for
    trunk  `URL[;BRANCH]`, or `;BRANCH` of this repository, where the person knows better than the detection

    Raises `UsageError` where there is no repository, no branch to gate, or a choice to make.
    """
    if not path.exists():
        raise UsageError(f"there is no folder {printable(str(path))}")
    found = repository(path)
    if found is None:
        raise UsageError(
            f"{printable(str(path))} is in no git or bzr repository",
            resolution="Go to the repository that is to be gated, or name its folder: byoci init PATH.",
        )
    if trunk is not None:
        found = _with_trunk(found, trunk, path, home)
    if _UNSAFE.search(found.trunk.url):
        raise UsageError(
            "the repository's path has characters that a trunk cannot have",
            details=printable(repr(found.trunk.url)),
            resolution="Make a symbolic link to it with a plain name, and name that: byoci init LINK --trunk LINK.",
        )
    return Detected(
        found.vcs, found.trunk, _name(found), propose_tests(found.tree("")), (*found.notes, *_owner_note(found))
    )


def _owner_note(found: Found) -> tuple[str, ...]:
    """Landings that another user's repository gets leave files in it that its owner cannot change."""
    try:
        owner = os.stat(found.trunk.url).st_uid if is_local(found.trunk.url) else os.geteuid()  # noqa: PTH116 - a URL
    except OSError:
        return ()
    if owner == os.geteuid():
        return ()
    return (f"The trunk belongs to user {owner}, and you are user {os.geteuid()}: let its owner run byoci.",)


def _with_trunk(found: Found, trunk: str, path: Path, home: Path) -> Found:
    """What was found, with the trunk that the person named."""
    text = f"{found.trunk.url}{trunk}" if trunk.startswith(";") else trunk
    try:
        named = resolve_trunk(text, path.absolute(), home)
    except ValueError as error:
        raise UsageError(f"--trunk {error}", details=printable(trunk)) from error
    if canonical(named).url != canonical(found.trunk).url:
        return replace(found, trunk=named, notes=())
    named = Location(named.url, named.branch or found.trunk.branch)
    if named.branch is not None and found.branches and named.branch not in found.branches:
        raise UsageError(
            f"the repository has no branch {printable(named.branch)}",
            resolution=f"It has {', '.join(printable(branch) for branch in found.branches[:20])}.",
        )
    return replace(found, trunk=named, tree=lambda _: found.tree(named.branch or ""), notes=())


def _name(found: Found) -> str:
    """A project's name from the trunk's last part that says something."""
    parts = [part for part in re.split(r"[/:]", found.trunk.url) if part]
    if len(parts) > 1 and found.vcs == "bzr" and parts[-1] in _BZR_FOLDERS:
        parts.pop()
    base = (parts[-1] if parts else "").removesuffix(".git").removesuffix(".bzr")
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", base).strip(".-")[:100] or "project"
