"""The linters, as tests: one run and one closing line tell all that is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHELL = ("test", "byoci-install", ".ci/run", "requirements/update", "scripts/bootstrap.bash")


def lint(program: str, *arguments: str) -> None:
    if not (BIN / program).exists():
        pytest.skip(f"missing: {program}")
    run = subprocess.run([BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{program} {' '.join(arguments)}\n{run.stdout}{run.stderr}"


def test_ruff() -> None:
    lint("ruff", "check", ".")


def test_format() -> None:
    lint("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_imports_go_down_the_house_only() -> None:
    lint("lint-imports")


@pytest.mark.slow
def test_shell_scripts() -> None:
    lint("shellcheck", "--external-sources", *SHELL)


@pytest.mark.slow
def test_types() -> None:
    lint("mypy")
