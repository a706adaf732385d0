"""./byoci-install: from a bare checkout and an empty home to a working byoci, as root and as an ordinary user.

These tests stop before the site is set up (--bootstrap-only): what comes then is byoci's own and tested as such.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.computers import (
    AS_ROOT,
    AS_STRANGER,
    IS_ROOT,
    NO_NETWORK,
    STRANGER,
    SYSTEM_PATH,
    Computer,
    bare_computer,
    programs,
)

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = [pytest.mark.host, pytest.mark.slow]


@pytest.fixture(scope="module", params=["root", "ordinary"])
def computer(request: pytest.FixtureRequest) -> Generator[Computer]:
    """A computer on which byoci was installed once, by this kind of user."""
    if request.param == "root" and not IS_ROOT:
        pytest.skip("only root can be root")
    if request.param == "root" and subprocess.run([*AS_ROOT, "true"], check=False).returncode:
        pytest.skip("this root may not mount anything")
    prefix = (AS_ROOT if request.param == "root" else AS_STRANGER) if IS_ROOT else ()
    with bare_computer(prefix, STRANGER if request.param == "ordinary" else 0) as made:
        status, stdout, stderr = made.install("--json")
        assert (status, stdout) == (0, ""), stderr
        assert "installing byoci: done" in stderr
        yield made


@pytest.fixture
def bare() -> Generator[Computer]:
    """A computer on which nothing was installed yet, of an ordinary user."""
    with bare_computer(AS_STRANGER if IS_ROOT else (), STRANGER) as made:
        yield made


def write_program(path: Path, script: str) -> None:
    """Put a shell script in a program's place."""
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_was_installed_works(computer: Computer) -> None:
    assert computer.version().startswith("byoci, version ")
    for library in ("breezy", "subunit", "pydantic", "pyseccomp"):
        subprocess.run([computer.state / "venv/bin/python", "-I", "-c", f"import {library}"], check=True)
    run = subprocess.run(
        [computer.state / "venv/bin/python", "-I", "-c", "import hatchling"], check=False, capture_output=True
    )
    assert run.returncode == 1, "what only builds byoci stays out of what runs it"


def test_a_second_run_needs_no_network_and_changes_nothing(computer: Computer) -> None:
    def all_files() -> dict[Path, float]:
        return {path: path.lstat().st_mtime for path in (computer.state / "venvs").rglob("*")}

    before = all_files()
    started = time.monotonic()
    status, _, stderr = computer.install(**NO_NETWORK)
    assert status == 0, stderr
    assert "installed already; nothing to do" in stderr
    assert all_files() == before
    assert time.monotonic() - started < 5


def test_a_link_where_programs_are_found(computer: Computer) -> None:
    if computer.prefix == AS_ROOT:
        _, _, stderr = computer.install()
        assert "byoci is /usr/local/bin/byoci" in stderr
        return
    link = computer.home / ".local/bin/byoci"
    assert link.readlink() == computer.state / "venv/bin/byoci"
    link.unlink()
    link.write_text("mine")
    status, _, stderr = computer.install()
    assert status == 0
    assert "something else already" in stderr
    assert link.read_text() == "mine"
    link.unlink()


def test_a_changed_source_is_installed_without_network_beside_the_older_one(computer: Computer) -> None:
    before = computer.environments()
    source = computer.checkout / "src/byoci/__init__.py"
    source.write_text(re.sub(r'(__version__.*= ")', r"\g<1>99.", source.read_text()))
    first, second = (computer.start("--bootstrap-only", **NO_NETWORK) for _ in range(2))
    outcomes = [process.communicate(timeout=600) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outcomes
    assert computer.version().startswith("byoci, version 99.")
    assert len(computer.environments() - before) == 1
    assert before & computer.environments(), "a program may still run from the older one"
    if IS_ROOT:
        for name in before:  # as root does who tries what another user installed
            (folder := computer.state / "venvs" / name / "of-root").mkdir()
            (folder / "file").touch()


@pytest.mark.parametrize("moment", ["making a virtual", "building byoci …", "installing byoci …"])
def test_a_killed_install_is_not_half_done(computer: Computer, moment: str) -> None:
    source = computer.checkout / "src/byoci/__init__.py"
    source.write_text(source.read_text() + f"\n# {moment}\n")
    before = computer.version()
    process = computer.start("--bootstrap-only")
    assert process.stderr is not None
    while moment not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert computer.version() == before
    status, _, stderr = computer.install()
    assert status == 0, stderr
    assert "installing byoci: done" in stderr
    assert computer.version() == before
    of_root = (computer.state / "venvs").glob("*/of-root") if computer.prefix == AS_STRANGER else ()
    assert len(computer.environments() - {path.parent.name for path in of_root}) <= 2


def test_what_is_missing_is_named_at_once_in_one_command(bare: Computer) -> None:
    path = programs(bare, "bwrap", "git", "ssh-keygen", "pasta", "slirp4netns")
    status, stdout, stderr = bare.install("--json", PATH=path)
    assert (status, stdout) == (2, "")
    assert "install git bubblewrap openssh-client passt" in stderr.splitlines()[-1]
    assert not (bare.state / "venv").exists()


@pytest.mark.parametrize("sudo", [True, False])
def test_a_system_that_does_not_know_its_packages_yet_gets_one_command(bare: Computer, sudo: bool) -> None:
    """As images of containers are: no Python, and no list of what the system offers."""
    pythons = [path.name for place in SYSTEM_PATH.split(":") for path in Path(place).glob("python3*")]
    path = Path(programs(bare, "bwrap", "git", "ssh-keygen", "pasta", "slirp4netns", "sudo", *pythons))
    write_program(path / "apt-cache", "")
    write_program(path / "apt-get", "exit 100")
    if sudo:
        write_program(path / "sudo", "")
    status, stdout, stderr = bare.install(PATH=str(path))
    assert (status, stdout) == (2, "")
    packages = "python3 python3-venv git bubblewrap openssh-client passt"
    wanted = (
        f"sudo apt-get update && sudo apt-get install {packages}"
        if sudo
        else f"su -c 'apt-get update && apt-get install {packages}'"
    )
    assert stderr.splitlines()[-1].strip() == wanted


def test_what_a_person_named_wrongly_is_told_at_once(bare: Computer) -> None:
    for environment, brief in (
        ({"BYOCI_PYTHON": "/usr/bin/nonesuch"}, "BYOCI_PYTHON names no Python 3.11 or newer that works"),
        ({"BYOCI_PYTHON": "/bin/false"}, "BYOCI_PYTHON names no Python 3.11 or newer that works"),
        ({"BYOCI_HOME": "/proc/self/nothing"}, "/proc/self/nothing cannot be made"),
        ({"BYOCI_HOME": "/"}, "may not write to /"),
    ):
        status, stdout, stderr = bare.install("--json", **environment)
        assert (status, stdout) == (2, ""), environment
        first, *others = stderr.splitlines()
        assert first.startswith("byoci-install: ")
        assert brief in first
        assert others
        assert all(line.startswith("  ") for line in others), stderr


def test_what_is_only_useful_does_not_stop(bare: Computer) -> None:
    path = programs(bare, "pasta", "slirp4netns")
    status, _, stderr = bare.install(PATH=path, **NO_NETWORK)
    assert "going on without tests with network" in stderr
    assert "apt-get install passt" in stderr or "install passt" in stderr
    assert "fetching the packages" in stderr
    assert status == 75, "there is no network either"


def test_without_network_the_error_says_what_to_do(bare: Computer) -> None:
    status, stdout, stderr = bare.install("--json", **NO_NETWORK)
    assert (status, stdout) == (75, "")
    assert "could not be fetched" in stderr
    assert str(bare.state / "install.log") in stderr
    assert "Check the network" in stderr.splitlines()[-1]
    assert not (bare.state / "venv").exists()


@pytest.mark.parametrize(
    ("program", "said", "needed"), [("git", "git version 2.30.2", "2.38"), ("bwrap", "bubblewrap 0.6.1", "0.8")]
)
def test_an_old_program_is_refused(bare: Computer, program: str, said: str, needed: str) -> None:
    path = Path(programs(bare, program))
    write_program(path / program, f"echo {said}")
    status, _, stderr = bare.install(PATH=str(path))
    assert status == 2
    assert f"{program} is too old: byoci needs {needed}" in stderr
    assert said in stderr


def test_an_old_python_is_refused(bare: Computer) -> None:
    pythons = [path.name for place in SYSTEM_PATH.split(":") for path in Path(place).glob("python3*")]
    path = Path(programs(bare, "apt-cache", *pythons))
    write_program(path / "python3", '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    status, _, stderr = bare.install(PATH=str(path))
    assert status == 2
    assert "Found: Python 3.9.2" in stderr
    assert "Python 3.11 or newer is not installed" in stderr
    assert "not found" not in stderr
    assert "BYOCI_PYTHON" in stderr.splitlines()[-1]


def forbidding(computer: Computer, script: str) -> tuple[str, ...]:
    """A prefix for a user namespace of its own, where `script` runs first: the kernel's answers, not this machine's."""
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-euc", f'{script}; exec "$@"', "sh")
    if subprocess.run([*computer.prefix, *unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces cannot be made here at all")
    return (*computer.prefix, *unshare)


NO_NAMESPACES = "echo 0 >/proc/sys/user/max_user_namespaces"


def test_a_kernel_that_forbids_sandboxes_is_told_before_anything_is_made(bare: Computer) -> None:
    status, _, stderr = bare.install(prefix=forbidding(bare, NO_NAMESPACES))
    assert status == 2, stderr
    assert "never runs tests unsealed" in stderr
    assert "sysctl -w user.max_user_namespaces=10000" in stderr
    assert not (bare.state / "venv").exists()


def test_apparmors_step_is_told(bare: Computer) -> None:
    """As Ubuntu's kernel answers: its setting is there, and a sandbox cannot be made."""
    setting = "mount -t tmpfs none /proc/sys/kernel; echo 1 >/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    status, _, stderr = bare.install(prefix=forbidding(bare, f"{NO_NAMESPACES}; {setting}"))
    assert status == 2, stderr
    assert "AppArmor forbids" in stderr
    command = stderr.splitlines()[-1].strip()
    told, profile = command.partition(" | ")[0], "profile bwrap /usr/bin/bwrap flags=(unconfined) {\n  userns,\n}\n"
    assert profile in subprocess.run(["sh", "-c", told], check=True, capture_output=True, text=True).stdout
    assert command.endswith("apparmor_parser -r /etc/apparmor.d/bwrap")


def test_whatever_else_forbids_sandboxes_is_told_in_its_own_words(bare: Computer) -> None:
    path = Path(programs(bare, "bwrap"))
    write_program(path / "bwrap", '[ "$1" = --version ] || { echo bwrap: Permission denied >&2; exit 1; }')
    status, _, stderr = bare.install(PATH=str(path))
    assert status == 2
    assert "bwrap: Permission denied" in stderr
    assert "docker" in stderr
    assert not (bare.state / "venv").exists()


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["testing", "production"]])
def test_wrong_arguments_are_refused_before_anything_is_made(bare: Computer, words: list[str]) -> None:
    status, stdout, stderr = bare.install(*words)
    assert (status, stdout) == (2, "")
    assert words[-1] in stderr
    assert not bare.state.exists()


def test_help_installs_nothing(bare: Computer) -> None:
    process = bare.start("--help")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert stdout.startswith("Usage: ./byoci-install")
    assert not bare.state.exists()
