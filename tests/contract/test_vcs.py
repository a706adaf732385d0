"""The one contract of every version control system, sentence by sentence of `vcs/base.py`, with the real programs."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from byoci import model
from byoci.errors import UnreachableError
from byoci.model import Lease, MergeMeta
from contract.vcs_playground import BOT, File, Playground

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.vcs.base import Vcs

PLAYGROUNDS = [
    pytest.param("contract.vcs_playground_git:GitPlayground", id="git", marks=pytest.mark.git),
]
pytestmark = pytest.mark.agent

LEASE = Lease("trunk", "the contract suite")
APPROVED_AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(params=PLAYGROUNDS)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Playground:
    module, _, name = request.param.partition(":")
    return getattr(importlib.import_module(module), name)(tmp_path / "play")


@pytest.fixture
def vcs(play: Playground, tmp_path: Path) -> Vcs:
    return play.vcs(tmp_path / "private")


def meta(revision: str, proposal: str = "7", project: str = "hello") -> MergeMeta:
    return MergeMeta(BOT.name, BOT.email, APPROVED_AT, project, proposal, model.landing_id(project, proposal, revision))


def test_the_tip_is_the_newest_revision(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    assert vcs.tip(trunk) == play.tip(trunk)
    newer = play.commit(trunk, {"a": File(b"b\n")})
    assert vcs.tip(trunk) == newer


def test_an_unborn_branch_is_unreachable(play: Playground, vcs: Vcs) -> None:
    with pytest.raises(UnreachableError) as caught:
        vcs.tip(play.empty())
    assert caught.value.resolution
