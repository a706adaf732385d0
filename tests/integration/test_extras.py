"""Each component works with its own extra alone: installed from the lock, as a wheel, with nothing of the others.

The environments are kept under .cache, keyed by what they hold, so that only the first run installs anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = [pytest.mark.host, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = ROOT / "requirements/dev.txt"
COMPONENTS = {"worker", "agent", "bzr", "controller", "host", "monitor"}
EXTRAS = {"git": "", **{component: component for component in COMPONENTS}}  # marker → extra; git needs none
MARK = re.compile(r"mark\.(\w+)")


def direct(extra: str) -> list[Requirement]:
    """What byoci with this extra asks for, and what its tests do."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    lines = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["test"], *extras.get(extra, ())]
    requirements = [Requirement(line) for line in lines] + [Requirement("packaging")]
    own = {name for requirement in requirements if requirement.name == "byoci" for name in requirement.extras}
    found = [requirement for requirement in requirements if requirement.name != "byoci"]
    return found + [requirement for name in own for requirement in direct(name)]


def closure(extra: str) -> set[str]:
    """The names of all packages that this extra needs, told by the packages themselves."""
    found: set[str] = set()
    todo = direct(extra)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if name not in found:
            found.add(name)
            todo += map(Requirement, metadata.requires(name) or ())
    return found


def locked(names: set[str]) -> str:
    """The part of the lock that holds these packages."""
    blocks = re.split(r"^(?=\S)", LOCK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return "".join(block for block in blocks if canonicalize_name(block.partition("==")[0]) in names)


def pip(*arguments: str | Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        pytest.skip(f"missing: packages that could not be installed: {run.stderr[-600:]}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """byoci as it is installed, not as it lies in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


def environment_of(extra: str, wheel: Path) -> Path:
    """The Python of a virtual environment with this extra alone."""
    needed = locked(closure(extra))
    key = hashlib.sha256(f"{sys.version}{sys.executable}{needed}".encode()).hexdigest()[:16]
    folder = ROOT / ".cache/extras" / (extra or "none")
    if not (folder / key).exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        (folder / "requirements.txt").write_text(needed)
        arguments = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", folder / "requirements.txt"]
        pip("--python", folder / "bin/python", "install", *arguments)
        (folder / key).touch()
    pip("--python", folder / "bin/python", "install", "--no-deps", "--no-index", "--force-reinstall", wheel)
    return folder / "bin/python"


def test_files_of(marker: str) -> list[str]:
    """The files whose tests are this component's and no other's."""
    files = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        marks = set(MARK.findall(path.read_text(encoding="utf-8")))
        if marker in marks and not (marks & COMPONENTS) - {marker}:
            files.append(str(path.relative_to(ROOT)))
    return files


test_files_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("marker", sorted(EXTRAS))
def test_a_component_needs_its_own_extra_only(marker: str, wheel: Path) -> None:
    files = test_files_of(marker)
    # What a component needs shows where its parts are tested by themselves; whole landings take long.
    files = [path for path in files if path.startswith(("tests/unit", "tests/contract"))] or files
    assert files, f"no test is marked {marker} alone"
    python = environment_of(EXTRAS[marker], wheel)
    run = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-profile",
            "quick",
            "-m",
            f"{marker} and not slow",
            *files,
        ],
        cwd=ROOT,
        env={**os.environ, "CI": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]


@pytest.mark.parametrize("extra", sorted(set(EXTRAS.values())))
def test_only_what_belongs_to_it_is_installed(extra: str) -> None:
    """The lines between components hold: the sandbox needs no VCS library, a host no sandbox."""
    owner = {"breezy": "bzr", "pyseccomp": "worker", "python-subunit": "results"}
    owner |= {
        "starlette": "pages",
        "uvicorn": "pages",
        "jinja2": "pages",
        "asyncssh": "controller",
        "httptools": "controller",
    }
    shared = {"agent": {"worker", "results"}, "controller": {"results", "pages"}, "monitor": {"pages"}}
    parts = {extra} | shared.get(extra, set())
    assert {name for name in closure(extra) & owner.keys() if owner[name] not in parts} == set()
    assert ("defusedxml" in closure(extra)) == (extra in {"agent", "controller"})
