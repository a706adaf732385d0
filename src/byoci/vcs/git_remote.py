"""Reading other repositories with git: their tips, and what is taken from them into the private one, checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import RejectedError, RevisionGoneError, UnreachableError
from byoci.vcs.git_local import read_tip
from byoci.vcs.git_run import ASK_SECONDS, STRANGERS, exempt_from_checks, said, unreachable
from byoci.vcs.scratch import in_use, scratch, write

if TYPE_CHECKING:
    from byoci.proc import Result
    from byoci.vcs.git_run import Git
    from byoci.vcs.urls import Url

_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FSCK: Final = re.compile(r"^error: object ([0-9a-f]{40,64}): (\w+): (.*)$", re.MULTILINE)
_BAD_REF: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[/.]$|^[-./]|^@$")
_EXEMPTIONS: Final = 50  # how many old objects of trunk one fetch may bring again and have exempted, one a try

_PACKS: Final = "Git keeps a pack when all of it was checked, then moves the ref; it is fetched again."
_ASK = effects.declare("git.ask", "`git ls-remote` asks for a branch's tip", half=effects.READ_ONLY)
_OFFERS = effects.declare("git.offers", "`git ls-remote` asks for all that a server has", half=effects.READ_ONLY)
_FETCH_TRUNK = effects.declare(
    "git.fetch-trunk", "trunk's new commits, in the private repository", half=_PACKS, done="They are there."
)
_FETCH_SOURCE = effects.declare(
    "git.fetch-source",
    "a proposal's new commits, checked, in the private repository",
    half=_PACKS,
    done="They are there.",
)
_CHECK_PACK = effects.declare("git.check-pack", "`git index-pack` checks what came over http, apart")
_TAKE_PACKS = effects.declare(
    "git.take-packs",
    "what was checked goes to the private repository",
    half="Whole packs stay; it is fetched again.",
    done="They are there.",
)
_TIDY = effects.declare("git.tidy", "what a failed fetch left is removed", half="The rest is removed.")
_EXEMPT = effects.declare("git.exempt", "an old object of trunk is exempt from checks", done="It is exempt.")
_NOTE_TIP = effects.declare(
    "git.note-tip",
    "where trunk is, as a ref of the private repository",
    half="Trunk is asked, and fetched.",
    done="Nothing needs to be fetched.",
)


@dataclass(frozen=True, slots=True)
class Tip:
    """A branch as its server told it: its newest revision, and its full name ("" for a HEAD that names none)."""

    revision: str
    ref: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A place, the ref that is read there, and the ref of the private repository that remembers it."""

    place: Url
    ref: str
    private_ref: str

    @classmethod
    def of(cls, place: Url, name: str | None, *, trusted: bool) -> Branch:
        """The branch `name` (default: the remote's own default) at `place`."""
        digest = hashlib.sha256(f"{place.text}\0{name or ''}".encode("utf-8", "surrogateescape")).hexdigest()
        kind = "trunk" if trusted else "source"
        return cls(place, full_ref(name) if name else "HEAD", f"refs/byoci/{kind}/{digest[:40]}")


def is_id(text: str) -> bool:
    """Whether a text is a whole object id: no option, no expression, not the zeros that stand for no object."""
    return _ID.fullmatch(text) is not None and text.strip("0") != ""


def full_ref(branch: str) -> str:
    """A branch's full name by the rules of git-check-ref-format; `RejectedError` for what is none.

    A name that starts with refs/ is taken as it is, so that `refs/merge-requests/1/head` can be a source.
    """
    if not branch or _BAD_REF.search(branch):
        raise RejectedError(f"{branch!r} is not the name of a branch", resolution="See git check-ref-format.")
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def address(place: Url, program: str = "upload-pack") -> list[str]:
    """What to tell git instead of a URL.

    A path gets a "/." so that it can only be a folder: git takes a file for a bundle and does not check its objects.
    git refuses to read another user's repository unless told that this one is meant; its `upload-pack` runs nothing
    that a repository's configuration names, in every version that asks.
    """
    if place.path is None:
        return [place.text]
    return [f"--{program}=git -c safe.directory=* {program}", f"{place.text}/."]


def look(branch: Branch) -> Tip | None:
    """The tip of a branch on this machine, where it can be seen without starting a program."""
    found = branch.place.path and read_tip(branch.place.path, branch.ref)
    return Tip(*found) if found else None


def ask(git: Git, branch: Branch) -> Tip:
    """The branch's tip now; `UnreachableError` where there is none."""
    if seen := look(branch):
        return seen
    asked = ["ls-remote", "--symref", *address(branch.place), branch.ref]
    with _ASK:
        result = git.run_remote(branch.place, asked, timeout=ASK_SECONDS, limits=STRANGERS)
    if result.status != 0:
        raise unreachable(branch.place, result.stderr.decode("utf-8", "replace"))
    symref, revision = "", ""
    for line in result.text.split("\n"):
        value, _, name = line.partition("\t")
        if name == branch.ref and value.startswith("ref: "):
            symref = value.removeprefix("ref: ")
        elif name == branch.ref and is_id(value):
            revision = value
    if not revision:
        raise no_such_branch(branch)
    return Tip(revision, symref or ("" if branch.ref == "HEAD" else branch.ref))


def no_such_branch(branch: Branch) -> UnreachableError:
    """That a branch is missing or that nobody has committed to it."""
    if branch.ref == "HEAD":
        return UnreachableError(
            f"{branch.place} has no commit on its default branch",
            details="Its HEAD names a branch that does not exist.",
            resolution="Push a first commit, or name the branch: URL;BRANCH.",
        )
    return UnreachableError(
        f"{branch.place} has no branch {branch.ref.removeprefix('refs/heads/')}",
        resolution="Check the branch's name, or push it.",
    )


def fetch(git: Git, branch: Branch, *, trusted: bool) -> str:
    """Bring the branch into its private ref; returns the tip's id. Nothing is stored unless all of it was checked.

    Every object that a source sends is checked, but those which the private repository holds are exempt: they are
    trunk's own, or were checked when they came.
    """
    with in_use(git.unfinished), _FETCH_TRUNK if trusted else _FETCH_SOURCE:
        return _fetched(git, branch, trusted=trusted)


def _fetched(git: Git, branch: Branch, *, trusted: bool) -> str:
    for _ in range(_EXEMPTIONS):
        if not trusted and branch.place.scheme in ("http", "https"):
            result = _fetch_by_quarantine(git, branch)
        else:
            result = _fetch(git, branch, [f"+{branch.ref}:{branch.private_ref}"], trusted=trusted)
        if result.status == 0:
            break
        _explain(git, branch, result)
    else:  # what the private ref says is from an earlier fetch
        raise RejectedError(f"{branch.place} brings back more than {_EXEMPTIONS} old objects that break git's rules")
    revision = read_ref(git, branch.private_ref)
    if revision is None:
        raise no_such_branch(branch)
    return revision


def read_ref(git: Git, private_ref: str) -> str | None:
    """Where one of our own refs points. They are files, and a file is read faster than a program is started."""
    try:
        return (git.repository / private_ref).read_text().strip()
    except FileNotFoundError:
        return None


@_NOTE_TIP
def write_ref(git: Git, private_ref: str, revision: str) -> None:
    """Let one of our own refs point to a commit that the private repository holds; whole or not at all."""
    write(git.repository / private_ref, f"{revision}\n", git.unfinished)


def offers(git: Git, place: Url, revision: str) -> str | None:
    """The ref by which a server offers exactly `revision`, if any."""
    with _OFFERS:
        result = git.run_remote(place, ["ls-remote", *address(place)], timeout=ASK_SECONDS, limits=STRANGERS)
    for line in result.text.split("\n"):
        value, _, name = line.partition("\t")
        if value == revision and name.startswith("refs/") and not _BAD_REF.search(name):
            return name
    return None


def require_id(revision: str) -> None:
    """Refuse a revision that no git could have: `RevisionGoneError`."""
    if not is_id(revision):
        raise RevisionGoneError(f"{revision!r} is not the id of a git commit")


def _fetch(
    git: Git, branch: Branch, refspecs: list[str], *, trusted: bool, env: dict[str, str] | None = None
) -> Result:
    """Run git fetch; what a source sends is checked on arrival, unless it goes to a quarantine (`env`)."""
    config = {} if trusted or env else {"fetch.fsckObjects": "true"}
    if config and exempt_from_checks(git.private).exists():
        config["fetch.fsck.skipList"] = str(exempt_from_checks(git.private))
    return git.run_remote(
        branch.place,
        [
            "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--refmap=",
            "--no-show-forced-updates", "--write-fetch-head" if env else "--no-write-fetch-head",
            *address(branch.place), *refspecs,
        ],
        env=env,
        config=config,
        limits={} if trusted else STRANGERS,
    )  # fmt: skip


def _fetch_by_quarantine(git: Git, branch: Branch) -> Result:
    """Fetch over http, where a server may make git walk its files object by object, which checks nothing.

    What comes is kept apart, has to be packs (a walk leaves single objects), and is checked by ourselves.
    """
    objects = git.repository / "objects"
    with scratch(git.unfinished) as incoming:
        env = {"GIT_OBJECT_DIRECTORY": str(incoming), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects)}
        result = _fetch(git, branch, [branch.ref], trusted=False, env=env)
        if result.status != 0:
            return result
        revision = (git.repository / "FETCH_HEAD").read_text().partition("\t")[0]
        if any(len(entry.name) == 2 for entry in incoming.iterdir()):
            raise RejectedError(
                f"{branch.place} is not served by git",
                details="Its server offers plain files, and what comes that way cannot be checked as a whole.",
                resolution="Serve it by git http-backend or a forge, or by ssh.",
            )
        skip = f"=skiplist={exempt_from_checks(git.private)}" if exempt_from_checks(git.private).exists() else ""
        for pack in (incoming / "pack").glob("*.pack"):
            argv = ["index-pack", f"--strict{skip}", "-o", str(incoming / "x.idx"), str(pack)]
            with _CHECK_PACK:
                result = git.run_on_strangers(argv, env=env)
            if result.status != 0:
                return result
        with _TAKE_PACKS:
            for suffix in (".pack", ".rev", ".idx"):  # git looks at a pack when it sees its index
                for file in (incoming / "pack").glob(f"*{suffix}"):
                    file.rename(objects / "pack" / file.name)
        write_ref(git, branch.private_ref, revision)
        return result


def _explain(git: Git, branch: Branch, result: Result) -> None:
    """Raise what a failed fetch means; return where an object was exempted and fetching again may do."""
    stderr = result.stderr.decode("utf-8", "replace")
    with _TIDY:
        for leftover in (git.repository / "objects" / "pack").glob("tmp_*"):
            leftover.unlink(missing_ok=True)
    if found := _FSCK.search(stderr):
        name, rule, text = found.groups()
        if git.run(["cat-file", "-e", name], ok=None).status == 0:
            with _EXEMPT, exempt_from_checks(git.private).open("a") as exempt:
                exempt.write(f"{name}\n")
            return
        raise RejectedError(
            f"{branch.place} holds an object that is not allowed",
            details=f"Object {name} breaks git's rule {rule}: {said(text)}",
            resolution="Remove it from the branch's history (git fsck --strict names it there too).",
        )
    if "couldn't find remote ref" in stderr:
        raise no_such_branch(branch)
    if "Out of memory" in stderr or "died of signal 25" in stderr:
        raise RejectedError(f"{branch.place} sends more than a proposal may hold", details=said(stderr))
    if "shallow" in stderr:
        raise RejectedError(
            f"{branch.place} is a shallow clone, which lacks a part of its history",
            details=said(stderr),
            resolution="Run git fetch --unshallow there, or propose from a whole clone.",
        )
    raise unreachable(branch.place, stderr)
