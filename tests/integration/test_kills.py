"""A lander is killed before, in the midst of and after everything that it does; the next one makes it good."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from both import VCS
from crash_client import Landers, Pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = Path(__file__).parents[2] / "docs" / "effects.md"
pytestmark = [pytest.mark.agent]

# What is killed in which scenario: everything in the first; in the others what they are there for.
SCENARIOS = {
    "lands": "*",
    "fails": "forge.* cache.* certificate.*",
    "conflicts": "forge.* cache.*",
    "merged": "forge.* cache.* git.contains git.brought",
    "two": "forge.* cache.* git.push bzr.move notes.* sibling.* tree.* git.update bzr.update",
    "checked out": "checkout.* bzr.look bzr.lock bzr.note-lock bzr.move bzr.files bzr.unlock cache.index",
    "kept": "layer.prune tree.prune tree.make worker.reap git.join-packs bzr.prune bzr.note-ghosts "
    "bzr.keep-snapshot scratch.reap",
    "rewound": "cache.forget cache.index forge.*",
    "moved": "certificate.drop notes.reset sibling.make",
    "reused": "cache.passed log.remove",
    "served": "git.ask git.fetch-source git.check-pack git.take-packs git.exempt git.tidy git.push "
    "bzr.connect bzr.note-lock bzr.lock bzr.move bzr.unlock",
    "left": "git.* bzr.* scratch.* forge.* cache.*",
    "rewritten": "git.offers",
    "half-way": "checkout.*",
    "damaged": "boot.* *.discard-damaged git.check git.create bzr.make-trunk bzr.note-ghosts bzr.note-tip",
    "by hand": "byhand.* workdir.*",
    "refused": "checkout.back",
}
ONLY = {"rewritten": "git", "refused": "git", "half-way": "git"}
# The groups of effects that are not a version control system's.
OTHERS = {"git": ("bzr", "sibling"), "bzr": ("git", "checkout", "notes")}
# What a round on one machine does not come to; each has its own tests.
ELSEWHERE = {
    "worker.addresses": "a worker with network",
    "worker.etc": "the first worker on a machine",
    "workdir.empty": "a job that keeps what its tests leave",
}
WHEN = ("before", "during", "after")
ALL = os.environ.get("BYOCI_KILLS") == "all"
OFTEN = 3 if ALL else 1  # what is done more often is done to no other end
# Those that do much: they are killed in several places.
SWEPT = ("sibling.make", "bzr.files", "bzr.move", "certificate.key")


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


def cases(scenario: str, effects: Iterable[dict[str, Any]], wanted: str) -> Iterator[Case]:
    """Before, in the midst of and after each effect; of one that was there before, one of the three in turn.

    In the midst of a program's work, it is the lander that dies, and then all that runs. Just after one effect is just
    before the next, as nothing happens between them that has no name: that is tried once.
    """
    ended = set()
    for effect in effects:
        name, nth = effect["name"], effect["nth"]
        if any(fnmatch(name, pattern) for pattern in wanted.split()) and nth <= OFTEN:
            # In the midst: once the program is running, or half-way through the calls.
            half = 0 if effect["started"] else effect["calls"] // 2 + 1
            for when in WHEN if nth == 1 else (WHEN[nth % 3],):
                if when == "before" and not ALL and tuple(effect["follows"] or ()) in ended:
                    continue
                yield Case(scenario, name, nth, when, half)
                if when == "after":
                    ended.add((name, nth))
            if ALL and name in SWEPT and nth == 1 and scenario != "served":
                yield from (Case(scenario, name, nth, "during", effect["calls"] * part // 8 + 1) for part in range(8))
            if effect["started"] and nth == 1:
                yield Case(scenario, name, nth, "during", half, "tree")


def named() -> set[str]:
    """All effects, as the page about them lists them."""
    return set(re.findall(r"^\| `([a-z.-]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def killed(landers: Landers, case: Case) -> list[str]:
    plan = {"name": case.name, "nth": case.nth, "when": case.when, "at": case.at, "do": case.do}
    first, problems = landers.after(case.scenario, plan)
    if not os.WIFSIGNALED(first["status"]) or os.WTERMSIG(first["status"]) != signal.SIGKILL:
        problems.append(f"it was not killed: {first}")
    return problems


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_whenever_a_lander_is_killed_the_next_one_ends_it_once_and_right(vcs: str) -> None:
    tried: list[Case] = []
    with Pool(vcs).open() as pool:
        problems: list[str] = []
        for scenario, wanted in SCENARIOS.items():
            if scenario not in ONLY or ONLY[scenario] == vcs:
                with pool.one() as landers:
                    dry = landers.dry(scenario)
                problems += [f"{scenario}: {did}, which has no name" for did in dry.unnamed]
                tried += (these := [*cases(scenario, dry.effects, wanted)])
                problems += pool.all_of(killed, these)
    assert not problems, "\n\n".join(problems)
    killed_in = {case.name for case in tried}
    assert killed_in == {name for name in named() if name.partition(".")[0] not in OTHERS[vcs]} - {*ELSEWHERE}
    assert len(killed_in) >= 40
