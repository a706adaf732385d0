"""The house's rules that no linter knows: who may start programs, what a command may import, how long things may be."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import byoci

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src/byoci").rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# Libraries that cost time or memory, or belong to another component's extra; who does not use them must not load them.
HEAVY = {"pydantic", "breezy", "subunit", "testtools", "defusedxml", "xml", "sqlite3", "asyncio", "urllib3"}
HEAVY |= {"starlette", "uvicorn", "httptools", "asyncssh", "jinja2"}
LEAN = {
    "byoci.model": set(),
    "byoci.errors": set(),
    "byoci.proc": set(),
    "byoci.cli.main": set(),
    "byoci.wiring": set(),
    "byoci.config.paths": set(),
    "byoci.config.loading": set(),
    "byoci.vcs.base": set(),
    "byoci.worker.base": set(),
    "byoci.worker.results": set(),
    "byoci.worker.results_subunit": set(),
    "byoci.worker.results_junit": set(),
    "byoci.gate.ballot": set(),
    "byoci.controller.labels": set(),
    "byoci.controller.background": set(),
    "byoci.cli.controller": set(),
    "byoci.controller.agentside.server": set(),
}


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a new interpreter has after running `code`, beyond those that it starts with."""
    tell = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{code}\n{tell}"],
        capture_output=True,
        check=True,
        text=True,
    )
    modules: list[str] = json.loads(run.stdout.splitlines()[-1])
    return set(modules)


@pytest.mark.parametrize("module", LEAN)
def test_a_module_loads_only_what_it_uses(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == LEAN[module]


def test_help_is_quick_to_load() -> None:
    code = "from byoci.cli.main import main\nsys.argv[1:] = ['--help']\ntry: main()\nexcept SystemExit: pass"
    assert loaded_by(code) & HEAVY == set()


@pytest.mark.slow
def test_programs_start_in_one_place() -> None:
    starting = {"subprocess": {"run", "Popen", "call", "check_call", "check_output", "getoutput"}}
    starting["os"] = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"}
    starting |= {"pty": {"fork", "spawn"}, "asyncio": {"create_subprocess_exec", "create_subprocess_shell"}}
    guilty = set()
    for path in SOURCES:
        if not re.search(rf"\b({'|'.join(starting)}|multiprocessing)\b", path.read_text(encoding="utf-8")):
            continue
        for node in ast.walk(parsed(path)):
            named = [node.func] if isinstance(node, ast.Call) else []
            if isinstance(node, ast.ClassDef):  # a class of one's own that starts what its base starts
                named = [part for base in node.bases for part in ast.walk(base) if isinstance(part, ast.Attribute)]
            for name in named:
                if (
                    isinstance(name, ast.Attribute)
                    and isinstance(name.value, ast.Name)
                    and name.attr in starting.get(name.value.id, ())
                ):
                    guilty.add(str(path.relative_to(ROOT)))
            if isinstance(node, ast.ImportFrom) and node.module in (*starting, "multiprocessing"):
                guilty.add(str(path.relative_to(ROOT)))
    # The guard of the sandboxes and the agent's side are programs of their own, which import nothing else of byoci.
    names = ("access", "build", "conditions", "supervisors")
    agentside = {f"src/byoci/controller/agentside/{name}.py" for name in names}
    assert guilty == {"src/byoci/proc.py", "src/byoci/worker/guard.py", *agentside}


def test_files_stay_readable() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}


@pytest.mark.slow
def test_functions_fit_on_a_screen() -> None:
    long = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                size = (node.end_lineno or 0) - first.lineno + 1
                if size > 45:
                    long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = size
    assert long == {}


def test_every_component_has_an_extra_and_a_marker_that_is_used() -> None:
    extras = set(PYPROJECT["project"]["optional-dependencies"]) - {"all", "results"}  # results belongs to the agent
    markers = {marker.partition(":")[0] for marker in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    assert extras <= markers
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert [marker for marker in sorted(markers) if f"mark.{marker}" not in tests] == []


def test_the_version_is_told_once() -> None:
    assert PYPROJECT["project"]["version"] == byoci.__version__


def test_the_extra_all_is_all_of_them() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    inside = {name for line in extras["all"] for name in line.partition("[")[2].rstrip("]").split(",")}
    inside |= {
        name for extra in inside for line in extras[extra] for name in line.partition("[")[2].rstrip("]").split(",")
    }
    assert set(extras) - {"all"} == inside - {""}
