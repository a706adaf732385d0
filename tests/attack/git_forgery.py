"""Objects that no honest git makes, written into a repository byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from byoci.model import Location
    from contract.vcs_playground_git import GitPlayground


def store(play: GitPlayground, where: Location, kind: str, raw: bytes) -> str:
    """Store an object whatever it is; returns its id."""
    return play.git(Path(where.url), "hash-object", "-w", "-t", kind, "--literally", "--stdin", stdin=raw)


def tree(play: GitPlayground, where: Location, *entries: tuple[str, bytes, str]) -> str:
    """Store a tree with exactly these (mode, name, id), in this order; returns its id."""
    raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(ident) for mode, name, ident in entries)
    return store(play, where, "tree", raw)


def commit(play: GitPlayground, where: Location, tree_id: str, *parents: str, message: str = "Innocent\n") -> str:
    """Store a commit and make it the branch's tip; returns its id."""
    lines = [f"tree {tree_id}", *(f"parent {parent}" for parent in parents)]
    lines += [f"{role} Mal <mal@example.com> 1600000000 +0000" for role in ("author", "committer")]
    made = store(play, where, "commit", "\n".join([*lines, "", message]).encode())
    play.git(Path(where.url), "update-ref", f"refs/heads/{where.branch}", made)
    return made
