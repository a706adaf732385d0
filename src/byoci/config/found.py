"""What is known of a repository before anything is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.model import Location


@dataclass(frozen=True, slots=True)
class Tree:
    """The root of a project's files.

    files    name → whether it is executable
    folders  names of folders
    read     a file's text by its name; "" for one that is too large
    """

    files: Mapping[str, bool]
    folders: frozenset[str]
    read: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Found:
    """A repository.

    vcs       "git" or "bzr"
    trunk     the branch that looks like the one to gate; its URL is an absolute path, or, for a bzr checkout, what the
              checkout is bound to
    current   the branch that is checked out at the folder that was asked about; None for none
    branches  names of the repository's branches; () for a bzr branch that stands alone
    origin    where the repository was cloned, or the branch branched, from; None where it tells nothing of that
    tree      the files at the root of a branch by its name ("": the trunk's); with bzr those of the working tree
    notes     what a person should know about the choice of trunk, a sentence each
    """

    vcs: str
    trunk: Location
    current: Location | None
    branches: tuple[str, ...]
    tree: Callable[[str], Tree]
    origin: Location | None = None
    notes: tuple[str, ...] = ()
