"""Merging with git in memory: no index, no working tree, nobody's configuration; the same input, the same commit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import ByociError, ProgramError, ProgramTimeoutError, RejectedError, RevisionGoneError
from byoci.log import printable
from byoci.model import AlreadyMerged, Candidate, Conflict, MergedHow, MergeMeta
from byoci.vcs.git_history import brought_in_by
from byoci.vcs.git_run import said
from byoci.vcs.trailers import with_trailers

if TYPE_CHECKING:
    from byoci.proc import Result
    from byoci.vcs.git_objects import Objects
    from byoci.vcs.git_run import Git

_SECONDS: Final = 300.0  # for one merge; git gives up on finding renames long before
_UNUSED: Final = "Objects that nothing refers to; the merge is made again."
_MERGE = effects.declare("git.merge", "a merge's tree, as objects of the private repository", half=_UNUSED)
_COMMIT = effects.declare("git.commit", "the candidate's commit, as an object of the private repository", half=_UNUSED)
_NOBODY: Final = MergeMeta("byoci", "byoci@localhost", datetime.fromtimestamp(0, UTC), "", "", "")


def merge(
    git: Git, objects: Objects, base: str, revision: str, message: str, meta: MergeMeta
) -> Candidate | Conflict | AlreadyMerged:
    """See `Vcs.merge`. Both revisions are commits that the private repository holds."""
    *commits, base_tree = objects.identify([f"{base}^{{commit}}", f"{revision}^{{commit}}", f"{base}^{{tree}}"])
    if commits != [base, revision]:
        raise RevisionGoneError(f"{base} or {revision} is a tag and not a commit")
    merged = merge_trees(git, base, revision)
    if isinstance(merged, Conflict):
        return merged
    if merged == base_tree:
        return _nothing_to_land(git, objects, base, revision)
    text = with_trailers(message, meta)
    commit = commit_tree(git, merged, (base, revision), text, meta)
    return Candidate("git", commit, merged, base, revision, meta.landing_id, text, git.tool)


def merge_trees(git: Git, ours: str, theirs: str) -> str | Conflict:
    """The tree of a merge of two commits, or where they conflict."""
    argv = ["merge-tree", "--write-tree", "-z", "--name-only", ours, theirs]
    try:
        with _MERGE:
            result = git.run_on_strangers(argv, timeout=_SECONDS)
    except ProgramTimeoutError as error:
        raise RejectedError(f"{theirs} cannot be merged within {_SECONDS:g} seconds") from error
    if result.status not in (0, 1):
        raise _not_merged(ours, theirs, result)
    tree, _, rest = result.stdout.partition(b"\0")
    if result.status == 0:
        return tree.decode()
    # A conflict about a renamed folder may leave no path in conflict; then those of its message are told.
    paths, _, messages = (b"\0" + rest).partition(b"\0\0")
    told, sentences = _conflicts(messages)
    unmerged = [_text(path) for path in paths.split(b"\0") if path]
    return Conflict(ours, theirs, tuple(unmerged or dict.fromkeys(told)), "\n".join(sentences))


def _not_merged(ours: str, theirs: str, result: Result) -> ByociError:
    stderr = result.stderr.decode("utf-8", "replace")
    if "unrelated histories" in stderr:
        return RejectedError(
            f"{theirs} shares no history with {ours}",
            resolution="Propose a branch that was made from the target.",
        )
    if "Out of memory" in stderr:
        return RejectedError(f"{theirs} holds more than can be merged", details=said(stderr))
    return ProgramError(("git merge-tree",), result.status, said(stderr))


def _text(raw: bytes) -> str:
    return printable(raw.decode("utf-8", "replace"))


def _conflicts(messages: bytes) -> tuple[list[str], list[str]]:
    """Paths and sentences of the conflicts: records of a count, that many paths, a kind and a sentence, NUL-ended."""
    fields = messages.split(b"\0")
    paths, sentences = [], []
    at = 0
    while at < len(fields) and fields[at].isdigit():
        end = at + 1 + int(fields[at])
        if fields[end].startswith(b"CONFLICT"):
            paths += [_text(path) for path in fields[at + 1 : end]]
            sentences.append(_text(fields[end + 1].strip()))
        at = end + 2
    return paths, sentences


@_COMMIT
def commit_tree(git: Git, tree: str, parents: tuple[str, ...], message: str, meta: MergeMeta) -> str:
    """Store a commit whose id follows from the arguments alone."""
    at = meta.at if meta.at.tzinfo else meta.at.replace(tzinfo=UTC)
    who = {
        "NAME": meta.committer_name,
        "EMAIL": meta.committer_email,
        "DATE": f"@{int(at.timestamp())} +0000",
    }
    env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
    options = [option for parent in parents for option in ("-p", parent)]
    return git.run(["commit-tree", "--no-gpg-sign", *options, "-F", "-", tree], stdin=message.encode(), env=env).text


def _nothing_to_land(git: Git, objects: Objects, base: str, revision: str) -> AlreadyMerged:
    by = brought_in_by(git, base, revision)
    if by is None:
        return AlreadyMerged(base, revision, MergedHow.NO_CHANGES)
    how = MergedHow.REVERTED if _taken_out(git, objects, base, by) else MergedHow.BY_OTHERS
    return AlreadyMerged(base, revision, how, by)


def _taken_out(git: Git, objects: Objects, base: str, by: str) -> bool:
    """Whether what the first-parent commit `by` changed is gone from `base`: taking it out again changes nothing.

    Asked of a merge of three trees, told by commits that nothing else refers to (git 2.38 takes no merge base).
    """
    before, after, now = objects.identify([f"{by}^1^{{tree}}", f"{by}^{{tree}}", f"{base}^{{tree}}"], missing_ok=True)
    if not (before and after and now) or after in (before, now):
        return False
    brought = commit_tree(git, after, (), "brought\n", _NOBODY)
    without = commit_tree(git, before, (brought,), "taken out\n", _NOBODY)
    since = commit_tree(git, now, (brought,), "since\n", _NOBODY)
    return merge_trees(git, since, without) == now
