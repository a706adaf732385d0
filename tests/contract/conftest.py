"""The fixtures of the Vcs contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.vcs_suite import PLAYGROUNDS, playground

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.vcs.base import Vcs
    from contract.vcs_playground import Playground


@pytest.fixture(params=PLAYGROUNDS)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Playground:
    """The real programs of one VCS, in an empty folder."""
    return playground(request.param, tmp_path / "play")


@pytest.fixture
def vcs(play: Playground, tmp_path: Path) -> Vcs:
    """The Vcs under test, with an empty private folder."""
    return play.vcs(tmp_path / "private")
