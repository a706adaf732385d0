"""What builds check out: repositories of git and of bzr as typed values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remote:
    """A git repository, and what is fetched from it."""

    name: str
    url: str
    refspecs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Git:
    """What builds check out of git: one of `branches`, as Jenkins writes them, of one of the `remotes`.

    Variables are filled in in branches, addresses and refspecs.

    folder        in the workspace; "" for the workspace itself
    wipe          whether everything there is removed before
    clean         whether what git does not know is removed, before and after
    submodules    arguments of `git submodule update`; None for none of them
    retries       how often a failed checkout is tried again
    depth         of the history; None for all of it
    tags          whether they are fetched
    prune         arguments of `git fetch`
    local         the local branch that is made; "" for none, `**` for one of the remote one's name
    minutes       that fetching may take; None for any time
    reference     path of a repository to take objects from; "" for none
    config        (name, value) of git's settings in the working tree
    sparse        paths to check out; none for all
    tag           whether each build makes a tag in its working tree
    lfs           whether large files are fetched
    by_author     whether changes are told under their author's name, not the committer's
    """

    remotes: tuple[Remote, ...]
    branches: tuple[str, ...]
    folder: str = ""
    wipe: bool = False
    clean: bool = False
    submodules: tuple[str, ...] | None = None
    retries: int = 0
    depth: int | None = None
    tags: bool = True
    prune: tuple[str, ...] = ()
    local: str = ""
    minutes: int | None = None
    reference: str = ""
    config: tuple[tuple[str, str], ...] = ()
    sparse: tuple[str, ...] = ()
    tag: bool = False
    lfs: bool = False
    by_author: bool = False

    @property
    def many(self) -> bool:
        """Whether there may be several branches to build, each new revision of which is built once."""
        return len(self.branches) > 1 or any("*" in branch.removeprefix("*/") for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Bzr:
    """A bzr branch that builds check out.

    clean  whether everything in the workspace is removed before
    light  whether the workspace is a lightweight checkout, not a branch of its own
    """

    url: str
    clean: bool = False
    light: bool = False
    retries: int = 0


Repository = Git | Bzr
