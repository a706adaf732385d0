"""Facts about a git repository, from git itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from byoci import proc
from byoci.config.found import Found, Tree
from byoci.config.trunks import is_local, resolve_path
from byoci.errors import ProgramError, UsageError
from byoci.log import SecretFilter, printable
from byoci.model import Location

_USUAL: Final = ("main", "master", "trunk")
_HEADS: Final = "refs/heads/"
_MAX_FILE: Final = 256 * 1024
# Nothing that the repository or the person configured may run a program or reach the network. With that closed, the
# repository of another user can be looked at as well.
_CLOSED: Final = (
    "-c",
    "safe.directory=*",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "protocol.allow=never",
)


def is_repository(folder: Path) -> bool:
    """Whether git's own files are in `folder`, bare or not."""
    # os.path says False where Path would raise, as in a folder that may not be searched.
    git, head, objects = (os.path.join(folder, name) for name in (".git", "HEAD", "objects"))  # noqa: PTH118
    return os.path.exists(git) or (os.path.isfile(head) and os.path.isdir(objects))  # noqa: PTH110, PTH112, PTH113


def facts(folder: Path) -> Found:
    """The repository that `folder` is in. Raises `UsageError`, and `ProgramMissingError` where git is missing."""
    root = _root(folder)
    branches = tuple(ref.removeprefix(_HEADS) for ref in _lines(folder, "for-each-ref", "--format=%(refname)", _HEADS))
    head = _ask(folder, "symbolic-ref", "--quiet", "HEAD").removeprefix(_HEADS)
    if not branches:
        raise UsageError(
            "the repository has no commit yet",
            details=str(root),
            resolution="Make the first commit, then gate it.",
        )
    trunk, notes = _trunk(folder, branches, head)
    location = Location(str(root), trunk)
    current = Location(str(root), head) if head in branches else None

    def tree(branch: str) -> Tree:
        return _tree(folder, branch or trunk)

    notes = (*notes, *_remote_note(folder, trunk))
    return Found("git", location, current, branches, tree, _origin(folder, root), notes)


def _root(folder: Path) -> Path:
    """The main working tree's folder, also for a linked one; a bare repository's own folder."""
    common = _ask(folder, "rev-parse", "--path-format=absolute", "--git-common-dir", required=True)
    own = _ask(folder, "rev-parse", "--path-format=absolute", "--git-dir", required=True)
    if common != own:  # a linked working tree; the main one is listed first
        return Path(_lines(folder, "worktree", "list", "--porcelain")[0].removeprefix("worktree "))
    if _ask(folder, "rev-parse", "--is-bare-repository") == "true":
        return Path(common)
    return Path(_ask(folder, "rev-parse", "--show-toplevel") or Path(common).parent)


def _trunk(folder: Path, branches: tuple[str, ...], head: str) -> tuple[str, tuple[str, ...]]:
    """The branch to gate, and a note where the choice was no matter of course."""
    remote = _ask(folder, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD").removeprefix("refs/remotes/origin/")
    usual = [name for name in (remote, *_USUAL) if name in branches]
    if usual:
        others = [name for name in _USUAL if name in branches and name != usual[0]]
        note = f"The repository has {' and '.join(others)} too; {usual[0]} is gated." if others else ""
        return usual[0], (note,) if note else ()
    if len(branches) == 1:
        return branches[0], ()
    if head in branches:
        return head, (f"No branch is called {', '.join(_USUAL)}; {head}, which is checked out, is gated.",)
    raise UsageError(
        "which branch is the trunk?",
        details=f"The repository has {', '.join(printable(branch) for branch in branches[:20])}.",
        resolution="Name it: --trunk ';BRANCH'.",
    )


def _origin(folder: Path, root: Path) -> Location | None:
    url = _ask(folder, "config", "--get", "remote.origin.url")
    return Location(resolve_path(url, root, Path.home()) if is_local(url) else url) if url else None


def _remote_note(folder: Path, trunk: str) -> tuple[str, ...]:
    url = SecretFilter().clean(_ask(folder, "config", "--get", "remote.origin.url"))
    if not url:
        return ()
    return (f"The local branch {trunk} is gated, not its origin; to gate that: byoci init --trunk '{url};{trunk}'.",)


def _tree(folder: Path, branch: str) -> Tree:
    """The files at the root of the branch's newest commit, as they are stored."""
    files: dict[str, tuple[str, int, bool]] = {}
    folders = set()
    listing = _ask(folder, "ls-tree", "-z", "-l", "--full-tree", f"{_HEADS}{branch}")
    for entry in filter(None, listing.split("\0")):
        about, _, name = entry.partition("\t")
        mode, kind, blob, size = about.split()
        if kind == "tree":
            folders.add(name)
        elif mode in ("100644", "100755"):
            files[name] = (blob, int(size), mode == "100755")

    def read(name: str) -> str:
        blob, size, _ = files[name]
        return _ask(folder, "cat-file", "blob", blob) if size <= _MAX_FILE else ""

    return Tree({name: executable for name, (_, _, executable) in files.items()}, frozenset(folders), read)


def _lines(folder: Path, *arguments: str) -> list[str]:
    return _ask(folder, *arguments, required=True).splitlines()


def revision_named(folder: Path, name: str) -> str | None:
    """The commit that the repository of `folder` knows by `name`: a branch, a tag, HEAD~2."""
    if name.startswith("-"):
        return None
    return _ask(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") or None


def _ask(folder: Path, *arguments: str, required: bool = False) -> str:
    """What git answers, "" where it has no answer. Raises `UsageError` where `required` and there is none."""
    environment = proc.base_environment() | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    try:
        return proc.run(("git", *_CLOSED, *arguments), env=environment, cwd=folder, timeout=30).text
    except ProgramError as error:
        if not required:
            return ""
        raise UsageError("git cannot read the repository", details=printable(error.details)) from error
