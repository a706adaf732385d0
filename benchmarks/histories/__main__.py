"""`python -m benchmarks.histories VCS FOLDER COMMITS`: write repositories, in a process that nothing is measured in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

vcs, folder, commits = sys.argv[1:]
importlib.import_module(f"benchmarks.histories.{vcs}").write(Path(folder), int(commits))
