"""Checking out, as shell steps on the agent, and looking for new revisions. What shell and programs get is quoted."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING, Any, Final

from byoci import proc
from byoci.controller import expressions
from byoci.controller.agentside.files import fill_in
from byoci.controller.checkout_git import git_script
from byoci.controller.repository import Bzr, Git
from byoci.errors import ByociError, ProgramError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.controller.repository import Repository

_MOST: Final = 32 * 1024**2  # bytes that it may tell
_PATIENCE: Final = 120.0  # seconds for a repository to tell its tips
_PROTOCOLS: Final = "file:git:http:https:ssh"  # that git may speak when it is asked for tips
REVISIONS: Final = ("GIT_COMMIT", "BZR_REVISION")
MORE: Final = "BYOCI_MORE"  # is set by a checkout that leaves other branches' new revisions to further builds
_TRY: Final = """tries=0
until {command}; do
    [ "$tries" -lt {retries} ] || exit 1
    tries=$((tries + 1)); echo "Trying again in 10 seconds"; sleep 10
done
"""


def checkout_steps(repository: Repository, previous: str, built: Iterable[str]) -> list[dict[str, Any]]:
    """The steps of an agent's plan that check out, before all others.

    previous  the revision of the build before, from which on changes are told; "" where there is none
    built     revisions that were built, the newest first
    """
    if isinstance(repository, Git):
        script, texts, noted, changes = git_script(repository)
        texts |= {"BYOCI_PREVIOUS": previous, "BYOCI_BUILT": " ".join(built)}
    else:
        script, noted, changes = _bzr(repository)
        texts = {"BYOCI_PREVIOUS": previous}
    return [
        {"shell": script, "unstable": None, "with": texts},
        {"inject": "", "file": noted, "changes": changes},
    ]


def _bzr(bzr: Bzr) -> tuple[str, str, str]:
    url = shlex.quote(bzr.url)
    find = 'bzr=$(command -v brz || command -v bzr) || { echo "bzr is not installed"; exit 1; }'
    lines = ["#!/bin/sh -e", find]
    if bzr.clean:
        lines.append("find . -mindepth 1 -delete")
    make = "checkout --lightweight" if bzr.light else "branch --use-existing-dir"
    renew = "update" if bzr.light else f"pull --overwrite {url}"
    command = f'if [ -d .bzr ]; then "$bzr" {renew} --quiet; else "$bzr" {make} --quiet {url} .; fi'
    note = 'printf "BZR_REVISION=%s\\nBZR_REVNO=%s\\nBYOCI_PREVIOUS=%s\\n" "$id" "$revision" "$BYOCI_PREVIOUS"'
    log = '"$bzr" log --quiet --long --show-ids --verbose --limit=1000 --revision="revid:$BYOCI_PREVIOUS.."'
    lines += [
        _TRY.format(command=command, retries=bzr.retries),
        '"$bzr" revert --quiet --no-backup',
        'revision=$("$bzr" revno --tree)\nid=$("$bzr" version-info --custom --template="{revision_id}")',
        f"{note} > .bzr/byoci.properties",
        f': > .bzr/byoci.changes\n[ -z "$BYOCI_PREVIOUS" ] || {log} > .bzr/byoci.changes 2> /dev/null || true',
        'echo "Checked out $revision ($id)"',
    ]
    return "\n".join(lines), ".bzr/byoci.properties", ".bzr/byoci.changes"


def tips(repository: Repository, variables: Mapping[str, str]) -> list[str]:
    """The revisions that checkouts would give now, asked from this host. Raises `UnavailableError`.

    variables  that are filled in, as far as they are known before a build
    """
    if isinstance(repository, Git):
        return _git_tips(repository, variables)
    program = "brz" if shutil.which("brz") else "bzr"
    told = _ask([program, "version-info", "--custom", "--template={revision_id}", repository.url], repository.url)
    return told.split()[:1]


def _git_tips(git: Git, variables: Mapping[str, str]) -> list[str]:
    branches = [fill_in(branch, variables) for branch in git.branches]
    found: list[str] = []
    for remote in git.remotes:
        url = fill_in(remote.url, variables)
        if "$" in url or any("$" in branch for branch in branches):
            raise UnavailableError(f"{remote.url} cannot be asked: what is built depends on variables of a build")
        told = _ask(["git", "ls-remote", "--", url], url)
        # Names of refs may hold what Unicode calls spaces and ends of lines.
        refs = [(ref, revision) for revision, tab, ref in (line.partition("\t") for line in told.split("\n")) if tab]
        for branch in branches:
            if re.fullmatch(r"[0-9a-f]{40}", branch):
                found.append(branch)
            meant = _meant(branch, remote.name, [ref for ref, _ in refs])
            found += [revision for ref, revision in refs if ref in meant]
    if not found and not git.many:
        raise UnavailableError(f"{git.remotes[0].url} has no {' or '.join(branches)}")
    return list(dict.fromkeys(found))


def _meant(branch: str, remote: str, refs: list[str]) -> frozenset[str]:
    """The refs of a remote that a branch, as Jenkins writes it, means."""
    bare = re.sub(r"^(refs/)?(remotes/|heads/)", "", branch)
    if bare.startswith("refs/"):
        return frozenset({bare}.intersection(refs))
    names = {re.sub(rf"^({re.escape(remote)}|\*)/", "", bare), bare}
    words = {"**": ".*", "*": "[^/]*"}
    parts = ("".join(words.get(word) or re.escape(word) for word in re.split(r"(\*\*|\*)", name)) for name in names)
    choices = [f"refs/heads/{part}" for part in sorted(parts)] + ([] if "*" in bare else [f"refs/{re.escape(bare)}"])
    try:
        return expressions.matching("|".join(choices), refs, patience=_PATIENCE)
    except UsageError as error:
        raise UnavailableError("the branches cannot be told", details=str(error)) from error


def _ask(argv: list[str], url: str) -> str:
    # A transport of which one could make a command is never one, whatever git's own settings here say.
    environment = {**proc.base_environment(), "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": _PROTOCOLS}
    try:
        result = proc.run_bounded(argv, env=environment, timeout=_PATIENCE, most=_MOST)
        if result.status:
            raise ProgramError(result.argv, result.status, result.stderr.decode("utf-8", "replace"))
    except ByociError as error:
        raise UnavailableError(f"{url} does not tell its tips", details=str(error)) from error
    if not result.text.strip():
        raise UnavailableError(f"{url} has no tips")
    return result.text
