"""Jenkins' own clients, unmodified, in an environment of their own: programs that know nothing of byoci.

It is kept under .cache, keyed by what it holds. One of python-jenkins' dependencies has no wheel: it is built by the
locked setuptools, without a build environment, so nothing comes in that is not locked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements/clients.txt"


def _install(python: Path, *arguments: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", python)
    run = subprocess.run(
        [*pip, "install", "--require-hashes", "--no-deps", "--only-binary", ":all:", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        pytest.skip(f"missing: Jenkins' clients, which could not be installed: {run.stderr[-600:]}")


def _make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    blocks = re.split(r"^(?=\S)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    builder = folder / "builder.txt"
    builder.write_text("".join(block for block in blocks if block.startswith("setuptools==")))
    _install(folder / "bin/python", "-r", builder)
    unbuilt = ("--no-binary", "multi-key-dict", "--no-build-isolation")
    _install(folder / "bin/python", *unbuilt, "-r", LOCK)


def environment_folder() -> Path:
    """The folder of the programs `python`, `jenkins-jobs` and so on; made when it is not there."""
    key = hashlib.sha256(f"{sys.version}{sys.executable}{ROOT}{LOCK.read_text()}".encode()).hexdigest()[:16]
    folder = ROOT / ".cache/clients"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # several processes of pytest may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / key).exists():
            _make(folder / "environment")
            (folder / key).touch()
    return folder / "environment/bin"


def run_client(
    program: str, *arguments: str | Path, folder: Path, check: bool = True, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one of the programs in `folder`, as its own person would: an empty home, no settings of anybody's."""
    return subprocess.run(
        [environment_folder() / program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        input=said,
        capture_output=True,
        text=True,
        check=check,
        timeout=120,
    )
