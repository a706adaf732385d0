"""`docs/invariants.md` names code that is there, and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/invariants.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def defined(path: Path) -> set[str]:
    """The names of a module's functions, classes and methods, these as `CLASS.METHOD`."""
    names = set()
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, kinds):
            names.add(node.name)
            below = node.body if isinstance(node, ast.ClassDef) else []
            names |= {f"{node.name}.{inner.name}" for inner in below if isinstance(inner, kinds)}
    return names


def line_of(section: str, what: str) -> list[str]:
    found = re.search(rf"^- {what}: (.*?)(?=^- |\Z)", SECTIONS[section], re.MULTILINE | re.DOTALL)
    assert found is not None, f"{section} does not tell: {what}"
    return re.findall(r"`([^`]+)`", found[1])


def of_code(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = ROOT / "src/byoci" / Path(*parts[:length]).with_suffix(".py")
        if path.is_file():
            return ".".join(parts[length:]) in defined(path)
    return False


@pytest.mark.parametrize("section", SECTIONS)
def test_an_invariant_names_its_reason_its_code_and_its_tests(section: str) -> None:
    assert "- why: " in SECTIONS[section]
    code = line_of(section, "upheld by")
    assert code
    assert [name for name in code if not of_code(name)] == []
    tests = line_of(section, "tests")
    assert tests
    for name in (*tests, "test_model::test_stories"):
        file, _, function = name.partition("::")
        (path,) = (ROOT / "tests").rglob(f"{file}.py")
        assert function in defined(path), name


def test_there_are_invariants() -> None:
    assert len(SECTIONS) >= 12
