"""The projects that a new site is tried on: two small ones with every fate of a proposal, and byoci itself."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.host.repositories import BzrRepository, GitRepository, appearing
from byoci.model import Status, VoteValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.forge.local import LocalForge
    from byoci.host.repositories import Repository
    from byoci.model import Proposal

AUTHOR: Final = "bob"
REVIEWER: Final = "alice"
OUTLIVER: Final = "byoci-seed-outliver"

_GREET: Final = """#!/bin/sh
# Greets the person named by the first argument, or the world.
greeting=Hello
echo "$greeting, ${1:-world}!"
"""


@dataclass(frozen=True, slots=True)
class Seed:
    """A proposal of a seeded project.

    files       what its branch changes
    origin      the branch that its own starts from; None for trunk's first revision
    vote        what the reviewer says; the proposal is approved when that is Approve
    afterwards  committed to the branch after the approval
    after       branch of the proposal that has to land first
    """

    branch: str
    title: str
    files: Mapping[str, str]
    origin: str | None = None
    vote: VoteValue = VoteValue.APPROVE
    afterwards: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None


def _test(command: str, expected: str) -> str:
    return f'[ "$({command})" = "{expected}" ]\n'


def _file(name: str) -> str:
    return importlib.resources.files("byoci.host").joinpath("seed_files", name).read_text()


BASE: Final[Mapping[str, str]] = {
    "greet": _GREET,
    "tests/world.sh": _test("./greet", "Hello, world!"),
    "tests/name.sh": _test("./greet Ada", "Hello, Ada!"),
}


def hello_seeds(byoci_home: Path) -> tuple[Seed, ...]:
    """The proposals of hello-git and hello-bzr, in the order in which they are made."""
    farewell = _GREET.replace("greets", "bids farewell to").replace("Hello", "Goodbye")
    attack = _file("attack.sh").replace("@BYOCI_HOME@", str(byoci_home)).replace("@MARKER@", OUTLIVER)
    return (
        Seed(
            "farewell",
            "Say goodbye too",
            {"farewell": farewell, "tests/bye.sh": _test("./farewell", "Goodbye, world!")},
        ),
        Seed(
            "farewell-docs",
            "Tell how to say goodbye (needs “Say goodbye too”)",
            {"FAREWELL": "Run ./farewell NAME.\n", "tests/docs.sh": "grep -q ./farewell FAREWELL && [ -x farewell ]\n"},
            origin="farewell",
            after="farewell",
        ),
        Seed("shout", "Shout (its tests fail)", {"tests/shout.sh": _test("./greet Bob", "HELLO, BOB!")}),
        Seed("moin", "Greet with Moin (in conflict with trunk)", {"greet": _GREET.replace("=Hello", "=Moin")}),
        Seed(
            "emoji",
            "Greet with a wave (not approved)",
            {"greet": _GREET.replace("!", " o/!")},
            vote=VoteValue.NEEDS_FIXING,
        ),
        Seed(
            "moved",
            "Add a licence (its source moved on after the approval)",
            {"LICENCE": "Do what you like.\n"},
            afterwards={"LICENCE": "Pay me.\n"},
        ),
        Seed("thanks", "Thank the authors (a person merged it already)", {"THANKS": "Ada and Charles.\n"}),
        Seed("attack", "Steal, call home and stay (and cannot)", {"tests/attack.sh": attack}),
    )


def make_hello(repository: GitRepository | BzrRepository, seeds: tuple[Seed, ...]) -> None:
    """Make the repository of a hello project: its branches all start at trunk's first revision, then trunk goes on."""
    repository.create({**BASE, "run-tests": _file("run-tests")}, AUTHOR)
    for seed in seeds:
        repository.branch(seed.branch, seed.origin)
        repository.commit(seed.branch, seed.files, seed.title, AUTHOR)
    repository.commit(None, {"greet": _GREET.replace("=Hello", '="Hello"')}, "Quote the greeting", REVIEWER)
    repository.merge("thanks", REVIEWER)


def seed_hello(project: str, folder: Path, forge: LocalForge, byoci_home: Path) -> Repository:
    """Make the project's repository and proposals, as far as they are not there yet."""
    seeds = hello_seeds(byoci_home)
    kind = BzrRepository if project.endswith("bzr") else GitRepository
    if not folder.exists():
        with appearing(folder) as draft:
            make_hello(kind(draft), seeds)
    repository = kind(folder)
    known = {proposal.title: proposal for proposal in forge.list_proposals(project)}
    made: dict[str, Proposal] = {}
    for seed in seeds:
        made[seed.branch] = known.get(seed.title) or _propose(forge, repository, project, seed, made)
        _decide(forge, repository, seed, made[seed.branch])
    return repository


def _propose(
    forge: LocalForge, repository: Repository, project: str, seed: Seed, made: Mapping[str, Proposal]
) -> Proposal:
    return forge.create(
        project,
        repository.location(seed.branch),
        repository.trunk,
        seed.title,
        prerequisite=made[seed.after].id if seed.after else None,
        acting_for=AUTHOR,
    )


def _decide(forge: LocalForge, repository: Repository, seed: Seed, proposal: Proposal) -> None:
    """Review the proposal and, when that approves, set its status; a second time does nothing more."""
    if not forge.ballot_of(proposal).votes:
        tip = repository.tip(seed.branch)
        forge.review(proposal.id, seed.vote, revision=tip, acting_for=REVIEWER)
        if seed.vote is VoteValue.APPROVE:
            forge.change_status(proposal.id, Status.APPROVED, revision=tip, acting_for=REVIEWER)
    approved = forge.proposal(proposal.id).approved_revision
    if seed.afterwards and approved == repository.tip(seed.branch):
        repository.commit(seed.branch, seed.afterwards, "One more thing", AUTHOR)


BYOCI_TITLE: Final = "Say when this site was tried (byoci's own unit tests)"


def seed_byoci(checkout: Path, folder: Path, forge: LocalForge, clone: Callable[[Path, Path], None]) -> Repository:
    """Clone byoci itself and propose a change to it, which its own unit tests judge."""
    if not folder.exists():
        with appearing(folder) as draft:
            clone(checkout, draft)
            repository = GitRepository(draft)
            repository.branch("tried-here")
            repository.commit("tried-here", {"TRIED": "This site tested byoci with byoci.\n"}, BYOCI_TITLE, AUTHOR)
    repository = GitRepository(folder)
    seed = Seed("tried-here", BYOCI_TITLE, {})
    known = {proposal.title: proposal for proposal in forge.list_proposals("byoci")}
    proposal = known.get(seed.title) or _propose(forge, repository, "byoci", seed, {})
    _decide(forge, repository, seed, proposal)
    return repository
