"""What a build's end means: its result, the files that it kept, its tests. Works on files; called in a thread."""

from __future__ import annotations

import functools
import hashlib
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.agentside.conditions import Unclear, holds, is_between
from byoci.controller.checkout import REVISIONS
from byoci.controller.job import Artifacts, OnUnclear, Result
from byoci.controller.render import safe_text
from byoci.controller.testreports import read_reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from byoci.controller.job import Job, Publishing, TestReports


_VARIABLES: Final = 50_000  # characters of variables that are remembered


def worse(one: Result, other: Result) -> Result:
    """The worse of the two."""
    return max(one, other, key=lambda result: result.rank)


class Judgement:
    """What a build's end means, made of one thing after the other.

    result  what it is so far
    lines   for the log
    facts   to remember
    """

    def __init__(self, job: Job, ended: Mapping[str, Any], files: Path, secrets: Sequence[str]) -> None:
        self.result = Result(ended["result"])
        self.lines: list[str] = []
        self.facts: dict[str, Any] = {"artifacts": [], "fingerprints": {}, "workspace": ended["workspace"]}
        hidden = [value for _, value in job.secrets if value] + list(secrets)
        self.facts["variables"] = _shown(ended["variables"], hidden)
        revision = next((ended["variables"][name] for name in REVISIONS if name in ended["variables"]), "")
        self.facts["revision"] = safe_text(revision)[:1000]  # any step of the build may have set it
        self._files = files
        self._groups: list[list[str]] = ended["files"]

    def archive(self, number: int, wish: Artifacts) -> None:
        """Artifacts, which are the files of that group."""
        if wish.only_of_success and self.result is not Result.SUCCESS:
            return
        here = self._files / str(number)
        paths = [path for path in self._found(number) if _is_here(here / path)]
        self.facts["artifacts"] += [[number, path] for path in paths]
        if wish.fingerprint:
            self.facts["fingerprints"] |= {path: _digest(here / path) for path in paths}
        if not paths and not wish.may_be_missing and self.result.rank <= Result.UNSTABLE.rank:
            self.lines.append(f"No artifacts match “{', '.join(wish.files.includes)}”")
            self.result = Result.FAILURE
        else:
            self.lines.append(f"Archived artifacts: {len(paths)}")

    def fingerprint(self, job: Job, ended: Mapping[str, Any]) -> None:
        """The digests that are remembered."""
        for printing, prints in zip(job.fingerprints, ended.get("prints", ()), strict=False):
            self.facts["fingerprints"] |= dict(prints)
            if printing.artifacts:
                kept = self.facts["artifacts"]
                self.facts["fingerprints"] |= {path: _digest(self._files / str(place) / path) for place, path in kept}

    def read_tests(self, number: int, wish: TestReports) -> None:
        """Test reports, which are the files of that group; what was in them is then in `files/tests-NUMBER.json`."""
        paths = self._found(number)
        if not paths:
            self.lines.append(f"No test reports match “{', '.join(wish.files.includes)}”")
            if not wish.may_be_missing and self.result.rank <= Result.UNSTABLE.rank:
                self.result = Result.FAILURE
            return
        report = read_reports(self._files / str(number), paths)
        self.lines += report.complaints
        report.save(self._files / f"tests-{number}.json")
        counts = report.counts
        sums: Mapping[str, int] = self.facts.get("tests", {})
        self.facts["tests"] = {name: counts[name] + sums.get(name, 0) for name in counts}
        self.lines.append(f"Tests: {counts['total']}, failed: {counts['failed']}, skipped: {counts['skipped']}")
        if counts["failed"] and not wish.never_unstable:
            self.result = worse(self.result, Result.UNSTABLE)

    def wants(self, wish: Publishing, condition: Mapping[str, Any]) -> bool:
        """Whether a condition holds, which is settled but for the result."""
        try:
            return holds(condition, functools.partial(is_between, result=str(self.result)))
        except Unclear as error:
            self.lines.append(f"A condition cannot be told: {error}")
            if wish.on_unclear is OnUnclear.FAIL:
                self.result = worse(self.result, Result.FAILURE)
            elif wish.on_unclear in (OnUnclear.UNSTABLE, OnUnclear.RUN_UNSTABLE):
                self.result = worse(self.result, Result.UNSTABLE)
            return wish.on_unclear in (OnUnclear.RUN, OnUnclear.RUN_UNSTABLE)

    def drop(self, number: int) -> None:
        """Remove the files of a group that nobody wants."""
        shutil.rmtree(self._files / str(number), ignore_errors=True)

    def _found(self, number: int) -> list[str]:
        return self._groups[number] if number < len(self._groups) else []


def judge(
    job: Job, ended: Mapping[str, Any], files: Path, secrets: Sequence[str] = ()
) -> tuple[Job, Result, list[str], dict[str, Any]]:
    """The job with what it does after this build, the build's result, lines for its log, and facts to remember.

    ended  what the agent told at the end
    files  the folder of what was kept
    secrets  values of parameters that nobody is shown
    """
    found = Judgement(job, ended, files, secrets)
    for number, artifacts in enumerate(job.artifacts):
        found.archive(number, artifacts)
    found.fingerprint(job, ended)
    for number, tests in enumerate(job.tests, len(job.artifacts)):
        found.read_tests(number, tests)
    first = len(job.artifacts) + len(job.tests)
    conditions = ended.get("conditions", ())
    for place, wish in enumerate(job.publishing):
        wanted = place < len(conditions) and found.wants(wish, conditions[place])
        for number, kept in enumerate(wish.kept, first):
            if not wanted:
                found.drop(number)
            elif isinstance(kept, Artifacts):
                found.archive(number, kept)
            else:
                found.read_tests(number, kept)
        first += len(wish.kept)
        if wanted:
            job = replace(
                job,
                downstream=job.downstream + wish.downstream,
                cleanup=job.cleanup + wish.cleanup,
                mailings=job.mailings + wish.mailings,
            )
    return job, found.result, found.lines, found.facts


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
