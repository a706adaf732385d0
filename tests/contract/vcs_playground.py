"""What the Vcs contract suite needs from a VCS: its real programs, used as people use them.

A playground makes trunks and branches below a folder of its own. People work there through the VCS' own programs with
their own configuration; only `vcs` gives the thing under test.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from byoci.model import Location
    from byoci.vcs.base import Vcs


@dataclass(frozen=True, slots=True)
class File:
    """A regular file's content."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """A path that moves to `to`, told to the VCS as a rename where it wants to be told; the key is the old path."""

    to: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A path, file or folder, that is deleted."""


Change = File | Link | Renamed | Gone

Tree = dict[str, File | Link]  # path relative to the root, with "/"; folders are not listed


@dataclass(frozen=True, slots=True)
class Person:
    """Who commits, by default a proposer of no importance."""

    name: str = "Ann Author"
    email: str = "ann@example.com"


ANN = Person()
BOT = Person("Landing Bot", "bot@example.com")  # the committer that `Playground.vcs` is told to believe


class Playground(Protocol):
    """One VCS' programs in one folder. Locations that it returns have a local path as URL unless they are served.

    Revisions are ids as the Vcs under test writes them. Every method that commits returns the new revision's id and has
    it published in `where` when it returns.
    """

    name: ClassVar[str]

    def __init__(self, root: Path) -> None: ...

    def trunk(self, changes: Mapping[str, Change], *, checked_out: bool = False) -> Location:
        """A new trunk with one revision. `checked_out`: a person's own folder with files in it, see `folder`."""
        ...

    def branch(self, of: Location, *, revision: str | None = None) -> Location:
        """A proposer's new branch of `of`, a repository of its own, at its tip or at an older `revision`."""
        ...

    def commit(
        self,
        where: Location,
        changes: Mapping[str, Change],
        message: str | bytes = "Change",
        person: Person = ANN,
    ) -> str:
        """Apply `changes` in order and commit them; no changes make an empty commit."""
        ...

    def merge(self, into: Location, source: Location, revision: str | None = None) -> str:
        """Merge as a person does, never fast-forward; AssertionError where it conflicts."""
        ...

    def revert(self, where: Location, revision: str) -> str:
        """Take out what the first-parent revision `revision` of `where` brought, in a new commit."""
        ...

    def rewrite(self, where: Location, revision: str) -> None:
        """Force-push: make `revision`, which `where` has or had, its tip. Nothing else keeps what was there alive."""
        ...

    def tip(self, where: Location) -> str:
        """The newest revision, asked of the real program."""
        ...

    def tree(self, where: Location, revision: str | None = None) -> Tree:
        """All files of a revision (default: the tip), asked of the real program."""
        ...

    def parents(self, where: Location, revision: str) -> tuple[str, ...]:
        """A revision's parents, first parent first."""
        ...

    def message(self, where: Location, revision: str) -> bytes:
        """A revision's whole message, as stored."""
        ...

    def committer(self, where: Location, revision: str) -> tuple[str, str, int]:
        """A revision's committer: name, email and unix time."""
        ...

    def empty(self) -> Location:
        """A repository or branch that nobody has committed to yet."""
        ...

    def folder(self, where: Location) -> Path:
        """The folder with the files of a `checked_out` trunk."""
        ...

    def serve(self, where: Location) -> AbstractContextManager[Location]:
        """The same branch through a server on loopback that allows reading and writing."""
        ...

    def vcs(self, private: Path, *, local: bool = True, rewrite: Mapping[str, str] | None = None) -> Vcs:
        """The Vcs under test with `private` as its private folder; `local` allows paths."""
        ...


def apply(changes: Mapping[str, Change], folder: Path, rename: Callable[[str, str], None]) -> None:
    """Make `changes` in a person's folder, in order; `rename(old, new)` is the VCS' own."""
    for name, change in changes.items():
        path = folder / name
        if isinstance(change, Renamed):
            (folder / change.to).parent.mkdir(parents=True, exist_ok=True)
            rename(name, change.to)
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(change, Link):
            path.symlink_to(change.target)
        elif isinstance(change, File):
            path.write_bytes(change.content)
            path.chmod(0o755 if change.executable else 0o644)


def read_folder(folder: Path, *, without: tuple[str, ...] = (".git", ".bzr")) -> Tree:
    """What is in a folder, without following a link."""
    tree: Tree = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        for path in (Path(parent, name) for name in [*files, *folders]):
            relative = str(path.relative_to(folder))
            if path.is_symlink():
                tree[relative] = Link(str(path.readlink()))
            elif path.is_file():
                tree[relative] = File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return tree
