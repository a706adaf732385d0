"""A lander is killed before, in the midst of and after everything that it does; the next one makes it good."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest
from crash_client import Pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crash_client import Landers

pytestmark = [pytest.mark.agent]
VCS = [pytest.param("git", marks=pytest.mark.git), pytest.param("bzr", marks=pytest.mark.bzr)]

# What is killed in which scenario: everything in the first; in the others what they are there for.
SCENARIOS = {
    "lands": "*",
    "fails": "forge.* cache.* certificate.*",
    "conflicts": "forge.* cache.*",
    "merged": "forge.* cache.* git.contains git.brought",
    "two": "forge.* cache.* git.push bzr.move notes.* sibling.*",
    "checked out": "checkout.* bzr.look bzr.lock bzr.note-lock bzr.move bzr.files bzr.unlock cache.index",
    "kept": "layer.prune worker.reap git.join-packs bzr.prune bzr.snapshot bzr.keep-snapshot scratch.reap",
    "rewound": "cache.forget cache.index forge.*",
}
WHEN = ("before", "during", "after")
# Effects that one landing has many times, to no other end than the first three times.
MANY = ("worker.own", "worker.hand-over", "scratch.make", "scratch.remove", "bzr.repository")


@dataclass(frozen=True)
class Case:
    scenario: str
    name: str
    nth: int
    when: str
    at: int
    do: str = "kill"

    def __str__(self) -> str:
        return f"{self.do} {self.when} {self.name} {self.nth} ({self.scenario})"


def cases(scenario: str, effects: Iterable[dict[str, Any]], wanted: str, do: str = "kill") -> Iterator[Case]:
    """Before, in the midst of and after each effect; of one that was there before, one of the three in turn."""
    for effect in effects:
        name, nth = effect["name"], effect["nth"]
        if any(fnmatch(name, pattern) for pattern in wanted.split()) and not (name in MANY and nth > 3):
            # In the midst: once the program is running, or half-way through the calls.
            half = 0 if effect["started"] else effect["calls"] // 2 + 1
            for when in WHEN if nth == 1 else (WHEN[nth % 3],):
                yield Case(scenario, name, nth, when, half, do)


def killed(landers: Landers, case: Case) -> list[str]:
    plan = {"name": case.name, "nth": case.nth, "when": case.when, "at": case.at, "do": case.do}
    first, problems = landers.after(case.scenario, plans=[plan])
    if not os.WIFSIGNALED(first["status"]) or os.WTERMSIG(first["status"]) != signal.SIGKILL:
        problems.append(f"it was not killed: {first}")
    return problems


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_whenever_a_lander_is_killed_the_next_one_ends_it_once_and_right(vcs: str) -> None:
    tried: list[Case] = []
    with Pool(vcs).open() as pool:
        problems = []
        for scenario, wanted in SCENARIOS.items():
            with pool.one() as landers:
                tried += (these := [*cases(scenario, landers.dry(scenario).effects, wanted)])
            problems += pool.all_of(killed, these)
    assert not problems, "\n\n".join(problems)
    assert len({case.name for case in tried}) >= 40


@pytest.mark.parametrize("vcs", VCS)
def test_a_sample_of_kills(vcs: str) -> None:
    moves = "git.push" if vcs == "git" else "bzr.move"
    with Pool(vcs).open() as pool:
        with pool.one() as landers:
            these = [*cases("plain", landers.dry("plain").effects, f"{moves} forge.comment")]
        assert not pool.all_of(killed, these)
