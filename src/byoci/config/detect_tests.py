"""A test command, and a setup where evident, from the files at a project's root; pure.

Tests run in a sealed worker without network: what they need is in the image, or the setup puts it into `$HOME`, which
is the one place that it can leave things in. Commands that fetch while testing (tox, nox) are therefore not proposed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.config.found import Tree

_SCRIPTS: Final = tuple(
    f"{name}{end}" for name in ("test", "run-tests", "run_tests", "runtests") for end in ("", ".sh")
)
_MAKEFILES: Final = ("GNUmakefile", "makefile", "Makefile")
_TARGETS: Final = re.compile(r"([^\s#:=][^#:=]*)::?(?!=)")
_PYTEST_FILES: Final = ("pytest.ini", "conftest.py", ".pytest.ini")
_PYTEST_USERS: Final = ("pyproject.toml", "tox.ini", "noxfile.py", "setup.cfg")
_REQUIREMENTS: Final = re.compile(r"(?:(?:tests?|dev)[-_])?requirements(?:[-_.](?:tests?|dev))?\.txt")
_NPM_PLACEHOLDER: Final = "no test specified"


@dataclass(frozen=True, slots=True)
class SetupProposal:
    """What to install before tests; it needs the network."""

    command: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestProposal:
    """How to test, and `why`: the file that tells so."""

    __test__ = False  # not a test class, whatever its name makes pytest think

    command: str
    why: str
    setup: SetupProposal | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def propose_tests(tree: Tree) -> TestProposal | None:
    """The first that fits of: pytest, a script, make, npm, cargo, go, autoconf, meson, cmake; None where none does."""
    for rule in (_pytest, _script, _make, _npm, _cargo, _go, _autoconf, _meson, _cmake):
        if proposal := rule(tree):
            return proposal
    return None


def _pytest(tree: Tree) -> TestProposal | None:
    wanted = sorted(name for name in tree.files if _REQUIREMENTS.fullmatch(name))
    users = [name for name in (*_PYTEST_USERS, *wanted) if name in tree.files and "pytest" in tree.read(name)]
    why = next((name for name in (*_PYTEST_FILES, *users) if name in tree.files), None)
    if why is None:
        return None
    environment = {"PYTHONPATH": "src"} if "src" in tree.folders else {}
    setup = _requirements(tree, wanted)
    if setup is None:
        return TestProposal("python3 -m pytest", why, None, environment)
    return TestProposal('"$HOME/venv/bin/python" -m pytest', why, setup, environment)


def _requirements(tree: Tree, names: list[str]) -> SetupProposal | None:
    """A virtual environment from requirement files; None where there are none, or they want the project's own files."""
    inputs, texts = set(names), [tree.read(name) for name in names]
    for line in "\n".join(texts).splitlines():
        option, _, value = line.strip().partition(" ")
        if option in ("-r", "--requirement", "-c", "--constraint") and value.strip() in tree.files:
            inputs.add(value.strip())
        elif option.startswith(("-e", "-r", "-c", "--editable", "--requirement", "--constraint", ".", "/", "file:")):
            return None
    if not names:
        return None
    listed = " ".join(f"-r {name}" for name in names)
    more = "" if any("pytest" in text for text in texts) else " pytest"
    commands = ('python3 -m venv "$HOME/venv"', f'"$HOME/venv/bin/pip" install --quiet {listed}{more}')
    return SetupProposal(commands, tuple(sorted(inputs)))


def _script(tree: Tree) -> TestProposal | None:
    name = next((name for name in _SCRIPTS if tree.files.get(name)), None)
    return TestProposal(f"./{name}", name) if name else None


def _make(tree: Tree) -> TestProposal | None:
    for name in _MAKEFILES:
        if name in tree.files:
            rules = (_TARGETS.match(line) for line in tree.read(name).splitlines())
            targets = {target for rule in rules if rule for target in rule[1].split()}
            target = next((target for target in ("check", "test") if target in targets), None)
            return TestProposal(f"make {target}", name) if target else None  # make reads the first of them only
    return None


def _npm(tree: Tree) -> TestProposal | None:
    package = _json(tree, "package.json")
    scripts = package.get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(script, str) or not script.strip() or _NPM_PLACEHOLDER in script:
        return None
    if not (package.get("dependencies") or package.get("devDependencies")) or "package-lock.json" not in tree.files:
        return TestProposal("npm test", "package.json")
    install = 'cp package.json package-lock.json "$HOME/" && cd "$HOME" && npm ci'
    return TestProposal(
        'ln -s "$HOME/node_modules" node_modules && npm test',
        "package.json",
        SetupProposal((install,), ("package.json", "package-lock.json")),
    )


def _json(tree: Tree, name: str) -> dict[str, Any]:
    if name not in tree.files:
        return {}
    try:
        parsed = json.loads(tree.read(name))
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _cargo(tree: Tree) -> TestProposal | None:
    return TestProposal("cargo test", "Cargo.toml") if "Cargo.toml" in tree.files else None


def _go(tree: Tree) -> TestProposal | None:
    if "go.mod" not in tree.files:
        return None
    vendored = "vendor" in tree.folders or "go.sum" not in tree.files
    setup = None if vendored else SetupProposal(("go mod download",), ("go.mod", "go.sum"))
    return TestProposal("go test ./...", "go.mod", setup)


def _autoconf(tree: Tree) -> TestProposal | None:
    if tree.files.get("configure"):
        return TestProposal("./configure && make check", "configure")
    if "configure.ac" in tree.files:
        return TestProposal("autoreconf --install && ./configure && make check", "configure.ac")
    return None


def _meson(tree: Tree) -> TestProposal | None:
    return (
        TestProposal("meson setup build && meson test -C build", "meson.build") if "meson.build" in tree.files else None
    )


def _cmake(tree: Tree) -> TestProposal | None:
    name = "CMakeLists.txt"
    if name not in tree.files or not re.search(r"(?i)enable_testing|include\s*\(\s*CTest", tree.read(name)):
        return None
    return TestProposal("cmake -B build && cmake --build build && ctest --test-dir build --output-on-failure", name)
