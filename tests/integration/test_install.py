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

from integration.computers import AS_ROOT, AS_STRANGER, IS_ROOT, NO_NETWORK, STRANGER, Computer, bare_computer, programs

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


def test_what_was_installed_works(computer: Computer) -> None:
    assert computer.version().startswith("byoci, version ")
    for library in ("breezy", "subunit", "pydantic", "rich", "pyseccomp"):
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
    assert len(computer.environments()) <= 2


def test_what_is_missing_is_named_at_once_in_one_command(bare: Computer) -> None:
    path = programs(bare, "bwrap", "git", "ssh", "pasta", "slirp4netns")
    status, stdout, stderr = bare.install("--json", PATH=path)
    assert (status, stdout) == (2, "")
    assert "install git bubblewrap openssh-client passt" in stderr.splitlines()[-1]
    assert not (bare.state / "venv").exists()


def test_what_is_only_useful_does_not_stop(bare: Computer) -> None:
    path = programs(bare, "pasta", "slirp4netns")
    status, _, stderr = bare.install(PATH=path, **NO_NETWORK)
    assert "install passt" in stderr
    assert "fetching the packages" in stderr
    assert status == 75, "there is no network either"


def test_without_network_the_error_says_what_to_do(bare: Computer) -> None:
    status, stdout, stderr = bare.install("--json", **NO_NETWORK)
    assert (status, stdout) == (75, "")
    assert "could not be fetched" in stderr
    assert str(bare.state / "install.log") in stderr
    assert "Check the network" in stderr.splitlines()[-1]
    assert not (bare.state / "venv").exists()


def test_an_old_git_is_refused(bare: Computer) -> None:
    path = Path(programs(bare, "git"))
    (path / "git").write_text("#!/bin/sh\necho git version 2.30.2\n")
    (path / "git").chmod(0o755)
    status, _, stderr = bare.install(PATH=str(path))
    assert status == 2
    assert "2.38" in stderr
    assert "2.30.2" in stderr


def test_an_old_python_is_refused(bare: Computer) -> None:
    old = bare.folder / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    status, _, stderr = bare.install(PATH=programs(bare, "apt-cache"), BYOCI_PYTHON=str(old))
    assert status == 2
    assert "Python 3.11 or newer is not installed" in stderr
    assert "BYOCI_PYTHON" in stderr.splitlines()[-1]


def test_a_kernel_that_forbids_sandboxes_is_told_before_anything_is_made(bare: Computer) -> None:
    """A user namespace of its own has its own limit: the kernel's real answer, without touching this machine's."""
    forbid = (
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
        "sh",
    )
    if subprocess.run([*bare.prefix, *forbid, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces cannot be made here at all")
    status, _, stderr = bare.install(prefix=(*bare.prefix, *forbid))
    assert status == 2, stderr
    assert "never runs tests unsealed" in stderr
    assert "sysctl -w user.max_user_namespaces=10000" in stderr
    assert not (bare.state / "venv").exists()


def test_help_installs_nothing(bare: Computer) -> None:
    process = bare.start("--help")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert stdout.startswith("Usage: ./byoci-install")
    assert not bare.state.exists()
