"""The secrets folder as a working copy of a private branch: what other machines of the site have comes before anything
is made, and what was made goes there afterwards.

The branch is of one namespace alone, whose name is in its file `namespace`, and none of the definition's. Nobody but
byoci's user can reach the folder. What people changed there they commit themselves: nothing is done before they did.
What byoci itself made is committed by the next run, where one was killed before it could.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.config.trunks import canonical, is_local
from byoci.durable import locked
from byoci.errors import ProgramError, UsageError
from byoci.host.repositories import appearing
from byoci.model import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NAMESPACE: Final = "namespace"
"""The file that tells whose branch it is."""
VCS_FOLDERS: Final = (".git", ".bzr")
_SECONDS: Final = 600.0
_NAME: Final = "byoci <byoci@localhost>"
# What byoci makes there, and nobody else.
_OWN: Final = re.compile(
    r"namespace|site|(landing|administration)_ed25519(\.older)?(\.pub)?"
    r"|controller/(controller_ed25519(\.pub)?|webhook(\.older(\.expires)?)?)"
    r"|notify/(?![^/]*\.url$)[^/]+"
    r"|agents/[^/]+/(host_ed25519(\.pub)?|placed\.json|workers\.pub)"
)


@contextlib.contextmanager
def synchronized(folder: Path, branch: Location, vcs: str, namespace: str, definition: Path) -> Iterator[None]:
    """Have the folder as the branch is, then have the branch as the folder is.

    definition  the folder of the site's configuration

    Raises `UsageError` for a branch that may not be it, for a folder that is something else, and for changes of people;
    `ProgramError` where the branch cannot be reached.
    """
    refuse_definition(branch, definition)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    twin = _BRANCHES[vcs](folder, branch)
    with locked(folder.parent):
        if not folder.exists():
            with appearing(folder) as draft:
                _BRANCHES[vcs](draft, branch).begin()
                _check(draft, branch, namespace)
        elif not twin.is_there():
            _adopt(twin, folder, branch)
        try:
            _refuse_changes(twin, branch)
            twin.take()
            _check(folder, branch, namespace)
            _make_private(folder)
            yield
            twin.give([path for path in twin.changed() if _OWN.fullmatch(path)])
        finally:
            _make_private(folder)


def refuse_definition(branch: Location, definition: Path) -> None:
    """Raises `UsageError` for a branch in a repository that holds the definition, or from which that comes."""
    wanted = _comparable(branch.url)
    places = {_comparable(url) for url in _places_of(definition)}
    inside = is_local(wanted) and (definition.resolve() / "x").is_relative_to(wanted)
    if inside or wanted in places:
        raise UsageError(
            "the secrets' branch is in the definition's repository",
            details=f"secrets.branch is {branch}",
            resolution="Everybody who may read the definition could read them: make a private repository of their own.",
        )


def _comparable(url: str) -> str:
    return canonical(Location(url)).url.rstrip("/").removesuffix(".git").removesuffix("/")


def _places_of(definition: Path) -> Iterator[str]:
    """The repository that a folder is in, and the branches that it knows."""
    for place in (definition, *definition.parents):
        if (place / ".git").exists():
            yield str(place)
            told = _git_run(place, "config", "--get-regexp", r"^remote\..*\.(push)?url$", ok=(0, 1))
            yield from (line.partition(" ")[2] for line in told.splitlines())
            return
        if (place / ".bzr").exists():
            yield str(place)
            with contextlib.suppress(OSError):
                lines = (place / ".bzr/branch/branch.conf").read_text(encoding="utf-8").splitlines()
                yield from (value.strip() for key, _, value in (line.partition("=") for line in lines) if value)
            return


def _check(folder: Path, branch: Location, namespace: str) -> None:
    """Raises `UsageError` where the branch is the definition, or another namespace's."""
    if (folder / "byoci.toml").exists():
        raise UsageError("the secrets' branch holds a definition", details=f"There is byoci.toml in {branch}.")
    place = folder / NAMESPACE
    if not place.exists():
        place.write_text(f"{namespace}\n", encoding="utf-8")
    told = place.read_text(encoding="utf-8", errors="replace").strip()
    if told != namespace:
        raise UsageError(
            f"the secrets' branch is that of the namespace {told[:50]!a}",
            details=f"secrets.branch is {branch}; this is {namespace}.",
            resolution="Namespaces share no secrets: give each a branch of its own, [namespace.NAME.secrets].",
        )


def _adopt(twin: Branch, folder: Path, branch: Location) -> None:
    """Make a folder of secrets that were made before a working copy of a branch that is empty."""
    twin.begin()
    if twin.has_revisions():
        for name in VCS_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        raise UsageError(
            f"{folder} is no working copy of the secrets' branch",
            details=f"There are secrets in both of them; secrets.branch is {branch}.",
            resolution=f"Move {folder} away, run this again, and copy back what you miss.",
        )


def _refuse_changes(twin: Branch, branch: Location) -> None:
    found = twin.origin()
    if found is not None and _comparable(found) != _comparable(branch.url):
        raise UsageError(
            f"{twin.folder} is a working copy of another branch", details=f"Of {found}; secrets.branch is {branch}."
        )
    others = [path for path in twin.changed() if not _OWN.fullmatch(path)]
    if others and twin.has_revisions():
        raise UsageError(
            f"{twin.folder} has changes that are not committed",
            details="\n".join(others[:20]),
            resolution="Commit them, or undo them; byoci commits only what it makes itself.",
        )
    if others:  # what there was before there was a branch is its beginning
        twin.commit(others)


def _make_private(folder: Path) -> None:
    """For byoci's user alone, whatever the version control made of it."""
    for root, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            place = os.path.join(root, name)  # noqa: PTH118 - many
            if not os.path.islink(place):  # noqa: PTH114
                mode = os.stat(place).st_mode & 0o7777  # noqa: PTH116
                if mode & 0o077:
                    os.chmod(place, mode & 0o700)  # noqa: PTH101


class Branch(ABC):
    """A branch and the folder that is a working copy of it, or is to be one.

    Errors: `ProgramError` with the program's own words.
    """

    def __init__(self, folder: Path, branch: Location) -> None:
        self.folder = folder
        self.branch = branch

    @abstractmethod
    def begin(self) -> None:
        """Make it a working copy, with what the branch has; a branch that is empty, or not there, is begun."""

    @abstractmethod
    def is_there(self) -> bool:
        """Whether it is a working copy."""

    @abstractmethod
    def has_revisions(self) -> bool:
        """Whether anything was ever committed."""

    @abstractmethod
    def origin(self) -> str | None:
        """Of which branch it is one; None where that is not told."""

    @abstractmethod
    def changed(self) -> list[str]:
        """What differs from what was committed; drafts, whose names begin with a dot, are nobody's."""

    @abstractmethod
    def commit(self, paths: Sequence[str]) -> None:
        """Commit these."""

    @abstractmethod
    def take(self) -> None:
        """Take over what is new in the branch. Raises `UsageError` where both have something new."""

    @abstractmethod
    def publish(self) -> None:
        """Have the branch as the folder is."""

    def give(self, paths: Sequence[str]) -> None:
        """Commit these, and have the branch as the folder is."""
        if paths:
            self.commit(paths)
        self.publish()

    def _diverged(self, details: str = "") -> UsageError:
        return UsageError(
            f"{self.folder} and its branch have both changed",
            details=details,
            resolution="Somebody changed secrets elsewhere meanwhile: merge and commit by hand, then run this again.",
        )


def _seen(path: str) -> bool:
    return bool(path) and not any(part.startswith(".") for part in path.split("/"))


def _git_run(folder: Path, *arguments: str, ok: Sequence[int] = (0,)) -> str:
    ssh = ["ssh", "-o", "BatchMode=yes"]
    if (folder / "ssh_config").exists():
        ssh += ["-F", str(folder / "ssh_config")]
    environment = proc.base_environment() | {
        **{name: os.environ[name] for name in ("HOME", "SSH_AUTH_SOCK") if name in os.environ},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": shlex.join(ssh),
        **{f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in (("NAME", "byoci"),)},
        **{f"GIT_{who}_EMAIL": "byoci@localhost" for who in ("AUTHOR", "COMMITTER")},
    }
    pinned = ("-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", "-c", "gc.auto=0")
    return proc.run(("git", *pinned, *arguments), env=environment, cwd=folder, timeout=_SECONDS, ok=ok).text


class GitTwin(Branch):
    """A branch of a git repository."""

    @property
    def _name(self) -> str:
        return self.branch.branch or "main"

    @property
    def _theirs(self) -> str:
        return f"refs/remotes/origin/{self._name}"

    def _git(self, *arguments: str, ok: Sequence[int] = (0,)) -> str:
        return _git_run(self.folder, *arguments, ok=ok)

    def begin(self) -> None:
        """See `Branch`."""
        self._git("init", "--quiet", f"--initial-branch={self._name}")
        self._git("config", "core.sharedRepository", "0600")
        self._git("config", "remote.origin.url", self.branch.url)
        self._fetch()
        if self._id(self._theirs) and not any(_seen(path.name) for path in self.folder.iterdir()):
            self._git("checkout", "--quiet", "-B", self._name, self._theirs)

    def is_there(self) -> bool:
        """See `Branch`."""
        return (self.folder / ".git").exists()

    def has_revisions(self) -> bool:
        """See `Branch`."""
        return bool(self._id("HEAD") or self._id(self._theirs))

    def origin(self) -> str | None:
        """See `Branch`."""
        return self._git("config", "--get", "remote.origin.url", ok=(0, 1)).strip() or None

    def changed(self) -> list[str]:
        """See `Branch`."""
        told = self._git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        return [entry[3:] for entry in told.split("\0") if _seen(entry[3:])]

    def commit(self, paths: Sequence[str]) -> None:
        """See `Branch`."""
        self._git("add", "--all", "--", *paths)
        self._git("commit", "--quiet", "--message", "Secrets as byoci keeps them", "--", *paths)

    def take(self) -> None:
        """See `Branch`."""
        self._fetch()
        theirs, ours = self._id(self._theirs), self._id("HEAD")
        if theirs and theirs != ours:
            base = self._git("merge-base", "HEAD", theirs, ok=(0, 1, 128)).strip() if ours else ""
            if ours and base not in (theirs, ours):
                raise self._diverged()
            if base != theirs:
                self._git("merge", "--quiet", "--ff-only", theirs)

    def publish(self) -> None:
        """See `Branch`."""
        if self._id("HEAD") and self._id("HEAD") != self._id(self._theirs):
            self._git("push", "--quiet", "origin", f"HEAD:refs/heads/{self._name}")
            self._fetch()

    def _fetch(self) -> None:
        if self._git("ls-remote", "origin", f"refs/heads/{self._name}").strip():
            self._git("fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{self._name}:{self._theirs}")

    def _id(self, name: str) -> str:
        return self._git("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}", ok=(0, 1, 128)).strip()


class BzrTwin(Branch):
    """A bzr branch."""

    def _brz(self, *arguments: str, ok: Sequence[int] = (0,)) -> str:
        given = {name: os.environ[name] for name in ("HOME", "SSH_AUTH_SOCK") if name in os.environ}
        argv = (sys.executable, "-I", "-m", "breezy", "--no-plugins", "--no-aliases", *arguments)
        with tempfile.TemporaryDirectory(prefix="byoci-bzr-") as home:
            own = {"BRZ_EMAIL": _NAME, "BRZ_HOME": home, "BRZ_LOG": os.devnull}
            environment = proc.base_environment() | given | own
            return proc.run(argv, env=environment, cwd=self.folder, timeout=_SECONDS, ok=ok).text

    def begin(self) -> None:
        """See `Branch`."""
        self._brz("init", "--quiet", "--format=2a", ".")
        if self._is_begun() and not any(_seen(path.name) for path in self.folder.iterdir()):
            self._brz("pull", "--quiet", "--remember", self.branch.url)

    def is_there(self) -> bool:
        """See `Branch`."""
        return (self.folder / ".bzr").exists()

    def has_revisions(self) -> bool:
        """See `Branch`."""
        return self._brz("revno").strip() != "0" or self._is_begun()

    def origin(self) -> str | None:
        """See `Branch`."""
        for name in ("push_location", "parent_location"):
            told = self._brz("config", name, ok=(0, 3)).strip()
            if told:
                return str(self.folder / told) if is_local(told) else told  # it may be relative
        return None

    def changed(self) -> list[str]:
        """See `Branch`."""
        known = set(self._brz("ls", "--recursive", "--versioned", "--kind=file", "--null").split("\0"))
        there = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir()}
        status = self._brz("status", "--short", "--versioned").splitlines()
        changed = {line[4:].partition(" => ")[0].rstrip("*@") for line in status}
        return sorted(path for path in (there - known) | changed if _seen(path) and not path.endswith("/"))

    def commit(self, paths: Sequence[str]) -> None:
        """See `Branch`."""
        there = [path for path in paths if (self.folder / path).exists()]
        if there:
            self._brz("add", "--quiet", "--no-recurse", *there)
        self._brz("commit", "--quiet", "--message", "Secrets as byoci keeps them", *paths)

    def take(self) -> None:
        """See `Branch`."""
        if not self._is_begun():
            return
        told = self._brz("missing", "--quiet", "--theirs-only", "--line", self.branch.url, ok=(0, 1))
        if told.strip():
            try:
                self._brz("pull", "--quiet", "--remember", self.branch.url)
            except ProgramError as error:
                raise self._diverged(error.details) from error

    def publish(self) -> None:
        """See `Branch`."""
        if self._brz("revno").strip() != "0":
            self._brz("push", "--quiet", "--remember", "--use-existing-dir", "--create-prefix", self.branch.url)

    def _is_begun(self) -> bool:
        """Whether there is a branch with anything in it; what cannot be reached is an error when it is pushed to."""
        try:
            return self._brz("revno", self.branch.url).strip() != "0"
        except ProgramError as error:
            if "Not a branch" in error.details or "No such file" in error.details:
                return False
            raise


_BRANCHES: Final = {"git": GitTwin, "bzr": BzrTwin}
