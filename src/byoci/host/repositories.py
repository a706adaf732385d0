"""Repositories for a site to be tried on: a trunk, topic branches, and what people do to them."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from byoci import proc
from byoci.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from breezy.branch import Branch
    from breezy.workingtree import WorkingTree


class Repository(Protocol):
    """A trunk and its topic branches, each changed by commits of whole files.

    `files` map a relative path to its text, or to the file to copy; a text that starts with "#!" makes the file
    executable. `people` are plain names; a person's address is `NAME@example.com`.
    """

    trunk: Location

    def location(self, branch: str) -> Location:
        """Where a topic branch is."""

    def tip(self, branch: str) -> str:
        """A topic branch's newest revision."""

    def branch(self, name: str, origin: str | None = None) -> None:
        """Start a topic branch from another, or from trunk."""

    def commit(self, branch: str | None, files: Mapping[str, str | Path], message: str, person: str) -> None:
        """Commit to a topic branch, or to trunk."""

    def merge(self, branch: str, person: str) -> None:
        """Merge a topic branch into trunk, as a person does who passes the gate by."""


def write(folder: Path, files: Mapping[str, str | Path]) -> None:
    """Write `files` below `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_text(content)
        path.chmod(0o755 if isinstance(content, str) and content.startswith("#!") else 0o644)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the name `folder` when all went well: it is there whole, or not at all.

    What one that was killed left is removed; so there may be only one at a time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}-*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class GitRepository:
    """A bare git repository that holds the trunk `main` and the topic branches."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trunk = Location(str(folder), "main")

    def create(self, files: Mapping[str, str | Path], person: str) -> None:
        """Make the repository with a first commit on its trunk."""
        self._git(None, "init", "--quiet", "--bare", "--initial-branch=main", str(self._folder))
        self.commit(None, files, "The beginning", person)

    def location(self, branch: str) -> Location:
        """Where a topic branch is."""
        return Location(str(self._folder), branch)

    def tip(self, branch: str) -> str:
        """A topic branch's newest revision."""
        return self._git(self._folder, "rev-parse", f"refs/heads/{branch}^{{commit}}")

    def branch(self, name: str, origin: str | None = None) -> None:
        """Start a topic branch."""
        self._git(self._folder, "branch", name, origin or "main")

    def commit(self, branch: str | None, files: Mapping[str, str | Path], message: str, person: str) -> None:
        """Commit whole files, by what git has for that in a repository without a working tree.

        A clone, and a push from it, would take four times as long, which a site that is seeded does dozens of times.
        """
        ref = f"refs/heads/{branch or 'main'}"
        listed = self._git(self._folder, "for-each-ref", "--format=%(refname) %(objectname)", ref, "refs/heads/main")
        found = dict(line.split() for line in listed.splitlines())
        before = found.get(ref) or found.get("refs/heads/main")
        with tempfile.TemporaryDirectory(prefix="byoci-seed-") as scratch:
            tree = Path(scratch, "tree")
            tree.mkdir()
            write(tree, files)
            index = {"GIT_INDEX_FILE": f"{scratch}/index", "GIT_DIR": str(self._folder), "GIT_WORK_TREE": str(tree)}
            if before:
                self._git(tree, "read-tree", before, more=index)
            self._git(tree, "add", "--", *files, more=index)
            made = self._git(tree, "write-tree", more=index)
        parents = ("-p", before) if before else ()
        made = self._git(self._folder, "commit-tree", made, *parents, "-m", message, person=person)
        self._git(self._folder, "update-ref", ref, made, found.get(ref, ""))

    def merge(self, branch: str, person: str) -> None:
        """Merge a topic branch into trunk, past the gate."""
        with self._checkout("main") as tree:
            self._git(
                tree, "merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", f"origin/{branch}", person=person
            )
            self._git(tree, "push", "--quiet", "origin", "HEAD:refs/heads/main")

    @contextmanager
    def _checkout(self, branch: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="byoci-seed-") as scratch:
            tree = Path(scratch, "tree")
            self._git(None, "clone", "--quiet", str(self._folder), str(tree))
            if self._git(tree, "branch", "--remotes", "--list", f"origin/{branch}"):
                self._git(tree, "checkout", "--quiet", "-B", branch, f"origin/{branch}")
            yield tree

    @staticmethod
    def _git(folder: Path | None, *arguments: str, person: str = "byoci", more: Mapping[str, str] | None = None) -> str:
        environment = proc.base_environment() | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": person,
            "GIT_AUTHOR_EMAIL": f"{person}@example.com",
            "GIT_COMMITTER_NAME": person,
            "GIT_COMMITTER_EMAIL": f"{person}@example.com",
            **(more or {}),
        }
        return proc.run(("git", *arguments), env=environment, cwd=folder).text


class BzrRepository:
    """A folder with a bzr branch for trunk, and one beside it for every topic."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trunk = Location(str(folder / "trunk"))

    def create(self, files: Mapping[str, str | Path], person: str) -> None:
        """Make the trunk with a first revision."""
        from breezy.controldir import ControlDir, format_registry

        self._folder.mkdir(parents=True, exist_ok=True)
        with _breezy():
            ControlDir.create_branch_convenience(
                str(self._folder / "trunk"), force_new_tree=False, format=format_registry.make_controldir("2a")
            )
        self.commit(None, files, "The beginning", person)

    def location(self, branch: str) -> Location:
        """Where a topic branch is."""
        return Location(str(self._folder / branch))

    def tip(self, branch: str) -> str:
        """A topic branch's newest revision."""
        with _breezy():
            return str(self._open(branch).last_revision().decode())

    def branch(self, name: str, origin: str | None = None) -> None:
        """Start a topic branch."""
        with _breezy():
            self._open(origin).controldir.sprout(str(self._folder / name), create_tree_if_local=False)

    def commit(self, branch: str | None, files: Mapping[str, str | Path], message: str, person: str) -> None:
        """Commit whole files."""
        with self._checkout(branch) as tree:
            write(Path(tree.basedir), files)
            tree.smart_add([tree.basedir])
            tree.commit(message, committer=f"{person} <{person}@example.com>", reporter=_silent())

    def merge(self, branch: str, person: str) -> None:
        """Merge a topic branch into trunk, past the gate."""
        with self._checkout(None) as tree:
            tree.merge_from_branch(self._open(branch))
            tree.commit(f"Merge {branch}", committer=f"{person} <{person}@example.com>", reporter=_silent())

    def _open(self, branch: str | None) -> Branch:
        from breezy.branch import Branch

        return Branch.open(str(self._folder / (branch or "trunk")))

    @contextmanager
    def _checkout(self, branch: str | None) -> Iterator[WorkingTree]:
        with _breezy(), tempfile.TemporaryDirectory(prefix="byoci-seed-") as scratch:
            yield self._open(branch).create_checkout(str(Path(scratch, "tree")), lightweight=True)


@contextmanager
def _breezy() -> Iterator[None]:
    """Breezy as the lander uses it: without plugins and anybody's configuration."""
    from byoci.vcs import bzr_open

    with tempfile.TemporaryDirectory(prefix="byoci-seed-") as home, bzr_open.quiet(Path(home), None):
        yield


def _silent() -> object:
    from breezy.commit import NullCommitReporter

    return NullCommitReporter()
