"""Checking out, as shell steps on the agent, and looking for new revisions. What shell and programs get is quoted."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING, Any, Final

from byoci import proc
from byoci.controller.job import Bzr, Git
from byoci.errors import ByociError, UnavailableError

if TYPE_CHECKING:
    from byoci.controller.job import Repository

_NOTED: Final = "byoci.properties"  # what later steps find in their environment, in the VCS' own folder
_PATIENCE: Final = 120.0  # seconds for a repository to tell its tip
REVISIONS: Final = ("GIT_COMMIT", "BZR_REVISION")
_TRY: Final = """tries=0
until {command}; do
    [ "$tries" -lt {retries} ] || exit 1
    tries=$((tries + 1)); echo "Trying again in 10 seconds"; sleep 10
done
"""


def checkout_steps(repository: Repository) -> list[dict[str, Any]]:
    """The steps of an agent's plan that check out, before all others."""
    script, noted = _git(repository) if isinstance(repository, Git) else _bzr(repository)
    return [{"shell": script, "unstable": None}, {"inject": "", "file": noted}]


def _git(git: Git) -> tuple[str, str]:
    folder = git.folder or "."
    quoted, url = shlex.quote(folder), shlex.quote(git.url)
    branch, told = f"refs/remotes/origin/{git.branch}", shlex.quote(f"origin/{git.branch}")
    fetch = f"git fetch --quiet --force --tags -- {url} {shlex.quote(f'+refs/heads/{git.branch}:{branch}')}"
    lines = ["#!/bin/sh -e", "export GIT_TERMINAL_PROMPT=0", f"mkdir -p -- {quoted}", f"cd -- {quoted}"]
    if git.wipe:
        lines.append("find . -mindepth 1 -delete")
    lines += [
        "[ -d .git ] || git init --quiet",
        f"git config remote.origin.url {url}",
        _TRY.format(command=fetch, retries=git.retries),
        f"commit=$(git rev-parse --verify {shlex.quote(f'{branch}^{{commit}}')})",
        'git checkout --quiet --force --detach "$commit"',
    ]
    if git.clean:
        lines.append("git clean --quiet -ffdx")
    if git.submodules:
        lines.append("git submodule --quiet update --init" + (" --recursive" if git.submodules == "recursive" else ""))
    lines += [
        f'printf "GIT_COMMIT=%s\\nGIT_BRANCH=%s\\nGIT_URL=%s\\n" "$commit" {told} {url} > .git/{_NOTED}',
        'echo "Checked out $commit"',
    ]
    return "\n".join(lines), f"{folder}/.git/{_NOTED}"


def _bzr(bzr: Bzr) -> tuple[str, str]:
    url = shlex.quote(bzr.url)
    find = 'bzr=$(command -v brz || command -v bzr) || { echo "bzr is not installed"; exit 1; }'
    lines = ["#!/bin/sh -e", find]
    if bzr.clean:
        lines.append("find . -mindepth 1 -delete")
    make = "checkout --lightweight" if bzr.light else "branch --use-existing-dir"
    renew = "update" if bzr.light else f"pull --overwrite {url}"
    command = f'if [ -d .bzr ]; then "$bzr" {renew} --quiet; else "$bzr" {make} --quiet {url} .; fi'
    lines += [
        _TRY.format(command=command, retries=bzr.retries),
        '"$bzr" revert --quiet --no-backup',
        'revision=$("$bzr" revno --tree)\nid=$("$bzr" version-info --custom --template="{revision_id}")',
        f'printf "BZR_REVISION=%s\\nBZR_REVNO=%s\\n" "$id" "$revision" > .bzr/{_NOTED}',
        'echo "Checked out $revision ($id)"',
    ]
    return "\n".join(lines), f".bzr/{_NOTED}"


def tip(repository: Repository) -> str:
    """The revision that a checkout would give now, asked from this host. Raises `UnavailableError`."""
    environment = {**proc.base_environment(), "GIT_TERMINAL_PROMPT": "0"}
    if isinstance(repository, Bzr):
        argv = [
            "brz" if shutil.which("brz") else "bzr",
            "version-info",
            "--custom",
            "--template={revision_id}",
            repository.url,
        ]
    else:
        argv = ["git", "ls-remote", "--exit-code", "--", repository.url, f"refs/heads/{repository.branch}"]
    try:
        told = proc.run(argv, env=environment, timeout=_PATIENCE).text.split()
    except ByociError as error:
        raise UnavailableError(f"{repository.url} does not tell its tip", details=str(error)) from error
    if not told:
        raise UnavailableError(f"{repository.url} has no tip")
    return told[0]
