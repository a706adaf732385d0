"""Repeat what a certificate tells of: the same candidate, set up and tested in the same way; and say what differs.

Nothing is published or reported, and no forge is asked: a certificate, its repositories and byoci are enough.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byoci.errors import ByociError, RevisionGoneError, UsageError
from byoci.gate import testing
from byoci.gate.plan import TestPlan
from byoci.model import Candidate, Location
from byoci.worker.base import Limits, Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.gate.certificate import Certificate
    from byoci.vcs.base import Vcs
    from byoci.worker.base import Worker


@dataclass(frozen=True, slots=True)
class Tools:
    """What a replay works with on this machine.

    vcs          with a private repository
    trunk        where trunk is, as seen from here
    source       where the proposal's source is
    image        what `Worker.prepare` takes; None: what the certificate says
    credentials  for a setup that had some; none where this machine has none
    tell         is given a line on what is being done, or is not the same
    """

    vcs: Vcs
    trunk: Location
    source: Location
    worker: Worker
    image: str | None
    credentials: Mapping[str, bytes]
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Again:
    """A candidate that was made again, ready to be tested.

    differences  what could not be made the same, in words
    """

    candidate: Candidate
    plan: TestPlan
    setup: Setup | None
    differences: tuple[str, ...]


def again(told: Certificate, tools: Tools) -> Again:
    """Make the candidate again, and find out how it was tested.

    Raises `UsageError` where merging gives no candidate at all, `RevisionGoneError` where its revisions are nowhere.
    """
    candidate = _merged(told, tools)
    differences = []
    if candidate.tree != told.candidate.tree:
        differences.append(f"the merge has another tree: {candidate.tree}, then {told.candidate.tree}")
    if candidate.tool != told.candidate.tool:
        differences.append(f"it was merged with {told.candidate.tool}, and now with {candidate.tool}")
    elif candidate.id != told.candidate.id:
        differences.append(f"the candidate is {candidate.id}, then {told.candidate.id}")
    image = told.verdict.worker.get("image", "host") if tools.image is None else tools.image
    numbers = dict(told.tests.limits)
    limits = Limits(seconds=numbers.pop("seconds"), **{name: int(value) for name, value in numbers.items()})
    plan = TestPlan(
        commands=told.tests.commands,
        worker=told.tests.worker,
        image=image,
        limits=limits,
        network=told.tests.network,
        environment=told.tests.environment,
        results=told.tests.results,
    )
    if plan.network:
        differences.append("its tests have network: what they find there may be another")
    setup = _setup(told, tools, candidate, limits, differences)
    return Again(candidate, plan, setup, tuple(differences))


def _merged(told: Certificate, tools: Tools) -> Candidate:
    wanted = told.candidate
    tools.tell(f"fetching {tools.trunk}")
    tools.vcs.fetch(tools.trunk, trusted=True)
    try:
        tools.vcs.fetch(tools.source, wanted.revision)
    except ByociError as error:
        tools.tell(f"not from its source: {error.brief}")  # trunk has it, where it landed
    tools.tell("merging")
    try:
        made = tools.vcs.merge(wanted.base, wanted.revision, told.message, told.meta)
    except RevisionGoneError as error:
        raise RevisionGoneError(
            f"{told.candidate.id} cannot be made again: {error.brief}",
            details=f"It merges {wanted.revision} onto {wanted.base}.",
            resolution="Name where they are: --trunk URL[;BRANCH], --source URL[;BRANCH].",
        ) from error
    if not isinstance(made, Candidate):
        raise UsageError(
            "merging the same revisions gives no candidate now",
            details=f"{type(made).__name__}; it was made with {wanted.tool}",
        )
    return made


def _setup(
    told: Certificate, tools: Tools, candidate: Candidate, limits: Limits, differences: list[str]
) -> Setup | None:
    tests = told.tests
    if not tests.setup:
        return None
    origin = candidate.base if tests.setup_origin == told.candidate.base else candidate.id
    inputs = tools.vcs.read(origin, tuple(tests.setup_inputs))
    found = {path: hashlib.sha256(content).hexdigest() for path, content in inputs.items()}
    differences += [
        f"the setup's input {path} is another file"
        for path, digest in tests.setup_inputs.items()
        if found.get(path) != digest
    ]
    if missing := sorted(set(tests.setup_credentials) - set(tools.credentials)):
        differences.append(f"its setup had credentials that this machine does not have: {', '.join(missing)}")
    if tests.setup_network:
        differences.append("its setup has network: what it finds there may be another")
    credentials = {name: tools.credentials[name] for name in tests.setup_credentials if name in tools.credentials}
    return Setup(tests.setup, inputs, tests.setup_network, limits, credentials)


def run(made: Again, told: Certificate, tools: Tools, on_output: Callable[[bytes], None]) -> testing.Ran:
    """Test it, as it was tested; tells what of the worker is not the same."""
    ran = testing.run_tests(tools.worker, lambda: _exported(made, tools), made.plan, made.setup, on_output)
    _compare_workers(told, tools)
    return ran


def shell(made: Again, told: Certificate, tools: Tools, on_output: Callable[[bytes], None], stdin: int) -> int:
    """In place of the tests a shell in the same worker, that reads `stdin`; its exit code."""
    tools.worker.prepare(made.plan.image, made.setup, on_output)
    workspace = _exported(made, tools)
    _compare_workers(told, tools)
    plan = made.plan
    status = tools.worker.run(
        _SHELL, workspace, plan.limits, on_output, network=plan.network, environment=plan.environment, stdin=stdin
    )
    return status.code


_SHELL = """\
if command -v script >/dev/null && command -v bash >/dev/null; then exec script -qfec 'bash -i' /dev/null; fi
exec sh -i 2>&1"""


def _exported(made: Again, tools: Tools) -> Path:
    workspace = tools.worker.workspace()
    tools.vcs.export(made.candidate.id, workspace)
    return workspace


def _compare_workers(told: Certificate, tools: Tools) -> None:
    now, then = tools.worker.describe(), told.verdict.worker
    for name in sorted(set(now) | set(then)):
        if now.get(name) != then.get(name):
            tools.tell(f"not the same: the worker's {name} is {now.get(name, 'none')}, then {then.get(name, 'none')}")
