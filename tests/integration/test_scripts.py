"""./test and .ci/run: from a bare checkout and an empty home, as an ordinary user, without a terminal."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import pytest

from integration.computers import AS_STRANGER, IS_ROOT, STRANGER, Computer, bare_computer, programs

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = [pytest.mark.host, pytest.mark.slow]

ONE = "tests/unit/test_results.py"


@pytest.fixture(scope="module")
def computer() -> Generator[Computer]:
    """A computer on which ./test ran once; it lacks what an ordinary user cannot install."""
    with bare_computer(AS_STRANGER if IS_ROOT else (), STRANGER) as made:
        made.environment["PATH"] = programs(made, "bwrap", "pasta")
        status, lines, stderr = run(made, "test", "-q", ONE)
        assert status == 0, stderr
        assert "passed" in lines[-1]
        yield made


def run(computer: Computer, program: str, *arguments: str, **environment: str) -> tuple[int, list[str], str]:
    process = computer.start(*arguments, program=program, **environment)
    stdout, stderr = process.communicate(timeout=900)
    return process.returncode, stdout.splitlines(), stderr


def test_a_second_run_installs_nothing(computer: Computer) -> None:
    status, lines, stderr = run(computer, "test", "-q", ONE, "-k", "describe")
    assert status == 0
    assert "passed" in lines[-1]
    assert "installing" not in stderr


def test_what_is_missing_is_named_in_one_command(computer: Computer) -> None:
    _, _, stderr = run(computer, "test", "-q", ONE)
    assert "install bubblewrap passt" in stderr


def test_what_others_left_in_the_shared_temporary_folder_is_in_nobodys_way(computer: Computer) -> None:
    shared = computer.folder / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for user in ("unknown", getpass.getuser()):  # pytest's own way of naming its folder
        (shared / f"pytest-of-{user}").touch()
    status, lines, _ = run(computer, "test", "-q", "tests/unit/test_sqlite.py", TMPDIR=str(shared))
    assert status == 0, lines
    assert {path.name.partition("-of-")[0] for path in shared.iterdir()} == {"pytest"}  # and nothing else is left


def test_nothing_is_made_outside_the_checkout_and_caches(computer: Computer) -> None:
    assert {path.name for path in computer.home.iterdir()} <= {".cache"}


def test_a_failure_is_the_exit_code(computer: Computer) -> None:
    status, lines, _ = run(computer, "test", "-q", "tests/unit/no_such_file.py")
    assert status == 4
    assert lines


def test_what_a_gate_leaves_out_has_failed(computer: Computer) -> None:
    """The gate's runner; a linter that is gone is something that could have been installed."""
    linter = next((computer.checkout / ".cache/venv").glob("*/bin/shellcheck"))
    linter.unlink()
    arguments = ("-q", "tests/integration/test_lint.py", "-k", "shell")
    status, lines, _ = run(computer, "test", *arguments)
    assert status == 0
    assert "1 skipped" in lines[-1]
    status, lines, _ = run(computer, ".ci/run", *arguments)
    assert status == 1
    assert "1 failed" in lines[-1]
