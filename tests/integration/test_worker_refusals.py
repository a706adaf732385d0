"""Where a sandbox cannot be made as it must be, nothing is run, and a person is told what to change."""

from __future__ import annotations

import ctypes.util
import json
import shutil
import sys
from pathlib import Path

import pytest

import elsewhere

pytestmark = [pytest.mark.worker, pytest.mark.slow, elsewhere.needs_root]

TRIAL = """
import contextlib, json, sys
from pathlib import Path
from byoci.errors import ByociError
from byoci.worker import folders, tree
from byoci.worker.base import Limits, Setup
from byoci.worker.bubblewrap import BubblewrapWorker

folder, image, network, with_setup = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "network", sys.argv[4] == "setup"
said, workspace = [], None
try:
    worker = BubblewrapWorker(folder / "state")
    worker.prepare(image, Setup("echo ran", network=network) if with_setup else None, said.append)
    workspace = worker.workspace()
    worker.run("echo ran; touch ran", workspace, Limits(), said.append, network=network)
except ByociError as error:
    told = {"kind": type(error).__name__, "said": str(error), "what to do": error.resolution}
    print(json.dumps(told | {"ran": b"ran" in b"".join(said) or bool(workspace and (workspace / "ran").exists())}))
with contextlib.suppress(ByociError):
    folders.session(folders.base_of(folder / "state")).close()
    tree.remove(folders.base_of(folder / "state").path)
"""


def trial(
    before: list[str], user: int | None = None, *, image: str = "host", network: bool = False, setup: bool = False
) -> dict[str, object]:
    """What came of a worker there."""
    with elsewhere.home_of(user) as home:
        words = [sys.executable, "-c", TRIAL, str(home), image, "network" if network else "", "setup" if setup else ""]
        done = elsewhere.run(words, before, home)
    assert done.stdout, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    assert told["ran"] is False
    assert told["what to do"], told
    return told


def hidden(*paths: str | None) -> list[str]:
    """Commands that put nothing in the place of these files."""
    return [f"mount --bind /dev/null {Path(path).resolve()}" for path in paths if path]


def libseccomp() -> str:
    name = ctypes.util.find_library("seccomp")
    return next(str(path) for path in Path("/usr/lib").rglob(str(name)))


@pytest.mark.parametrize("user", [None, elsewhere.STRANGER])
@pytest.mark.parametrize("setup", [False, True])
def test_no_user_namespaces(user: int | None, setup: bool) -> None:
    before = [*elsewhere.prefix(), *elsewhere.in_user_namespace(70_000, most="0"), *elsewhere.prefix(user)]
    told = trial(before, user, setup=setup)
    assert told["kind"] == "UnsealableError"
    assert "sysctl -w user.max_user_namespaces" in str(told["what to do"])


def test_root_who_is_alone_in_his_namespace() -> None:
    told = trial(elsewhere.in_user_namespace(1))
    assert told["kind"] == "UnsealableError"
    assert "ordinary user" in str(told["what to do"])


def test_no_bubblewrap() -> None:
    told = trial(elsewhere.prefix(first=hidden(shutil.which("bwrap"))))
    assert "bubblewrap" in str(told["what to do"])


def test_a_bubblewrap_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n")
    old.chmod(0o755)
    told = trial(elsewhere.prefix(first=[f"mount --bind {old} {shutil.which('bwrap')}"]))
    assert told["kind"] == "UnsealableError"
    assert "0.8" in str(told["what to do"])


def test_no_filter_of_system_calls() -> None:
    told = trial(elsewhere.prefix(first=hidden(libseccomp())))
    assert told["kind"] == "UnsealableError"
    assert "libseccomp2" in str(told["what to do"])


def test_an_image_that_the_workers_user_cannot_reach() -> None:
    with elsewhere.home_of(None) as closed:
        closed.chmod(0o700)
        for name in ("usr/bin", "bin", "etc"):
            (closed / "image" / name).mkdir(parents=True)
        (closed / "image/bin/sh").touch()
        told = trial([], image=str(closed / "image"))
    assert told["kind"] == "UnsealableError"
    assert "be able to reach it" in str(told["what to do"])


@pytest.mark.parametrize("setup", [False, True])
def test_no_program_to_connect_it(setup: bool) -> None:
    without = hidden(shutil.which("pasta"), shutil.which("slirp4netns"))
    told = trial(elsewhere.prefix(first=without), network=True, setup=setup)
    assert told["kind"] == "UnsealableError"
    assert "passt or slirp4netns" in str(told["what to do"])


def test_no_program_to_close_its_network() -> None:
    told = trial(elsewhere.prefix(first=hidden(shutil.which("ip"))), network=True)
    assert told["kind"] == "UnsealableError"
    assert "iproute2" in str(told["what to do"])


def test_no_device_to_connect_it_by() -> None:
    closed = ["mount -t tmpfs none /dev/net", "mknod -m 600 /dev/net/tun c 10 200", "chmod 755 /dev/net"]
    told = trial(elsewhere.prefix(elsewhere.STRANGER, first=closed), elsewhere.STRANGER, network=True)
    assert told["kind"] == "UnsealableError"
    assert "chmod 0666 /dev/net/tun" in str(told["what to do"])
