"""Test a tree: a new worker, its setup layer, the project's commands in turn, and a verdict."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import RejectedError
from byoci.model import Verdict
from byoci.worker import results, tree
from byoci.worker.results_junit import read_junit
from byoci.worker.results_subunit import OutputSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.gate.plan import Gate, TestPlan
    from byoci.model import TestSummary
    from byoci.worker.base import ExitStatus, Files, Setup, Worker

_LOG = effects.declare(
    "log.make", "an empty log", half="It stays, empty.", done="It stays, empty; the next has another name."
)
_UNLOG = effects.declare("log.remove", "the log of a test that need not be run again is removed")
_SAY = effects.declare("log.write", "what setup and tests print", half="What was written stays.", done="It stays.")
_EMPTY = effects.declare("workdir.empty", "what a job's working folder held is removed", half="The rest is removed.")


_SHOWN: Final = 80  # characters of a command that a reason shows


def setup_of(plan: TestPlan, read: Callable[[tuple[str, ...]], Mapping[str, bytes]]) -> Setup | None:
    """The setup that `plan` asks for, its inputs read by `read`; None where the project has none."""
    from byoci.worker.base import Setup

    if plan.setup is None:
        return None
    return Setup(
        command=plan.setup.command,
        inputs=read(plan.setup.inputs) if plan.setup.inputs else {},
        network=plan.setup.network,
        limits=plan.limits,
        credentials=plan.setup.credentials,
    )


def run_commands(
    worker: Worker, workspace: Path, plan: TestPlan, on_output: Callable[[bytes], None]
) -> tuple[str, ExitStatus | None]:
    """Run the plan's commands until one fails: that command and how it ended, or "" and the last one's status.

    The limits on time and output are for all of them together.
    """
    status = None
    left = plan.limits

    def count(chunk: bytes) -> None:
        nonlocal left
        left = dataclasses.replace(left, output=left.output - len(chunk))
        on_output(chunk)

    for command in plan.commands:
        status = worker.run(command, workspace, left, count, network=plan.network, environment=plan.environment)
        if not status.ok:
            return command, status
        left = dataclasses.replace(left, seconds=left.seconds - status.seconds)
    return "", status


def reason_of(command: str, status: ExitStatus | None, tests: TestSummary | None) -> str:
    """A verdict's reason in words; `command` is the one that failed, or ""."""
    numbers = f": {results.describe(tests)}" if tests is not None else ""
    if status is None or not command:
        return f"the tests passed{numbers}"
    command = " ".join(command.split())
    command = command if len(command) <= _SHOWN else f"{command[: _SHOWN - 1]}…"
    if status.exceeded is not None:
        return f"“{command}” was ended: it exceeded its {status.exceeded} limit{numbers}"
    if status.code > 128:
        return f"“{command}” was killed by signal {status.code - 128}{numbers}"
    return f"“{command}” ended with exit code {status.code}{numbers}"


@dataclass(frozen=True, slots=True)
class Begun:
    """When something began, by the calendar's clock and by one that never jumps."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    monotonic: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a setup and the tests after it.

    status   how the last command ended; None where none ran, because the setup failed
    """

    passed: bool
    reason: str
    tests: TestSummary | None = None
    status: ExitStatus | None = None

    def verdict(self, begun: Begun, worker: Worker, log: str = "", log_digest: str = "") -> Verdict:
        """The verdict on what was tested in `worker` since it was `begun`."""
        seconds = time.monotonic() - begun.monotonic
        return Verdict(self.passed, self.reason, seconds, self.tests, log, log_digest, begun.at, worker.describe())


def key_of(tree: str, plan: TestPlan, fingerprint: str | None) -> str | None:
    """What a verdict on `tree` depends on, as a digest; None where it must not be used again."""
    if fingerprint is None or not plan.reuse or plan.network:
        return None
    parts = (tree, fingerprint, plan.commands, plan.results, sorted(plan.environment.items()), repr(plan.limits))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def run_tests(
    worker: Worker,
    workspace: Callable[[], Path],
    plan: TestPlan,
    setup: Setup | None,
    on_output: Callable[[bytes], None],
) -> Ran:
    """Set up and run `plan` in a workspace that holds the tree, as `workspace` gives it once all is set up.

    Everything that setup and tests write goes to `on_output` as it comes. Results come from a subunit stream in the
    output, and from the JUnit XML files that the plan names. A command that fails fails the tests, whatever their
    results say; a result that fails does so too, whatever the command's status was.
    """
    output = OutputSummary(on_output)
    refused = _prepare(worker, plan, setup, output)
    return refused or _run(worker, workspace(), plan, output)


def _prepare(worker: Worker, plan: TestPlan, setup: Setup | None, output: OutputSummary) -> Ran | None:
    """Make the worker ready; what came of the tests where the setup already failed."""
    try:
        worker.prepare(plan.image, setup, output)
    except RejectedError as error:
        output(f"\n{error}\n".encode())
        return Ran(passed=False, reason=error.brief)
    return None


def _run(worker: Worker, workspace: Path, plan: TestPlan, output: OutputSummary) -> Ran:
    failed, status = run_commands(worker, workspace, plan, output)
    tests = results.combine((output.finish(), read_junit(worker.folders_of(workspace), plan.results)))
    if not failed and tests is not None and tests.failures:
        return Ran(False, f"tests failed: {results.describe(tests)}", tests, status)
    return Ran(not failed, reason_of(failed, status, tests), tests, status)


def files_of(gate: Gate, revision: str) -> Files:
    """The files of a revision that the project's repository has."""
    from byoci.worker.base import Files

    vcs = gate.vcs
    return Files(
        name=f"{vcs.name} {gate.project.name}",
        revision=revision,
        export=lambda folder, at: vcs.export(revision, folder, at),
        update=lambda folder, held: vcs.update(folder, held, revision),
    )


def _workspace(gate: Gate, worker: Worker, files: Files) -> Path:
    if gate.workdir is None:
        return worker.workspace(files)
    files.export(_emptied(gate.workdir), None)
    return gate.workdir


@_EMPTY
def _emptied(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tree.clear(folder)
    return folder


@dataclass(frozen=True, slots=True)
class Tree:
    """What is tested: a digest of all its files, and the files."""

    digest: str
    files: Files


class _Log:
    """What setup and tests print, as it comes: whoever reads along, or after a crash, finds all that was said."""

    @_LOG
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = path.open("xb")
        self._digest = hashlib.sha256()

    @_SAY
    def __call__(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._file.flush()
        self._digest.update(chunk)

    def close(self) -> str:
        """The SHA-256 of the whole, in hexadecimal digits."""
        os.fsync(self._file.fileno())  # what is told of a test, and signed, refers to it
        self._file.close()
        return self._digest.hexdigest()


def _both(first: Callable[[bytes], None], second: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def take(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return take


def verdict(gate: Gate, tree_: Tree, setup: Setup | None, log_path: Path) -> Verdict:
    """Test a tree in a worker that is destroyed in the end; the log is kept at `log_path`.

    Where the project allows it, an equal tree that passed in an equal worker lately is not tested again.
    """
    plan, begun = gate.project.tests, Begun()
    log = _Log(log_path)
    worker = gate.new_worker()
    try:
        output = OutputSummary(log if gate.printed is None else _both(log, gate.printed))
        ran = _prepare(worker, plan, setup, output)
        key = key_of(tree_.digest, plan, worker.fingerprint()) if plan.reuse and ran is None else None
        before = gate.store.find_passed(key) if key is not None and gate.workdir is None else None
        if before is not None:
            with _UNLOG:
                log_path.unlink()
            return dataclasses.replace(before, reason=f"{before.reason}, on the same tree before")
        if ran is None:
            ran = _run(worker, _workspace(gate, worker, tree_.files), plan, output)
    finally:
        worker.destroy()
        digest = log.close()
    found = ran.verdict(begun, worker, str(log_path), digest)
    if key is not None and found.passed:
        gate.store.keep_passed(key, found)
    return found
