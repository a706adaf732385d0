"""The projects that a new site is tried on: two small ones with every fate of a proposal, and byoci itself."""

from __future__ import annotations

import importlib.resources
import shlex
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.host.definition import PACKAGES
from byoci.host.repositories import BzrRepository, GitRepository, appearing
from byoci.model import Outcome, Status, VoteValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    expected    what is to become of it
    vote        what the reviewer says; the proposal is approved when that is Approve
    afterwards  committed to the branch after the approval
    after       branch of the proposal that has to land first
    """

    branch: str
    title: str
    files: Mapping[str, str]
    origin: str | None = None
    expected: Outcome = Outcome.LANDED
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
    attack = _file("attack.sh").replace("@BYOCI_HOME@", shlex.quote(str(byoci_home))).replace("@MARKER@", OUTLIVER)
    return (
        Seed(
            "farewell",
            "Say goodbye too",
            {"farewell": farewell, "tests/bye.sh": _test("./farewell", "Goodbye, world!")},
        ),
        Seed(
            "farewell-docs",
            "Tell how to say goodbye (needs that)",
            {"FAREWELL": "Run ./farewell NAME.\n", "tests/docs.sh": "grep -q ./farewell FAREWELL && [ -x farewell ]\n"},
            origin="farewell",
            after="farewell",
        ),
        Seed(
            "shout",
            "Shout (its tests fail)",
            {"tests/shout.sh": _test("./greet Bob", "HELLO, BOB!")},
            expected=Outcome.TESTS_FAILED,
        ),
        Seed(
            "moin",
            "Greet with Moin (conflict with trunk)",
            {"greet": _GREET.replace("=Hello", "=Moin")},
            expected=Outcome.CONFLICT,
        ),
        Seed(
            "emoji",
            "Greet with a wave (not approved)",
            {"greet": _GREET.replace("!", " o/!")},
            expected=Outcome.WAITING,
            vote=VoteValue.NEEDS_FIXING,
        ),
        Seed(
            "moved",
            "Add a licence (source moved on since)",
            {"LICENCE": "Do what you like.\n"},
            expected=Outcome.WAITING,
            afterwards={"LICENCE": "Pay me.\n"},
        ),
        Seed("thanks", "Thank the authors (a person merged)", {"THANKS": "Ada and Charles.\n"}),
        Seed("attack", "Steal, call home, stay (and cannot)", {"tests/attack.sh": attack}),
    )


def make_hello(repository: GitRepository | BzrRepository, seeds: tuple[Seed, ...]) -> None:
    """Make the repository of a hello project: its branches all start at trunk's first revision, then trunk goes on."""
    repository.create({**BASE, "run-tests": _file("run-tests")}, AUTHOR)
    for seed in seeds:
        repository.branch(seed.branch, seed.origin)
        repository.commit(seed.branch, seed.files, seed.title, AUTHOR)
    repository.commit(None, {"greet": _GREET.replace("=Hello", '="Hello"')}, "Quote the greeting", REVIEWER)
    repository.merge("thanks", REVIEWER)


def seed_hello(project: str, folder: Path, forge: LocalForge, byoci_home: Path) -> dict[str, Outcome]:
    """Make the project's repository and proposals, as far as they are not there yet: id → what is to become of it."""
    seeds = hello_seeds(byoci_home)
    kind = BzrRepository if project.endswith("bzr") else GitRepository
    if not folder.exists():
        with appearing(folder) as draft:
            make_hello(kind(draft), seeds)
    repository = kind(folder)
    made: dict[str, Proposal] = {}
    for seed in seeds:
        made[seed.branch] = _proposal(forge, repository, project, seed, made)
    return {made[seed.branch].id: seed.expected for seed in seeds}


def _proposal(
    forge: LocalForge, repository: Repository, project: str, seed: Seed, made: Mapping[str, Proposal]
) -> Proposal:
    """The seed's proposal, made and decided as far as it is not yet; it is known by its branch."""
    source = repository.location(seed.branch)
    known = next((found for found in forge.list_proposals(project) if found.source == source), None)
    found = known or _propose(forge, repository, project, seed, made)
    _decide(forge, repository, seed, found)
    return found


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


_TRIED: Final = Seed(
    "tried-here", "Say that byoci was tried on itself", {"TRIED": "This site tested byoci with byoci.\n"}
)


def seed_byoci(
    folder: Path, forge: LocalForge, clone: Callable[[Path], None], packages: Callable[[Path], None]
) -> dict[str, Outcome]:
    """Clone byoci itself and propose a change to it, which its own unit tests judge: id → what is to become of it.

    clone     makes the bare repository, with the branch `main`, in a folder
    packages  writes the archive with what its tests need
    """
    if not folder.exists():
        with appearing(folder) as draft, tempfile.TemporaryDirectory(prefix="byoci-seed-") as scratch:
            archive = Path(scratch, PACKAGES)
            packages(archive)
            clone(draft)
            repository = GitRepository(draft)
            repository.commit(None, {PACKAGES: archive}, "What the tests need, for workers without network", REVIEWER)
            repository.branch(_TRIED.branch)
            repository.commit(_TRIED.branch, _TRIED.files, _TRIED.title, AUTHOR)
    made = _proposal(forge, GitRepository(folder), "byoci", _TRIED, {})
    return {made.id: _TRIED.expected}
