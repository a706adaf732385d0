"""Publishing with git: one ref moves from the expected commit to the candidate, or nothing happens."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.errors import PublishRefusedError, TrunkMovedError
from byoci.vcs.git_remote import address, ask
from byoci.vcs.git_run import said

if TYPE_CHECKING:
    from byoci.model import Candidate
    from byoci.vcs.git_remote import Branch
    from byoci.vcs.git_run import Git
    from byoci.vcs.urls import Url

_REPORT: Final = re.compile(r"^([ +\-*=!])\t[^\t]*\t(.*)$", re.MULTILINE)  # git-push(1), OUTPUT, --porcelain

# For a trunk on this machine: what is told to have landed is on the disk, also if the power goes.
SYNCED: Final = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=batch")

_PUSH = effects.declare(
    "git.push",
    "trunk's ref moves to the candidate",
    half="The server moves the ref, or it does not. The landing is found on trunk and reported, or made again.",
    done="The landing is found on trunk and reported.",
)


def push(git: Git, candidate: Candidate, branch: Branch, expected: str) -> None:
    """Push the candidate with a lease on the branch's expected tip, which is its first parent."""
    argv = [
        "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no",
        f"--force-with-lease={branch.ref}:{expected}", *destination(branch.place), f"{candidate.id}:{branch.ref}",
    ]  # fmt: skip
    with _PUSH:
        result = git.run_remote(branch.place, argv)
    report = _REPORT.search(result.stdout.decode("utf-8", "replace"))
    stderr = result.stderr.decode("utf-8", "replace")
    if report is None:
        _without_report(git, candidate, branch, expected, stderr)
        return
    flag, summary = report.groups()
    if flag in (" ", "+") and result.status == 0:
        return
    # "=": the candidate is there already, whoever brought it; git says success, whatever the lease.
    if flag == "=" or "stale info" in summary:
        raise moved(branch.place, expected)
    tip = ask(git, branch).revision
    if tip == candidate.id:
        return  # over http a request whose answer was lost may be sent again, and is refused then
    if tip != expected:
        raise moved(branch.place, expected)
    raise refused(branch.place, f"{summary}\n{said(stderr)}")


def _without_report(git: Git, candidate: Candidate, branch: Branch, expected: str, stderr: str) -> None:
    """The server did not tell what it did, as when the connection broke; only this push can have brought it."""
    tip = ask(git, branch).revision
    if tip == expected:
        raise refused(branch.place, said(stderr))
    if tip != candidate.id:
        raise moved(branch.place, expected)


def moved(place: Url, expected: str) -> TrunkMovedError:
    """That trunk is elsewhere than it was when the candidate was made."""
    return TrunkMovedError(
        f"{place} is no longer at {expected}",
        details="Somebody else published in between; his commits are untouched.",
        resolution="Make a new candidate on the new tip.",
    )


def refused(place: Url, details: str) -> PublishRefusedError:
    """That trunk's own side did not want the candidate."""
    hint = "Check the server's hooks and branch protection, and that the landing user may push."
    if "currently checked out" in details:
        hint = "On that server run: git config receive.denyCurrentBranch updateInstead, or use a bare repository."
    return PublishRefusedError(f"{place} refused the push", details=details.strip(), resolution=hint)


def persons_environment() -> dict[str, str]:
    """What git on trunk's own side gets where trunk is a path of this machine: the user's own configuration applies."""
    kept = ("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME")
    return {**proc.base_environment(), **{name: os.environ[name] for name in kept if name in os.environ}}


def destination(place: Url) -> list[str]:
    """Where to push to. A local trunk's side is trunk's own, so it is not closed off: its hooks find what they need."""
    if not place.local:
        return address(place)
    assignments = [f"{name}={value}" for name, value in persons_environment().items()]
    _, path = address(place)
    settings = shlex.join(["-c", "safe.directory=*", *SYNCED])
    return [f"--receive-pack={shlex.join(['env', '-i', *assignments])} git {settings} receive-pack", path]
