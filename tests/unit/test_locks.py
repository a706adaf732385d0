"""The locked dependencies are those of pyproject.toml: what was declared after the last lock is found here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE)


def locked(file: str) -> dict[str, str]:
    """Package → version."""
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    return {canonicalize_name(match["name"]): match["version"] for match in LINE.finditer(text)}


EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def declared(extras: Iterable[str] = EXTRAS, groups: tuple[str, ...] = ()) -> list[Requirement]:
    lines = list(PYPROJECT["project"]["dependencies"])
    lines += [line for extra in extras for line in EXTRAS[extra]]
    lines += [line for group in groups for line in PYPROJECT["dependency-groups"][group] if isinstance(line, str)]
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "byoci"]


@pytest.mark.parametrize(
    ("file", "requirements"),
    [
        ("all.txt", declared()),
        ("tests.txt", declared(("worker", "results"), groups=("test",))),
        ("dev.txt", declared(groups=("test", "lint", "dev"))),
        ("clients.txt", list(map(Requirement, PYPROJECT["dependency-groups"]["clients"]))),
        ("build.txt", list(map(Requirement, PYPROJECT["build-system"]["requires"]))),
    ],
)
def test_what_is_declared_is_locked(file: str, requirements: list[Requirement]) -> None:
    versions = locked(file)
    drifted = [
        str(requirement)
        for requirement in requirements
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert drifted == [], "run requirements/update"


@pytest.mark.parametrize("file", ["all.txt", "tests.txt", "build.txt"])
def test_the_locks_agree(file: str) -> None:
    wide = locked("dev.txt")
    assert {name: version for name, version in locked(file).items() if wide.get(name, version) != version} == {}


@pytest.mark.parametrize("file", ["all.txt", "tests.txt", "dev.txt", "clients.txt", "build.txt"])
def test_every_package_is_locked_by_its_hashes(file: str) -> None:
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    starts = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(starts) == len(locked(file)) > 0
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]
