"""Jobs of jenkins-job-builder's own language, written by the real one."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from jenkins_clients import run_client

if TYPE_CHECKING:
    from pathlib import Path


def written(text: str, folder: Path) -> bytes:
    """The config.xml of the one job that the text describes."""
    (folder / "jobs.yaml").write_text(textwrap.dedent(text))
    run_client("jenkins-jobs", "test", "jobs.yaml", "-o", "out", "--config-xml", folder=folder)
    (path,) = (folder / "out").rglob("config.xml")
    return path.read_bytes()
