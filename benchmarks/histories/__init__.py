"""Trunks to be landed on: some thousand commits over a thousand files, made in bulk, the same in git and in bzr."""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import benchmarks
import byoci
from byoci import proc

if TYPE_CHECKING:
    from benchmarks.histories.base import Repositories


def make(vcs: str, folder: Path, commits: int) -> Repositories:
    """Repositories below `folder`, of a trunk with so many commits. In each process the first of a kind takes long."""
    folder.mkdir(parents=True)
    kind = importlib.import_module(f"benchmarks.histories.{vcs}")
    repositories: Repositories = kind.make(_template(vcs, commits), folder)
    return repositories


@functools.cache
def _template(vcs: str, commits: int) -> Path:
    """Repositories of a trunk and of its topics, to be copied; they are there until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="byoci-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    paths = os.pathsep.join(str(Path(package.__path__[0]).parent) for package in (benchmarks, byoci))
    argv = [sys.executable, "-m", "benchmarks.histories", vcs, str(folder), str(commits)]
    proc.run(argv, env=proc.base_environment() | {"PYTHONPATH": paths})
    return folder
