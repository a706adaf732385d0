"""A trunk in git, written by `git fast-import`, and landing on it by hand."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.histories.base import EMAIL, EVERY, NAME, START, TOPICS, Files, Repositories, folder_of, name_of, run
from byoci.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def write(folder: Path, commits: int) -> None:
    """Bare repositories: `trunk` with the branch `main` of so many commits, `people` with `topic-NUMBER` as well."""
    trunk, people = folder / "trunk", folder / "people"
    trunk.mkdir(parents=True)
    run(trunk, "git", "init", "--quiet", "--bare", "--initial-branch=main")
    files = Files()
    run(trunk, "git", "fast-import", "--quiet", stdin=b"".join(_trunk(files, commits)))
    shutil.copytree(trunk, people)
    run(people, "git", "fast-import", "--quiet", stdin=b"".join(_topics(files, commits)))


def _trunk(files: Files, commits: int) -> Iterator[bytes]:
    for number in range(commits):
        yield from _commit("main", START + number * EVERY, files.commit(number))


def _topics(files: Files, commits: int) -> Iterator[bytes]:
    for number in range(TOPICS):
        yield b"reset refs/heads/topic-%d\nfrom refs/heads/main\n\n" % number
        yield from _commit(f"topic-{number}", START + commits * EVERY, files.topic(number))


def _commit(branch: str, at: int, changed: Mapping[int, list[bytes]]) -> Iterator[bytes]:
    yield f"commit refs/heads/{branch}\ncommitter {NAME} <{EMAIL}> {at} +0000\ndata 8\na commit\n".encode()
    for file, lines in changed.items():
        text = b"".join(lines)
        yield f"M 100644 inline {folder_of(file)}/{name_of(file)}\ndata {len(text)}\n".encode() + text


def make(template: Path, folder: Path) -> Repositories:
    """Trunks and topics, copied from what `write` wrote."""
    for name, origin in (("trunk", "trunk"), ("trunk-by-hand", "trunk"), ("hand", "trunk"), ("people", "people")):
        shutil.copytree(template / origin, folder / name)
    told = run(folder / "people", "git", "for-each-ref", "--format=%(refname:short) %(objectname)")
    tips = dict(line.split() for line in told.split("\n"))
    topics = [(Location(str(folder / "people"), name), tips[name]) for name in map("topic-{}".format, range(TOPICS))]
    trunk, by_hand = (Location(str(folder / name), "main") for name in ("trunk", "trunk-by-hand"))
    return Repositories(trunk, topics, by_hand, _ByHand(folder, tips))


class _ByHand:
    """The bare sequence: fetch, merge-tree, commit-tree, push."""

    def __init__(self, folder: Path, tips: Mapping[str, str]) -> None:
        self._folder = folder
        self._tips = tips
        self._trunk = tips["main"]

    def __call__(self, number: int) -> None:
        topic = f"topic-{number}"
        self._git("fetch", "--quiet", str(self._folder / "people"), topic)
        tree = self._git("merge-tree", "--write-tree", self._trunk, self._tips[topic])
        parents = ("-p", self._trunk, "-p", self._tips[topic])
        commit = self._git("commit-tree", *parents, "-m", f"Merge {topic}", tree)
        self._git("push", "--quiet", str(self._folder / "trunk-by-hand"), f"{commit}:refs/heads/main")
        self._trunk = commit

    def _git(self, *arguments: str) -> str:
        return run(self._folder / "hand", "git", *arguments)
