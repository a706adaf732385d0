"""Merging in memory against `git merge --no-ff` in a working tree, on random histories."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from byoci import model
from byoci.model import AlreadyMerged, Conflict, Location, MergedHow, MergeMeta
from contract.vcs_playground_git import GitPlayground

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.git]

Files = dict[str, tuple[str, str]]  # path → mode, content
FOLDERS = ("", "lib/", "lib/deep/", "doc/", "moved/")
NAMES = [f"{folder}{name}" for folder in FOLDERS for name in ("a", "b", "c", "d")]


def text(chance: random.Random) -> str:
    return "".join(f"line {chance.randrange(40)}\n" for _ in range(chance.randrange(4, 30)))


def edit(chance: random.Random, content: str) -> str:
    """A person's edit: some lines replaced, some inserted, some deleted."""
    lines = content.splitlines(keepends=True) or ["\n"]
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(lines))
        lines[at : at + chance.randrange(3)] = [f"new {chance.randrange(9)}\n" for _ in range(chance.randrange(3))]
        lines = lines or ["\n"]
    return "".join(lines)


def put(files: Files, path: str, entry: tuple[str, str]) -> None:
    """Write a path, which takes the place of a file above it or of a folder below it."""
    for other in list(files):
        if path.startswith(f"{other}/") or other.startswith(f"{path}/"):
            del files[other]
    files[path] = entry


def change(chance: random.Random, before: Files) -> Files:
    files = dict(before)
    for _ in range(chance.randrange(1, 4)):
        path = chance.choice(sorted(files) or ["a"])
        mode, content = files.get(path, ("100644", ""))
        kind = chance.randrange(9)
        if kind <= 2 and mode != "120000":
            put(files, path, (mode, edit(chance, content)))
        elif kind == 3:
            put(files, chance.choice(NAMES), ("100644", text(chance)))
        elif kind == 4:
            files.pop(path, None)
        elif kind == 5:
            files.pop(path, None)
            put(files, f"{chance.choice(FOLDERS)}{chance.randrange(20)}", (mode, content))
        elif kind == 6 and mode != "120000":
            put(files, path, ("100755" if mode == "100644" else "100644", content))
        elif kind == 7:
            put(files, path, ("120000", chance.choice(["a", "lib/b", "../x"])))
        elif kind == 8:
            old = chance.choice(["lib", "doc", "lib/deep"])
            for inside in [name for name in files if name.startswith(f"{old}/")]:
                put(files, f"new-{old}{inside[len(old) :]}", files.pop(inside))
    return files


@dataclass
class History:
    """Commits as `git fast-import` takes them; a commit is known by its mark."""

    commands: list[str] = field(default_factory=list)
    trees: dict[int, Files] = field(default_factory=dict)

    def commit(self, files: Files, *parents: int) -> int:
        mark = len(self.trees) + 1
        self.trees[mark] = files
        said = f"commit refs/heads/all\nmark :{mark}\ncommitter A <a@example.com> {1_600_000_000 + mark} +0000\n"
        self.commands.append(f"{said}data 1\nx\n")
        self.commands += [f"{'merge' if number else 'from'} :{parent}\n" for number, parent in enumerate(parents)]
        if not parents:
            self.commands[-1] = f"reset refs/heads/all\n{self.commands[-1]}"
        self.commands.append("deleteall\n")
        for path, (mode, content) in files.items():
            self.commands.append(f"M {mode} inline {path}\ndata {len(content)}\n{content}\n")
        return mark

    def criss_cross(self, chance: random.Random) -> tuple[int, int]:
        """Two tips; half of the time each side has merged the other once, and resolved it in its own way."""
        base = self.commit({name: ("100644", text(chance)) for name in chance.sample(NAMES, 14)})
        ours = self.commit(change(chance, self.trees[base]), base)
        theirs = self.commit(change(chance, self.trees[base]), base)
        if chance.random() < 0.5:
            mixed = {**self.trees[theirs], **self.trees[ours]}
            clean: Files = {}
            for path in sorted(mixed):
                put(clean, path, mixed[path])
            ours, theirs = self.commit(change(chance, clean), ours, theirs), self.commit(clean, theirs, ours)
        for _ in range(chance.randrange(2)):
            ours = self.commit(change(chance, self.trees[ours]), ours)
        for _ in range(chance.randrange(3)):
            theirs = self.commit(change(chance, self.trees[theirs]), theirs)
        return ours, theirs


def by_hand(play: GitPlayground, work: Path, ours: str, theirs: str) -> str | None:
    """The tree of a person's merge, or None where it conflicts."""
    play.git(work, "checkout", "-q", "-f", "--detach", ours)
    play.git(work, "clean", "-q", "-f", "-d", "-x")
    merged = play.try_git(work, "merge", "-q", "--no-ff", "--no-edit", theirs)
    if merged.returncode:
        assert b"CONFLICT" in merged.stdout, merged
        play.git(work, "reset", "-q", "--hard")
        return None
    return play.git(work, "rev-parse", "HEAD^{tree}")


def compare(play: GitPlayground, tmp_path: Path, seed: int, cases: int) -> dict[str, int]:
    chance = random.Random(seed)
    history = History()
    pairs = [history.criss_cross(chance) for _ in range(cases)]
    last = history.commit({}, *range(1, len(history.trees) + 1))
    work = tmp_path / "work"
    play.git(tmp_path, "init", "-q", "-b", "main", str(work))
    play.git(work, "fast-import", "--quiet", "--export-marks=marks", stdin="".join(history.commands).encode())
    ids = dict(line.split(" ") for line in (work / "marks").read_text().splitlines())
    (work / "marks").unlink()
    vcs = play.vcs(tmp_path / "private")
    assert vcs.fetch(Location(str(work), "all")) == ids[f":{last}"]
    seen = dict.fromkeys(("clean", "conflict", "nothing"), 0)
    for ours, theirs in ((ids[f":{ours}"], ids[f":{theirs}"]) for ours, theirs in pairs):
        want = by_hand(play, work, ours, theirs)
        got = vcs.merge(ours, theirs, "x", about(theirs))
        if isinstance(got, Conflict):
            seen["conflict"] += 1
            assert want is None, (seed, ours, theirs)
            assert got.paths
        elif isinstance(got, AlreadyMerged):
            seen["nothing"] += 1
            assert want == play.git(work, "rev-parse", f"{ours}^{{tree}}"), (seed, ours, theirs)
            assert got.how is MergedHow.NO_CHANGES
        else:
            seen["clean"] += 1
            assert got.tree == want, (seed, ours, theirs)
    return seen


def about(revision: str) -> MergeMeta:
    return MergeMeta(
        "Bot", "bot@example.com", datetime(2026, 1, 2, tzinfo=UTC), "p", "1", model.landing_id("p", "1", revision)
    )


@pytest.mark.slow
def test_some_merges_are_git_merges(tmp_path: Path) -> None:
    seen = compare(GitPlayground(tmp_path / "play"), tmp_path, seed=1, cases=20)
    assert seen["clean"]
    assert seen["conflict"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_hundreds_of_merges_are_git_merges(tmp_path: Path, seed: int) -> None:
    seen = compare(GitPlayground(tmp_path / "play"), tmp_path, seed=seed, cases=100)
    assert seen["clean"] > 20
    assert seen["conflict"] > 20
