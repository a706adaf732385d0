"""Facts about a bzr branch, from the small text files that a bzr control folder has (without breezy).

Formats as Bazaar's documentation of control folders tells them: `.bzr/branch/format` names the branch's format,
`.bzr/branch/location` the branch that a lightweight checkout refers to, `.bzr/branch/branch.conf` the one that a
checkout is bound to, `.bzr/branches/NAME` holds colocated branches.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin

from byoci.config.found import Found, Tree
from byoci.errors import UsageError
from byoci.log import SecretFilter, printable
from byoci.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_FILE: Final = 256 * 1024
_USUAL: Final = ("trunk", "main", "master", "devel")
_REFERENCE: Final = "Bazaar-NG Branch Reference Format"
_META: Final = ("Bazaar-NG meta directory, format 1", "Bazaar meta directory, format 1 (with colocated branches)")
_SKIPPED: Final = (".bzr", ".git")


def is_repository(folder: Path) -> bool:
    """Whether bzr's own files are in `folder`."""
    return os.path.isfile(folder / ".bzr/branch-format")  # noqa: PTH113 - False, where Path would raise


def facts(folder: Path, start: Path) -> Found:
    """The branch of the control folder in `folder`, asked about from `start` below it. Raises `UsageError`."""
    if _read(folder / ".bzr/branch-format").strip() not in _META:
        raise UsageError(
            "the bzr branch has a format from before bzr 0.8",
            details=str(folder),
            resolution="Bring it up to date: brz upgrade.",
        )
    if not _is_branch(folder):
        return _below(folder, start)
    current, notes = _follow(folder)
    branches = _colocated(Path(current.url)) if current.url.startswith("/") else ()
    trunk = current
    usual = next((name for name in _USUAL if name in branches), None)
    if current.branch not in (None, *_USUAL) and usual is not None:
        trunk, notes = Location(current.url, usual), (*notes, f"Of the colocated branches {usual} is gated.")
    return Found("bzr", trunk, current, branches, lambda _: _tree(folder), _origin(folder), notes)


def _below(folder: Path, start: Path) -> Found:
    """A shared repository without a branch of its own: the branch below it that looks like the trunk."""
    below = start if start.is_dir() else start.parent
    found = sorted(_branches_below(below, 2))
    usual = [branch for name in _USUAL for branch in found if branch.name == name]
    if len(found) == 1 or usual:
        chosen = (usual or found)[0]
        one = facts(chosen, chosen)
        note = f"Of the shared repository's branches {chosen} is gated."
        return replace(one, current=None, notes=(*one.notes, note))
    listed = ", ".join(str(branch) for branch in found[:20])
    raise UsageError(
        "which branch is the trunk?",
        details=f"{folder} is a shared repository; its branches: {listed}"
        if found
        else f"{folder} has no branch below",
        resolution="Name the branch's folder: byoci init PATH.",
    )


def _branches_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inner = [entry for entry in folder.iterdir() if entry.name not in _SKIPPED and entry.is_dir()]
    except OSError:
        return
    for entry in inner:
        if is_repository(entry) and _is_branch(entry):
            yield entry
        elif depth > 1 and not entry.is_symlink():
            yield from _branches_below(entry, depth - 1)


def _is_branch(folder: Path) -> bool:
    return os.path.isfile(folder / ".bzr/branch/format")  # noqa: PTH113 - False, where Path would raise


def _follow(folder: Path) -> tuple[Location, tuple[str, ...]]:
    """The branch that commits in `folder` go to, and a note where that is another one.

    A lightweight checkout refers to its branch, a bound branch commits to its master first.
    """
    location = Location(str(folder))
    notes: tuple[str, ...] = ()
    for _ in range(5):
        url = _refers_to(folder) if location.branch is None else None
        if url is None:
            break
        location = _location(url, folder)
        shown = SecretFilter().clean(str(location))
        notes = () if location.url == str(folder) else (f"{folder} is a checkout of {shown}, which is gated.",)
        folder = Path(location.url)
        if not folder.is_absolute() or not _is_branch(folder):
            break
    return location, notes


def _refers_to(folder: Path) -> str | None:
    """The URL of the branch that the one in `folder` stands for."""
    if _read(folder / ".bzr/branch/format").startswith(_REFERENCE):
        return _read(folder / ".bzr/branch/location").strip() or None
    settings = dict(_settings(_read(folder / ".bzr/branch/branch.conf")))
    if settings.get("bound", "").lower() in ("true", "yes", "on", "1", "y", "t"):
        return settings.get("bound_location") or None
    return None


def _origin(folder: Path) -> Location | None:
    """The branch that the one in `folder` was branched from."""
    parent = dict(_settings(_read(folder / ".bzr/branch/branch.conf"))).get("parent_location")
    return _location(parent, folder) if parent else None


def _settings(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if line.lstrip().startswith("["):
            return  # sections belong to parts of the branch's history, not to the branch
        if separator and not line.lstrip().startswith("#"):
            yield key.strip(), value.strip().strip("\"'")


def _location(url: str, folder: Path) -> Location:
    """A branch URL in bzr's form, `URL,branch=NAME`, relative ones from `folder`."""
    url, *segments = url.split(",")
    names = [unquote(segment.removeprefix("branch=")) for segment in segments if segment.startswith("branch=")]
    if "://" not in url and ":" not in url.partition("/")[0]:
        url = urljoin(f"file://{folder}/", url)
    if url.startswith("file:///"):
        url = os.path.normpath(unquote(url.removeprefix("file://")))
    return Location(url.rstrip("/") or "/", names[0] if names else None)


def _colocated(folder: Path) -> tuple[str, ...]:
    return tuple(unquote(name) for name in _read(folder / ".bzr/branch-list").splitlines() if name)


def _tree(folder: Path) -> Tree:
    """The files at the root of the working tree; none where the branch has no working tree."""
    files: dict[str, bool] = {}
    folders = set()
    if (folder / ".bzr/checkout").is_dir():
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif entry.is_file(follow_symlinks=False):
                files[entry.name] = bool(entry.stat(follow_symlinks=False).st_mode & stat.S_IXUSR)
    return Tree(files, frozenset(folders), lambda name: _read(folder / name))


def _read(path: Path) -> str:
    """A small text file's content, "" where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {printable(str(path)[:200])}", details=printable(str(error)[:200])) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, _MAX_FILE).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
