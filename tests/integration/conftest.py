"""What the stories of landing share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from site_under_test import Story


@pytest.fixture(params=[pytest.param("git", marks=pytest.mark.git), pytest.param("bzr", marks=pytest.mark.bzr)])
def story(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A site with a project in git, and then one in bzr."""
    from site_under_test import Story  # other tests here run where most of byoci is not installed

    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    return Story(tmp_path, request.param)
