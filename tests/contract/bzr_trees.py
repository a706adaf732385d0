"""Random bzr histories: two branches of one tree that were edited, renamed, swapped, deleted and criss-crossed at will.

Everything is made through breezy's working trees, as `brz` itself makes it; a seed always gives the same shapes.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breezy import errors as bzr_errors
from breezy.controldir import ControlDir, format_registry

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = "abcdefgh"  # few, so that both sides often mean the same place
_TARGETS = ("nowhere", "../outside", "/etc/hostname")  # none of them is a name, so that no link leads to itself


class Shaper:
    """Changes one working tree at random."""

    def __init__(self, rnd: random.Random, tree: Any) -> None:
        self._rnd = rnd
        self._tree = tree
        self._root = Path(tree.basedir)

    def change(self, times: int) -> None:
        """Make so many random changes; some of them come to nothing."""
        ways: list[Callable[[], None]] = [
            self._edit, self._edit, self._add_file, self._add_file, self._add_folder, self._add_link, self._rename,
            self._rename, self._swap, self._delete, self._make_executable, self._aim_elsewhere, self._become_link,
            self._replace,
        ]  # fmt: skip
        with self._tree.lock_write():
            for _ in range(times):
                self._rnd.choice(ways)()

    def _paths(self, *kinds: str) -> list[str]:
        entries = self._tree.iter_entries_by_dir()
        return [path for path, entry in entries if path and (not kinds or self._tree.kind(path) in kinds)]

    def _some(self, *kinds: str) -> str | None:
        paths = self._paths(*kinds)
        return self._rnd.choice(paths) if paths else None

    def _new_place(self) -> str | None:
        folder = self._rnd.choice(["", *self._paths("directory")])
        path = f"{folder}/{self._rnd.choice(_NAMES)}".lstrip("/")
        taken = (self._root / path).exists() or (self._root / path).is_symlink()
        return None if taken else path

    def _know(self, path: str, kind: str) -> None:
        """Version a new path; often under an id that the other side would choose too."""
        wanted = f"same-{path.replace('/', '-')}-{kind}".encode()
        taken = self._rnd.random() < 0.5 or wanted in set(self._tree.all_file_ids())
        self._tree.add([path], ids=None if taken else [wanted])

    def _edit(self) -> None:
        if path := self._some("file"):
            lines = (self._root / path).read_text().splitlines(keepends=True) or ["x\n"]
            lines[self._rnd.randrange(len(lines))] = f"edited {self._rnd.randrange(3)}\n"
            (self._root / path).write_text("".join(lines))

    def _add_file(self) -> None:
        if path := self._new_place():
            (self._root / path).write_text("".join(f"line {i}\n" for i in range(self._rnd.randrange(8))))
            self._know(path, "file")

    def _add_folder(self) -> None:
        if path := self._new_place():
            (self._root / path).mkdir()
            self._know(path, "folder")

    def _add_link(self) -> None:
        if path := self._new_place():
            (self._root / path).symlink_to(self._rnd.choice(_TARGETS))
            self._know(path, "link")

    def _rename(self) -> None:
        old, new = self._some(), self._new_place()
        if old and new and not f"{new}/".startswith(f"{old}/"):
            self._tree.rename_one(old, new)

    def _swap(self) -> None:
        one, other = self._some(), self._some()
        if one and other and not f"{one}/".startswith(f"{other}/") and not f"{other}/".startswith(f"{one}/"):
            self._tree.rename_one(one, "between")
            self._tree.rename_one(other, one)
            self._tree.rename_one("between", other)

    def _delete(self) -> None:
        if path := self._some():
            self._tree.remove([path], keep_files=False, force=True)

    def _make_executable(self) -> None:
        if path := self._some("file"):
            (self._root / path).chmod(self._rnd.choice((0o755, 0o644)))

    def _aim_elsewhere(self) -> None:
        if path := self._some("symlink"):
            (self._root / path).unlink()
            (self._root / path).symlink_to(self._rnd.choice(_TARGETS))

    def _become_link(self) -> None:
        if path := self._some("file"):
            (self._root / path).unlink()
            (self._root / path).symlink_to(self._rnd.choice(_TARGETS))

    def _replace(self) -> None:
        """The same name, but another file in bzr's eyes."""
        if path := self._some("file"):
            self._tree.remove([path], keep_files=False, force=True)
            (self._root / path).write_text("replaced\n")
            self._tree.add([path])


def commit(tree: Any, message: str = "change", revision: bytes | None = None) -> bytes:
    """Commit a working tree as somebody."""
    made: bytes = tree.commit(message, committer="Ann <ann@example.com>", allow_pointless=True, rev_id=revision)
    return made


def two_branches(seed: int, root: Path) -> tuple[Any, Any] | None:
    """Working trees of a trunk and of a feature below `root`; None where this seed's criss-cross conflicts already."""
    rnd = random.Random(seed)
    trunk = ControlDir.create_standalone_workingtree(str(root / "trunk"), format=format_registry.make_controldir("2a"))
    Shaper(rnd, trunk).change(rnd.randrange(4, 14))
    commit(trunk)
    feature = trunk.branch.controldir.sprout(str(root / "feature")).open_workingtree()
    for tree in (trunk, feature):
        for _ in range(rnd.randrange(1, 3)):
            Shaper(rnd, tree).change(rnd.randrange(1, 4))
            commit(tree)
    if rnd.random() < 0.3 and not _criss_cross(rnd, trunk, feature):
        return None
    return trunk, feature


def _criss_cross(rnd: random.Random, one: Any, other: Any) -> bool:
    """Merge each into the other, as both were before, and go on on both sides."""
    before = one.last_revision()
    try:
        if one.merge_from_branch(other.branch) or other.merge_from_branch(one.branch, to_revision=before):
            return False
    except bzr_errors.BzrError:
        return False
    for tree in (one, other):
        commit(tree, "criss-cross")
        Shaper(rnd, tree).change(rnd.randrange(1, 3))
        commit(tree)
    return True
