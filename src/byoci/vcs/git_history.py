"""What trunk's own history tells: its landings, and which commit brought a revision in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.model import TrunkRevision
from byoci.vcs.trailers import landed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from byoci.model import LandedRevision
    from byoci.vcs.git_run import Git

# Commit, parents, the committer's address, the date and the message, each ended by a NUL, which none of them can hold.
_FORMAT: Final = "%H%x00%P%x00%ce%x00%ct%x00%B%x00"
_FIELDS: Final = 5

_CONTAINS = effects.declare(
    "git.contains", "`git merge-base` is asked whether a history holds a commit", half=effects.READ_ONLY
)
_BROUGHT = effects.declare(
    "git.brought", "`git rev-list` is asked which commit brought another in", half=effects.READ_ONLY
)
_LIST = effects.declare("git.landings", "`git rev-list` lists trunk's landings", half=effects.READ_ONLY)


@_CONTAINS
def contains(git: Git, tip: str, revision: str) -> bool:
    """Whether `revision` is a commit in the history of `tip`; False too where it is no commit at all."""
    return git.run(["merge-base", "--is-ancestor", revision, tip], ok=(0, 1, 128)).status == 0


def brought_in_by(git: Git, tip: str, revision: str) -> str | None:
    """The first-parent commit of `tip` by which its history came to hold `revision`; None where it does not hold it."""
    if revision == tip:
        return revision
    if not contains(git, tip, revision):
        return None
    with _BROUGHT:
        lines = git.run(["rev-list", "--parents", "--ancestry-path", f"{revision}..{tip}"]).text.split("\n")
    first_parent = {line.split()[0]: line.split()[1] for line in lines if line}
    commit = tip
    while first_parent.get(commit) in first_parent:
        commit = first_parent[commit]
    return revision if first_parent[commit] == revision else commit


def history(git: Git, tip: str) -> Iterator[TrunkRevision]:
    """The first-parent history of `tip`, newest first."""
    for line in git.run(["rev-list", "--first-parent", "--parents", "--end-of-options", tip]).text.splitlines():
        commit, *parents = line.split()
        yield TrunkRevision(commit, tuple(parents))


def landings(git: Git, tip: str, after: str | None, committer_email: str) -> Iterator[LandedRevision]:
    """The landings on the first-parent history of `tip`, newest first, without what `after` holds.

    One process whatever the history's length; git leaves out what cannot be a landing.
    """
    limits = [f"^{after}"] if after else []
    argv = [
        "rev-list", "--first-parent", "--min-parents=2", "--max-parents=2", "--fixed-strings",
        "--grep=Landing-Id: ", "--no-commit-header", f"--format={_FORMAT}", "--end-of-options", tip, *limits,
    ]  # fmt: skip
    with _LIST:
        process = git.start(argv)
    try:
        for commit, parents, email, at, message in _records(process):
            if email == committer_email and (found := landed(message, commit.strip(), parents.split()[1])):
                yield replace(found, approved_at=datetime.fromtimestamp(int(at), UTC))
    finally:
        proc.kill(process)


def _records(process: subprocess.Popen[bytes]) -> Iterator[list[str]]:
    assert process.stdout is not None
    fields: list[str] = []
    rest = b""
    while chunk := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe's reader has it
        *ended, rest = (rest + chunk).split(b"\0")
        fields += (field.decode("utf-8", "replace") for field in ended)
        while len(fields) >= _FIELDS:
            yield fields[:_FIELDS]
            del fields[:_FIELDS]
