"""What people do to branches past any gate, in git and bzr, and what trunk is then: quick, and without byoci's code.

A revision is told whole: its parents, and the text of every file. Two files of one path are one file, in bzr too.
"""

from __future__ import annotations

import os
import subprocess
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TRUNK = "trunk"


class People(Protocol):
    """Branches of one project, `trunk` among them; each is written over without asking."""

    def create(self, files: Mapping[str, str]) -> str:
        """Make everything, with a first revision of trunk."""

    def place(self, branch: str) -> str:
        """Where a branch is, as `URL[;BRANCH]`."""

    def commit(self, branch: str, parents: Sequence[str], files: Mapping[str, str], person: str) -> str:
        """Make a revision and let the branch be at it."""

    def point(self, branch: str, revision: str) -> None:
        """Let the branch be at a revision that exists."""

    def history(self) -> list[list[str]]:
        """Trunk's revisions in first-parent order, newest first, each with its parents."""

    def files(self, revision: str) -> dict[str, str]:
        """The files of a revision of trunk."""


class GitPeople:
    """A bare repository with all branches in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def create(self, files: Mapping[str, str]) -> str:
        self._git("init", "--quiet", "--bare", "--initial-branch", "main", str(self._folder), inside=False)
        return self.commit(TRUNK, (), files, "alice")

    def place(self, branch: str) -> str:
        return f"{self._folder};{_name(branch)}"

    def commit(self, branch: str, parents: Sequence[str], files: Mapping[str, str], person: str) -> str:
        self._count += 1
        message = f"Work of {person}, {self._count}"
        who = f"{person} <{person}@example.com> {1_700_000_000 + self._count} +0000"
        lines = [f"commit refs/heads/{_name(branch)}", "mark :1", f"author {who}", f"committer {who}", _data(message)]
        lines += [f"{kind} {parent}" for kind, parent in zip(("from", "merge"), parents, strict=False)]
        lines += [
            "deleteall",
            *(f"M 100644 inline {path}\n{_data(text)}" for path, text in files.items()),
            "get-mark :1",
        ]
        return self._git("fast-import", "--quiet", "--force", stdin="\n".join([*lines, "done", ""]))

    def point(self, branch: str, revision: str) -> None:
        self._git("update-ref", f"refs/heads/{_name(branch)}", revision)

    def history(self) -> list[list[str]]:
        told = self._git("rev-list", "--first-parent", "--parents", "refs/heads/main")
        return [line.split() for line in told.splitlines()]

    def files(self, revision: str) -> dict[str, str]:
        listed = [line.split(None, 3) for line in self._git("ls-tree", "-r", revision).splitlines()]
        blobs = self._git("cat-file", "--batch", stdin="".join(f"{blob}\n" for _, _, blob, _ in listed)).splitlines()
        return {path: text for (_, _, _, path), text in zip(listed, blobs[1::3], strict=True)}

    def _git(self, *arguments: str, stdin: str = "", inside: bool = True) -> str:
        where = ["-C", str(self._folder)] if inside else []
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *where, *arguments], input=stdin, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip("\n")


def _name(branch: str) -> str:
    return "main" if branch == TRUNK else branch


def _data(text: str) -> str:
    return f"data {len(text.encode()) + 1}\n{text}\n"


class BzrPeople:
    """Trunk by itself, and a repository that all other branches share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def create(self, files: Mapping[str, str]) -> str:
        from breezy.controldir import ControlDir, format_registry

        with self._breezy():
            made = format_registry.make_controldir("2a")
            self._folder.mkdir()
            ControlDir.create_branch_convenience(str(self._folder / TRUNK), force_new_tree=False, format=made)
            (self._folder / "work").mkdir()
            shared = ControlDir.create(str(self._folder / "work"), format=made).create_repository(shared=True)
            shared.set_make_working_trees(False)
        return self.commit(TRUNK, (), files, "alice")

    def place(self, branch: str) -> str:
        return str(self._folder / TRUNK if branch == TRUNK else self._folder / "work" / branch)

    def commit(self, branch: str, parents: Sequence[str], files: Mapping[str, str], person: str) -> str:
        self._count += 1
        with self._breezy():
            found = self._branch(branch)
            with found.lock_write():
                for parent in parents:
                    self._bring(found, parent)
                made = self._build(found, [parent.encode() for parent in parents], files, person)
                found.generate_revision_history(made)
        return made.decode()

    def point(self, branch: str, revision: str) -> None:
        with self._breezy():
            found = self._branch(branch)
            with found.lock_write():
                self._bring(found, revision)
                found.generate_revision_history(revision.encode())

    def history(self) -> list[list[str]]:
        with self._breezy():
            branch = self._branch(TRUNK)
            with branch.lock_read():
                revision, found = branch.last_revision(), []
                while revision != b"null:":
                    parents = branch.repository.get_parent_map([revision])[revision]
                    found.append([part.decode() for part in (revision, *parents) if part != b"null:"])
                    revision = parents[0]
        return found

    def files(self, revision: str) -> dict[str, str]:
        with self._breezy():
            tree = self._branch(TRUNK).repository.revision_tree(revision.encode())
            with tree.lock_read():
                files = [path for path, entry in tree.iter_entries_by_dir() if entry.kind == "file"]
                return {path: tree.get_file_text(path).decode().rstrip("\n") for path in files}

    def _branch(self, name: str) -> Any:
        from breezy.branch import Branch
        from breezy.controldir import ControlDir
        from breezy.errors import NotBranchError

        place = self.place(name)
        try:
            return Branch.open(place)
        except NotBranchError:
            return ControlDir.create_branch_convenience(place, force_new_tree=False)

    def _bring(self, branch: Any, revision: str) -> None:
        """Fetch a revision from trunk's repository or the shared one, whichever is not the branch's own."""
        if branch.repository.has_revision(revision.encode()):
            return
        from breezy.repository import Repository

        other = self._folder / ("work" if branch.user_url.rstrip("/").endswith(f"/{TRUNK}") else TRUNK)
        branch.repository.fetch(Repository.open(str(other)), revision.encode())

    def _build(self, branch: Any, parents: list[bytes], files: Mapping[str, str], person: str) -> bytes:
        builder = branch.get_commit_builder(
            parents, committer=f"{person} <{person}@example.com>", timestamp=1_700_000_000.0 + self._count, timezone=0
        )
        try:
            tree = _Files(files)
            basis = branch.repository.revision_tree(parents[0] if parents else b"null:")
            with basis.lock_read():
                changes = list(tree.changes(basis))
            for _ in builder.record_iter_changes(tree, parents[0] if parents else b"null:", changes):
                pass
            builder.finish_inventory()
            made: bytes = builder.commit(f"Work of {person}, {self._count}")
        except BaseException:
            builder.abort()
            raise
        return made

    @staticmethod
    def _breezy() -> Any:
        from byoci.host.repositories import _breezy

        return _breezy()


class _Files:
    """What bzr's commit builder wants to read a tree: files by their path, whose ids are made from it."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def changes(self, basis: Any) -> list[Any]:
        from breezy.bzr.inventorytree import InventoryTreeChange

        before = {
            path: basis.get_file_text(path) for path, entry in basis.iter_entries_by_dir() if entry.kind == "file"
        }
        after = {path: f"{text}\n".encode() for path, text in self._files.items()}
        root = ("", "") if basis.is_versioned("") else (None, "")
        changes = []
        if root[0] is None:
            folder = (None, "directory")
            changes.append(
                InventoryTreeChange(b"root", root, True, (False, True), (None, None), (None, ""), folder, (None, False))
            )
        for path in sorted({*before, *after}):
            if before.get(path) == after.get(path):
                continue
            there = (path in before, path in after)
            changes.append(
                InventoryTreeChange(
                    f"id-{path}".encode(),
                    tuple(path if is_there else None for is_there in there),
                    True,
                    there,
                    tuple(b"root" if is_there else None for is_there in there),
                    tuple(path if is_there else None for is_there in there),
                    tuple("file" if is_there else None for is_there in there),
                    tuple(False if is_there else None for is_there in there),
                )
            )
        return changes

    def get_file_with_stat(self, path: str) -> tuple[BytesIO, None]:
        return BytesIO(f"{self._files[path]}\n".encode()), None

    def path2id(self, path: str) -> bytes:
        return b"root" if not path else f"id-{path}".encode()

    def id2path(self, file_id: bytes) -> str:
        return file_id.decode().removeprefix("id-")
