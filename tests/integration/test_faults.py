"""Disk, network and clock fail a lander in everything that it does: people are told, and the next run ends it."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pytest
from both import VCS
from crash_client import Landers, Pool, can_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = [pytest.mark.agent]

# What fails in which scenario: everything in the first; in the others what they are there for.
SCENARIOS = {
    "lands": "*",
    "two": "notes.* sibling.*",
    "checked out": "checkout.* bzr.look bzr.lock bzr.note-lock bzr.move bzr.files bzr.unlock",
    "fails": "forge.* cache.* certificate.*",
    "moved": "certificate.drop notes.reset sibling.make",
    "kept": "layer.prune worker.reap git.join-packs bzr.prune bzr.note-ghosts bzr.keep-snapshot scratch.reap",
    "reused": "cache.passed",  # where the first fails, the second lands before it
    "served": "git.check-pack git.take-packs git.exempt git.tidy bzr.move",
    "damaged": "boot.* *.discard-damaged",
    "half-way": "checkout.unlock checkout.mend",
    "by hand": "byhand.* workdir.*",
}
ONLY = {"half-way": "git"}
HOUR = 3600.0
# Every fifth case, unless all are wanted: odd, and no multiple of three, so that of what is tried in two or three ways
# at each effect, all are.
STEP = 1 if os.environ.get("BYOCI_FAULTS") == "all" else 5


@dataclass(frozen=True)
class Fault:
    scenario: str
    plan: dict[str, Any]

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in {"scenario": self.scenario, **self.plan}.items())


def first(scenario: str, effects: Iterable[dict[str, Any]], wanted: str) -> Iterator[dict[str, Any]]:
    """The first time that each effect begins."""
    return (
        effect
        for effect in effects
        if effect["nth"] == 1 and any(fnmatch(effect["name"], pattern) for pattern in wanted.split())
    )


def faults(
    landers: Landers, make: Callable[[dict[str, Any]], Iterable[dict[str, Any]]], without: tuple[str, ...] = ()
) -> Iterator[Fault]:
    """What `make` makes of each effect, in all scenarios but `without`."""
    for scenario, wanted in SCENARIOS.items():
        if ONLY.get(scenario, landers.vcs) != landers.vcs or scenario in without:
            continue
        for effect in first(scenario, landers.dry(scenario).effects, wanted):
            for plan in make(effect):
                yield Fault(scenario, {"name": effect["name"], "nth": 1, **plan})


def tell_badly(ran: dict[str, Any], expected: int) -> list[str]:
    """What is wrong with how a run told people that something failed, if it did: brief, details, what to do."""
    code, said = ran["code"], ran["said"]
    errors = [said] if isinstance(said, dict) else [row for row in said if row["outcome"] == "error"]
    told = [[row["error"], row["resolution"]] if "error" in row else row["reasons"] for row in errors]
    if code == expected and not errors:
        return []  # what failed was of no consequence
    problems = [f"exit code {code}: {said}"] if code != 75 or not errors else []
    return problems + [
        f"not for people: {parts} in {said}"
        for parts in told
        if len([*filter(None, parts)]) < 2 or "not know" in parts[0]
    ]


def failed(landers: Landers, fault: Fault) -> list[str]:
    ran, problems = landers.after(fault.scenario, fault.plan)
    if ran["told"] is None or "failed" in ran["told"]:
        return [*problems, f"it died: {ran}"]
    if fault.scenario == "by hand":
        return problems  # a command that fails ends what a person types; what he is told is not JSON
    return problems + tell_badly(ran["told"]["rounds"][0], landers.dry(fault.scenario).round["code"])


def try_all(vcs: str, make: Callable[[dict[str, Any]], Iterable[dict[str, Any]]], *, disk: bool = False) -> int:
    with Pool(vcs, disk=disk).open() as pool:
        with pool.one() as landers:
            # Who serves a repository does not see the small disk, which is mounted for the lander alone.
            cases = [*faults(landers, make, ("served",) if disk else ())]
        problems = pool.all_of(failed, cases[::STEP])
    assert not problems, "\n\n".join(problems)
    return len(cases)


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_file_that_cannot_be_written(vcs: str) -> None:
    def first_and_last(effect: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if effect["changes"]:
            yield {"do": "fail", "when": "during", "at": 1, "errno": errno.ENOSPC}
            yield {"do": "fail", "when": "during", "at": effect["changes"], "errno": errno.EIO}

    assert try_all(vcs, first_and_last) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_write_that_is_torn_in_a_program_or_a_database(vcs: str) -> None:
    turn = itertools.count()

    def at_two_lengths(effect: dict[str, Any]) -> Iterator[dict[str, Any]]:
        group = effect["name"].partition(".")[0]
        if group in ("cache", "database", "forge") or (effect["started"] and group != "worker"):
            # Within an object of git's, and behind a database's first page; in turn, as STEP passes by one of both.
            for at in sorted((20, 5000), reverse=next(turn) % 2 == 0):
                yield {"do": "limit", "when": "during", "at": at}

    assert try_all(vcs, at_two_lengths) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_disk_that_is_full_from_then_on(vcs: str) -> None:
    if not can_mount():
        pytest.skip("only root can mount a small disk")
    assert try_all(vcs, lambda _: [{"do": "fill", "when": "before"}], disk=True) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_clock_that_jumps(vcs: str) -> None:
    def both_ways(effect: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if effect["name"] in TIMED:
            yield {"do": "jump", "when": "after", "seconds": HOUR}
            yield {"do": "jump", "when": "after", "seconds": -HOUR}

    assert try_all(vcs, both_ways) >= 2 * 10


TIMED = (
    "lease.take", "database.open", "git.fetch-trunk", "bzr.fetch-trunk", "git.fetch-source", "bzr.fetch-source",
    "git.merge", "bzr.commit", "layer.keep", "worker.start", "log.write", "cache.attempt", "certificate.write",
    "git.push", "bzr.lock", "bzr.move", "cache.index", "forge.comment", "forge.merged",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
@pytest.mark.parametrize(("becomes", "code"), [("lost", 0), ("gone", 75)])
def test_a_push_whose_answer_is_lost(vcs: str, becomes: str, code: int) -> None:
    """Where the server answers again at once, it is asked what became of the push; otherwise the next run asks."""
    with Landers(vcs) as landers:
        want = landers.dry("served").found
        landers.prepare("served")
        landers.lose.write_text(becomes)
        ran = landers.told("run")["rounds"][0]
        assert ran["code"] == code, ran
        assert tell_badly(ran, 0) == []
        landers.lose.with_name(becomes).unlink()
        assert landers.next(want) == []


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_power_that_goes(vcs: str) -> None:
    """In the midst of and after all that is done: of what is not synced, only the first part is on the disk then."""
    with Pool(vcs).open() as pool:
        with pool.one() as landers:
            # What a person pushes in the meantime he has to sync himself, and so has another machine with bzr.
            cases = [*faults(landers, torn, ("moved", "served") if vcs == "bzr" else ("moved",))]
        problems = pool.all_of(cut, cases[::STEP])
    assert not problems, "\n\n".join(problems)
    assert len(cases) >= 3 * 40


def torn(effect: dict[str, Any]) -> Iterator[dict[str, Any]]:
    half = 0 if effect["started"] else effect["calls"] // 2 + 1
    yield {"do": "tear", "when": "during", "at": half}
    yield {"do": "tear", "when": "after"}
    yield {"do": "tear", "when": "after", "act": "all"}


def cut(landers: Landers, fault: Fault) -> list[str]:
    ran, problems = landers.after(fault.scenario, fault.plan)
    if not os.WIFSIGNALED(ran["status"]) or os.WTERMSIG(ran["status"]) != signal.SIGKILL:
        problems.append(f"it was not killed: {ran}")
    return problems
