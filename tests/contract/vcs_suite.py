"""What the Vcs contract's tests share: every playground, and the steps that a lander takes."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from byoci import model
from byoci.model import AlreadyMerged, Candidate, Conflict, Lease, Location, MergeMeta
from contract.vcs_playground import BOT, File, Playground

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.vcs.base import Vcs

PLAYGROUNDS = [
    pytest.param("contract.vcs_playground_git:GitPlayground", id="git", marks=pytest.mark.git),
    pytest.param("contract.vcs_playground_bzr:BzrPlayground", id="bzr", marks=[pytest.mark.bzr, pytest.mark.slow]),
]

APPROVED_AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
MESSAGE = "Say it\n\nAt length."
TEXT = {"a": File(b"one\ntwo\nthree\n")}


def playground(name: str, root: Path) -> Playground:
    """One of `PLAYGROUNDS` in a folder of its own."""
    module, _, kind = name.partition(":")
    made: Playground = getattr(importlib.import_module(module), kind)(root)
    return made


def meta(revision: str, proposal: str = "7", project: str = "hello") -> MergeMeta:
    return MergeMeta(BOT.name, BOT.email, APPROVED_AT, project, proposal, model.landing_id(project, proposal, revision))


def lease(trunk: Location) -> Lease:
    return Lease(str(trunk), "the contract suite")


def merge(vcs: Vcs, trunk: Location, source: Location, revision: str) -> Candidate | Conflict | AlreadyMerged:
    """Fetch both, then merge: what a lander does."""
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    return vcs.merge(base, revision, MESSAGE, meta(revision))


def candidate(vcs: Vcs, trunk: Location, source: Location, revision: str) -> Candidate:
    merged = merge(vcs, trunk, source, revision)
    assert isinstance(merged, Candidate), merged
    return merged


def land(vcs: Vcs, trunk: Location, source: Location, revision: str) -> Candidate:
    made = candidate(vcs, trunk, source, revision)
    vcs.publish(made, trunk, made.base, lease(trunk))
    return made
