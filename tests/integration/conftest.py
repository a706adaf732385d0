"""What the stories of landing share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from both import VCS

if TYPE_CHECKING:
    from pathlib import Path

    from site_under_test import Story


@pytest.fixture(params=VCS)
def story(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A site with a project in git, and then one in bzr."""
    from site_under_test import Story  # other tests here run where most of byoci is not installed

    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    return Story(tmp_path, request.param)
