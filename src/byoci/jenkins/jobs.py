"""The controller's jobs that byoci manages: what is to change, shown before, and done. No other job is touched."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from byoci.errors import UnavailableError, UsageError
from byoci.jenkins.client import as_object, job_path
from byoci.jenkins.configs import same
from byoci.jenkins.landing_job import MANAGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.jenkins.client import Jenkins


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of a job.

    old, new  its config.xml; None where there is no such job: before it is made, after it is deleted
    """

    name: str
    old: str | None
    new: str | None

    @property
    def verb(self) -> str:
        """What is done, in a word."""
        return "make" if self.old is None else "delete" if self.new is None else "change"

    def diff(self) -> str:
        """The difference, as `diff -u` shows it."""
        old, new = ((text or "").splitlines(keepends=True) for text in (self.old, self.new))
        return "".join(difflib.unified_diff(old, new, f"{self.name}, now", f"{self.name}, to be"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and the jobs of wanted names that are somebody else's, which stay as they are."""

    changes: tuple[Change, ...]
    foreign: tuple[str, ...] = ()


def chosen(names: Iterable[str], pattern: str) -> list[str]:
    """The names that a regular expression matches from their start to their end; all where it is ""."""
    try:
        wanted = re.compile(pattern or ".*")
    except re.error as error:
        raise UsageError(f"{pattern} is no regular expression", details=str(error)) from error
    return [name for name in names if wanted.fullmatch(name)]


def plan_update(jenkins: Jenkins, wanted: Mapping[str, str], pattern: str = "") -> Plan:
    """What it takes to have the wanted jobs: name → config.xml."""
    there = jenkins.jobs()
    changes, foreign = [], []
    for name in chosen(wanted, pattern):
        if name not in there:
            changes.append(Change(name, None, wanted[name]))
        elif not there[name].startswith(MANAGED):
            foreign.append(name)
        else:
            old = _config(jenkins, name)
            if not same(old, wanted[name]):
                changes.append(Change(name, old, wanted[name]))
    return Plan(tuple(changes), tuple(foreign))


def plan_delete(jenkins: Jenkins, pattern: str = "") -> Plan:
    """What it takes to have no managed job of these names."""
    there = jenkins.jobs()
    names = chosen(there, pattern)
    ours = [name for name in names if there[name].startswith(MANAGED)]
    changes = tuple(Change(name, _config(jenkins, name), None) for name in ours)
    return Plan(changes, tuple(name for name in names if name not in ours) if pattern else ())


def carry_out(jenkins: Jenkins, change: Change) -> None:
    """Do it. Raises `UsageError` where the job has become somebody else's, or has come or gone, meanwhile."""
    path = job_path(change.name)
    told = jenkins.get(f"{path}/api/json?tree=description")
    known = None if told is None else str(as_object(told).get("description") or "").startswith(MANAGED)
    if known is not (None if change.old is None else True):
        raise UsageError(f"the job {change.name} is no longer what it was", resolution="Look again, with -n.")
    if change.new is None:
        done = jenkins.post(f"{path}/doDelete")
    else:
        where = f"createItem?name={quote(change.name, safe='')}" if change.old is None else f"{path}/config.xml"
        done = jenkins.post(where, change.new.encode(), "text/xml; charset=utf-8")
    if done is None:
        raise UnavailableError(
            f"the controller does not {change.verb} the job {change.name}", details="It is not found."
        )


def _config(jenkins: Jenkins, name: str) -> str:
    return (jenkins.get(f"{job_path(name)}/config.xml") or b"").decode("utf-8", "replace")
