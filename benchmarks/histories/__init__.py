"""Trunks to be landed on: some thousand commits over a thousand files, made in bulk, the same in git and in bzr."""

from __future__ import annotations

import atexit
import functools
import importlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.histories.base import Repositories


def make(vcs: str, folder: Path, commits: int) -> Repositories:
    """Repositories below `folder`, of a trunk with so many commits. In each process the first of a kind takes long."""
    folder.mkdir(parents=True)
    repositories: Repositories = _kind(vcs).make(_template(vcs, commits), folder)
    return repositories


@functools.cache
def _template(vcs: str, commits: int) -> Path:
    """Repositories of a trunk and of its topics, to be copied; they are there until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="byoci-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _kind(vcs).write(folder, commits)
    return folder


def _kind(vcs: str) -> Any:
    return importlib.import_module(f"benchmarks.histories.{vcs}")
