"""Which test command a project's files propose."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config.detect_tests import SetupProposal, propose_tests
from byoci.config.found import Tree


def tree(files: dict[str, str], executable: tuple[str, ...] = (), folders: tuple[str, ...] = ()) -> Tree:
    return Tree({name: name in executable for name in files}, frozenset(folders), files.__getitem__)


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"pytest.ini": ""}, "python3 -m pytest"),
        ({"conftest.py": ""}, "python3 -m pytest"),
        ({"pyproject.toml": "[tool.pytest.ini_options]"}, "python3 -m pytest"),
        ({"tox.ini": "commands = pytest"}, "python3 -m pytest"),
        ({"noxfile.py": 'session.run("pytest")'}, "python3 -m pytest"),
        ({"setup.cfg": "[tool:pytest]", "Makefile": "test:\n"}, "python3 -m pytest"),
        ({"pyproject.toml": "[build-system]"}, None),
        ({"Makefile": "all: x\n\ttest\n"}, None),
        ({"Makefile": "test := x\ncheck=y\n#test:\n"}, None),
        ({"Makefile": "test::\n"}, "make test"),
        ({"Makefile": "all test: x\n"}, "make test"),
        ({"Makefile": ".PHONY: check\ncheck : x\n"}, "make check"),
        ({"Makefile": "test:\ncheck:\n"}, "make check"),
        ({"GNUmakefile": "all:\n", "Makefile": "test:\n"}, None),
        ({"package.json": '{"scripts": {"test": "node t.js"}}'}, "npm test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, None),
        ({"package.json": '{"scripts": []}'}, None),
        ({"package.json": "["}, None),
        ({"package.json": "[" * 100_000}, None),
        ({"Cargo.toml": ""}, "cargo test"),
        ({"go.mod": ""}, "go test ./..."),
        ({"configure.ac": ""}, "autoreconf --install && ./configure && make check"),
        ({"meson.build": ""}, "meson setup build && meson test -C build"),
        ({"CMakeLists.txt": "enable_testing()"}, "cmake -B build && cmake --build build && ctest --test-dir build"),
        ({"CMakeLists.txt": "project(x)"}, None),
        ({"README": "test"}, None),
        ({}, None),
    ],
)
def test_a_command_from_files(files: dict[str, str], command: str | None) -> None:
    proposed = propose_tests(tree(files))
    if command is None:
        assert proposed is None
    else:
        assert proposed is not None
        assert proposed.command.startswith(command)
        assert proposed.why in files
        assert proposed.setup is None


def test_a_script_counts_where_it_can_be_started() -> None:
    assert propose_tests(tree({"run-tests": ""})) is None
    proposed = propose_tests(tree({"run-tests": "", "Makefile": "test:"}, executable=("run-tests",)))
    assert proposed is not None
    assert proposed.command == "./run-tests"


def test_requirements_go_into_an_environment_that_the_tests_use() -> None:
    files = {"requirements.txt": "click\n-r more.txt\n", "requirements-dev.txt": "", "more.txt": "", "pytest.ini": ""}
    proposed = propose_tests(tree(files, folders=("src",)))
    assert proposed is not None
    assert proposed.command == '"$HOME/venv/bin/python" -m pytest'
    assert proposed.environment == {"PYTHONPATH": "src"}
    assert proposed.setup == SetupProposal(
        (
            'python3 -m venv "$HOME/venv"',
            '"$HOME/venv/bin/pip" install --quiet -r requirements-dev.txt -r requirements.txt pytest',
        ),
        ("more.txt", "requirements-dev.txt", "requirements.txt"),
    )


@pytest.mark.parametrize("line", ["-e .", ".", "./lib", "-r ../x.txt", "--requirement=x", "file:///x", "--editable=."])
def test_requirements_that_want_the_projects_own_files_are_not_proposed(line: str) -> None:
    proposed = propose_tests(tree({"requirements.txt": f"pytest\n{line}\n"}))
    assert proposed is not None
    assert proposed.setup is None


def test_npm_installs_what_is_locked() -> None:
    package = json.dumps({"scripts": {"test": "jest"}, "devDependencies": {"jest": "1"}})
    proposed = propose_tests(tree({"package.json": package, "package-lock.json": "{}"}))
    assert proposed is not None
    assert proposed.setup is not None
    assert proposed.setup.inputs == ("package.json", "package-lock.json")
    assert proposed.command.endswith("npm test")


def test_go_downloads_what_is_not_vendored() -> None:
    files = {"go.mod": "", "go.sum": "x"}
    proposed = propose_tests(tree(files))
    assert proposed is not None
    assert proposed.setup == SetupProposal(("go mod download",), ("go.mod", "go.sum"))
    vendored = propose_tests(tree(files, folders=("vendor",)))
    assert vendored is not None
    assert vendored.setup is None


NAMES = st.sampled_from(
    ["Makefile", "package.json", "pyproject.toml", "requirements.txt", "tox.ini", "CMakeLists.txt", "test", "go.mod"]
)


@given(st.dictionaries(NAMES, st.text() | st.sampled_from(["pytest", "test:", "-r", "{}", '{"scripts":{"test":1}}'])))
def test_no_content_makes_it_fail(files: dict[str, str]) -> None:
    proposed = propose_tests(tree(files, executable=("test",)))
    assert proposed is None or proposed.why in files
