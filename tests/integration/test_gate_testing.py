"""A project's commands, in turn, in one real worker."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from byoci.gate import testing
from byoci.gate.plan import TestPlan
from byoci.worker.base import Exceeded
from worker_harness import SMALL, BubblewrapHarness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker_harness import Ready

pytestmark = [pytest.mark.agent, pytest.mark.skipif(not shutil.which("bwrap"), reason="missing: bwrap")]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Ready]:
    site = BubblewrapHarness(tmp_path / "state")
    yield site.ready()
    site.close()


def test_they_run_until_one_fails(worker: Ready) -> None:
    heard: list[bytes] = []
    plan = TestPlan(("echo one > file", "cat file; exit 3", "echo never"), limits=SMALL)
    command, status = testing.run_commands(worker.worker, worker.folder, plan, heard.append)
    assert (command, status and status.code) == (plan.commands[1], 3)
    assert b"".join(heard) == b"one\n"


@pytest.mark.slow
def test_time_is_for_all_of_them(worker: Ready) -> None:
    plan = TestPlan(("sleep 1",) * 10, limits=dataclasses.replace(SMALL, seconds=2.5))
    command, status = testing.run_commands(worker.worker, worker.folder, plan, lambda _: None)
    assert (command, status and status.exceeded) == ("sleep 1", Exceeded.TIME)


def test_output_is_for_all_of_them(worker: Ready) -> None:
    heard: list[bytes] = []
    say = "head -c 60000 /dev/zero"
    plan = TestPlan((say, f"{say}; exit 0", "true"), limits=dataclasses.replace(SMALL, output=100_000))
    command, status = testing.run_commands(worker.worker, worker.folder, plan, heard.append)
    assert (command, status and status.exceeded) == (f"{say}; exit 0", Exceeded.OUTPUT)
    assert len(b"".join(heard)) == 100_000


def test_output_of_exactly_the_limit_is_fine(worker: Ready) -> None:
    plan = TestPlan(("head -c 100000 /dev/zero", "true"), limits=dataclasses.replace(SMALL, output=100_000))
    assert testing.run_commands(worker.worker, worker.folder, plan, lambda _: None)[0] == ""
