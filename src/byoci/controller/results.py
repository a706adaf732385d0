"""What a build's end means: its result, the files that it kept, its tests. Works on files; called in a thread."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.agentside.conditions import Unclear, holds, is_between
from byoci.controller.checkout import REVISIONS
from byoci.controller.job import OnUnclear, Result
from byoci.controller.render import safe_text
from byoci.controller.testreports import read_reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from byoci.controller.job import Job


_VARIABLES: Final = 50_000  # characters of variables that are remembered


def worse(one: Result, other: Result) -> Result:
    """The worse of the two."""
    return max(one, other, key=lambda result: result.rank)


def judge(
    job: Job, ended: Mapping[str, Any], files: Path, secrets: Sequence[str] = ()
) -> tuple[Result, list[str], dict[str, Any]]:
    """The build's result, lines for its log, and facts to remember.

    ended  what the agent told at the end
    files  the folder of what was kept
    secrets  values of parameters that nobody is shown
    """
    result = Result(ended["result"])
    lines: list[str] = []
    facts: dict[str, Any] = {"artifacts": [], "fingerprints": {}, "workspace": ended["workspace"]}
    hidden = [value for _, value in job.secrets if value] + list(secrets)
    facts["variables"] = _shown(ended["variables"], hidden)
    revision = next((ended["variables"][name] for name in REVISIONS if name in ended["variables"]), "")
    facts["revision"] = safe_text(revision)[:1000]  # any step of the build may have set it
    groups: list[list[str]] = ended["files"]
    for number, (wish, found) in enumerate(zip(job.artifacts, groups, strict=False)):
        if wish.only_of_success and result is not Result.SUCCESS:
            continue
        paths = [path for path in found if _is_here(files / str(number) / path)]
        facts["artifacts"] += [[number, path] for path in paths]
        if wish.fingerprint:
            facts["fingerprints"] |= {path: _digest(files / str(number) / path) for path in paths}
        if not paths and not wish.may_be_missing and result.rank <= Result.UNSTABLE.rank:
            lines.append(f"No artifacts match “{', '.join(wish.files.includes)}”")
            result = Result.FAILURE
        else:
            lines.append(f"Archived artifacts: {len(paths)}")
    for printing, prints in zip(job.fingerprints, ended.get("prints", ()), strict=False):
        facts["fingerprints"] |= dict(prints)
        if printing.artifacts:
            facts["fingerprints"] |= {path: _digest(files / str(place) / path) for place, path in facts["artifacts"]}
    result, told, tests = _tests(job, groups, files, result)
    if tests:
        facts["tests"] = tests
    return result, [*lines, *told], facts


def publishing(job: Job, conditions: Sequence[Mapping[str, Any]], result: Result) -> tuple[Job, Result, list[str]]:
    """The job with what those of its publishers do whose conditions hold, the result after that, and lines for the log.

    conditions  as the agent told them, settled but for the result
    """
    lines: list[str] = []
    for wish, condition in zip(job.publishing, conditions, strict=False):
        try:
            wanted = holds(condition, functools.partial(is_between, result=str(result)))
        except Unclear as error:
            lines.append(f"A condition cannot be told: {error}")
            wanted = wish.on_unclear in (OnUnclear.RUN, OnUnclear.RUN_UNSTABLE)
            if wish.on_unclear is OnUnclear.FAIL:
                result = worse(result, Result.FAILURE)
            elif wish.on_unclear in (OnUnclear.UNSTABLE, OnUnclear.RUN_UNSTABLE):
                result = worse(result, Result.UNSTABLE)
        if wanted:
            job = replace(
                job,
                downstream=job.downstream + wish.downstream,
                cleanup=job.cleanup + wish.cleanup,
                mailings=job.mailings + wish.mailings,
            )
    return job, result, lines


def _tests(
    job: Job, groups: list[list[str]], files: Path, result: Result
) -> tuple[Result, list[str], dict[str, int] | None]:
    """The same of the tests: how many there were of each kind; what they are is in `files/tests.json`."""
    lines: list[str] = []
    first = len(job.artifacts)
    sums: dict[str, int] | None = None
    for number, wish in enumerate(job.tests, first):
        paths = groups[number] if number < len(groups) else []
        if not paths:
            lines.append(f"No test reports match “{', '.join(wish.files.includes)}”")
            if not wish.may_be_missing and result.rank <= Result.UNSTABLE.rank:
                result = Result.FAILURE
            continue
        report = read_reports(files / str(number), paths)
        lines += report.complaints
        report.save(files / f"tests-{number}.json")
        counts = report.counts
        sums = {name: counts[name] + (sums or {}).get(name, 0) for name in counts}
        lines.append(f"Tests: {counts['total']}, failed: {counts['failed']}, skipped: {counts['skipped']}")
        if counts["failed"] and not wish.never_unstable:
            result = worse(result, Result.UNSTABLE)
    return result, lines, sums


def _shown(variables: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    """Variables to remember: not too much of them, and nothing of secrets."""
    found: dict[str, str] = {}
    room = _VARIABLES
    for name, text in variables.items():
        value = text
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            value = value.replace(secret, "********")
        room -= len(name) + len(value)
        if room < 0:
            break
        found[name] = value
    return found


def _is_here(path: Path) -> bool:
    """Whether a file was fetched; an agent may have told of one whose name cannot be one here."""
    try:
        return path.is_file()
    except OSError:  # before Python 3.13 it raises where a name is too long
        return False


def _digest(path: Path) -> str:
    """What Jenkins' clients call a file's fingerprint; it tells files apart and protects nothing."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
