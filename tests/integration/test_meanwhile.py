"""People, and other landers, are at work at the same time: nothing of theirs is lost, and nothing lands twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from both import VCS
from crash_client import Landers, Pool
from crash_people import others, pushed
from test_faults import tell_badly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.slow]

ACTS = (
    "push", "merge by hand", "revert", "force-push trunk", "rewrite trunk", "rewrite the source", "take approval back",
)  # fmt: skip
# The branch that trunk is then.
PUSHED = {"push": "person", "merge by hand": "by-hand", "force-push trunk": "amended", "rewrite trunk": "elsewhere"}
FORCED = ("force-push trunk", "rewrite trunk")
# When they do it: after which effects, in the order in which a landing comes to them.
MOMENTS = {
    "git": "lease.take git.note-tip git.merge worker.start certificate.write git.push cache.index forge.comment",
    "bzr": "lease.take bzr.fetch-source bzr.commit worker.start certificate.write bzr.move bzr.unlock forge.comment",
}


@dataclass(frozen=True)
class Meanwhile:
    act: str
    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.act} after {self.name} {self.nth}"


def moments(landers: Landers) -> Iterator[tuple[str, int]]:
    """The last time of each effect: what is done more than once is done for something else before."""
    begun = landers.dry("busy").effects
    for name in MOMENTS[landers.vcs].split():
        yield name, max(effect["nth"] for effect in begun if effect["name"] == name)


def unsound(found: dict[str, Any], tips: dict[str, str], site: Path, act: str) -> Iterator[str]:
    """What must never be, whatever people did."""
    (proposal,) = found["proposals"].values()
    trunk = [revision for revision, *_ in found["trunk"]]
    landed = [revision for revision, *parents in found["trunk"] if tips["topic"] in parents[1:]]
    yield from found["wrong"]
    if len(landed) > 1:
        yield f"it landed twice: {landed}"
    if len(set(proposal["comments"])) < len(proposal["comments"]):
        yield f"it was told twice: {proposal['comments']}"
    if proposal["status"] == "Merged" and proposal["merged"] not in trunk and act not in FORCED:
        yield f"it is not where it is said to be: {proposal}"
    if landed and proposal["status"] != "Merged":
        yield f"it landed, and is {proposal}"
    if pushed(site).exists() and tips[PUSHED[act]] not in trunk:
        yield f"what a person pushed is lost: {trunk}"
    if found["unreported"]:
        yield f"not reported: {found['unreported']}"


def tried(landers: Landers, case: Meanwhile) -> list[str]:
    landers.prepare("busy")
    plan = {"do": "act", "act": case.act, "name": case.name, "nth": case.nth, "when": "after"}
    ran = landers.told("run", plans=[plan])["rounds"][0]
    conflicts = case.act == "rewrite trunk" and ran["code"] == 1  # with what trunk is then
    problems = [] if conflicts or ran["code"] in (0, 3) else tell_badly(ran, 0)
    after = landers.told("run", rounds=2, look=True)
    problems += unsound(after["found"], landers.tips, landers.site, case.act)
    if [row["code"] for row in after["rounds"]][1] != 3:
        problems.append(f"it does not come to an end: {after['rounds']}")
    return problems


@pytest.mark.parametrize("vcs", VCS)
def test_whatever_people_do_meanwhile(vcs: str) -> None:
    with Pool(vcs).open() as pool:
        with pool.one() as landers:
            cases = [Meanwhile(act, name, nth) for act in ACTS for name, nth in moments(landers)]
        problems = pool.all_of(tried, cases)
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize("vcs", VCS)
def test_the_landers_database_is_deleted(vcs: str) -> None:
    def deleted(landers: Landers, case: tuple[str, str, int]) -> list[str]:
        scenario, name, nth = case
        plan = {"do": "act", "act": "delete the database", "name": name, "nth": nth, "when": "before"}
        kill = {"do": "kill", "name": name, "nth": nth, "when": "after"}
        return [*landers.after(scenario, plan)[1], *landers.after(scenario, plan, kill)[1]]

    with Pool(vcs).open() as pool:
        with pool.one() as landers:
            cases = [
                (scenario, effect["name"], effect["nth"])
                for scenario in ("plain", "fails", "left", "two")
                for effect in landers.dry(scenario).effects
                if effect["name"].startswith(("cache.", "forge."))
            ]
        problems = pool.all_of(deleted, cases)
    assert not problems, "\n\n".join(problems)


@pytest.mark.parametrize("vcs", VCS)
def test_of_two_landers_one_lands(vcs: str) -> None:
    with Landers(vcs) as landers:
        want = landers.dry("busy").found
        for name, nth in [("database.open", 1), *moments(landers)]:
            landers.prepare("busy")
            plan = {"do": "act", "act": "land", "name": name, "nth": nth, "when": "after"}
            ran = landers.told("run", plans=[plan])["rounds"][0]
            (other,) = others(landers.site)
            if name == "database.open":  # the lease is not taken yet
                assert (other["code"], ran["code"]) == (0, 3)
            else:
                assert (other["code"], ran["code"]) == (75, 0)
                assert "another lander" in other["said"]["error"], other
                assert tell_badly(other, 0) == []
            assert landers.next(want) == [], name
