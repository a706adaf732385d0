"""Programs that run as an ordinary user, or on a system that lacks something, started by tests that root runs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
STRANGER = 54321  # a user without an account
CONTROL_GROUPS = Path("/sys/fs/cgroup")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def prefix(user: int | None = None, *, without: Sequence[Path] = (), first: Sequence[str] = ()) -> list[str]:
    """What to put before a command to run it so; mounts are gone with it.

    user     who it runs as; None for root. He can reach this Python and this checkout wherever they are
    without  folders that are empty there
    first    shell commands that root runs before, with mounts of their own
    """
    lines = [*(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(folder))}" for folder in without), *first]
    if user is not None:
        lines = [*_opened(), *lines]
    become = f"setpriv --reuid={user} --regid={user} --clear-groups " if user is not None else ""
    return ["unshare", "--mount", "sh", "-euc", "\n".join([*lines, f'exec {become}"$@"']), "sh"]


def _opened() -> Iterator[str]:
    """Commands that let everybody pass to this Python and this checkout, and see nothing else on the way."""
    closed = {path: top for path in (Path(sys.base_prefix), Path(sys.prefix), ROOT) if (top := _closed_folder(path))}
    if closed:
        yield "umask 022; hold=$(mktemp -d); mount -t tmpfs none $hold"
    for number, path in enumerate(closed):
        yield f"mkdir $hold/{number}; mount --rbind {shlex.quote(str(path))} $hold/{number}"
    for top in set(closed.values()):
        yield f"mount -t tmpfs -o mode=755 none {shlex.quote(str(top))}"
    for number, path in enumerate(closed):
        yield f"mkdir -p {shlex.quote(str(path))}; mount --rbind $hold/{number} {shlex.quote(str(path))}"


def _closed_folder(path: Path) -> Path | None:
    """The first folder on the way to `path` that others cannot pass."""
    return next((part for part in (*reversed(path.parents), path) if not part.stat().st_mode & 0o001), None)


@contextmanager
def home_of(user: int | None) -> Iterator[Path]:
    """A new folder of a user's own, which he can get to; gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="byoci-elsewhere-"))
    folder.chmod(0o711)  # workers of root are another user, and images are in it
    try:
        if user is not None:
            os.chown(folder, user, user)
        yield folder
    finally:
        shutil.rmtree(folder)


def run(
    command: Sequence[str], before: Sequence[str], home: Path, *, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command behind a `prefix`, with `home` as home and for temporary files, and nothing else of ours."""
    return subprocess.run(
        [*before, *command],
        env={
            "PATH": SYSTEM_PATH,
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def run_tests(files: Sequence[str], before: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run test files behind a `prefix`; nothing may be left out there for want of a program."""
    # What lies below a tree is the same code everywhere.
    options = [
        "-q",
        "-k",
        "not below",
        "--hypothesis-profile",
        "quick",
        "-p",
        "no:cacheprovider",
        f"--basetemp={home}/tests",
    ]
    return run([sys.executable, "-m", "pytest", *options, *files], before, home, CI="true")


_IN_NAMESPACE = """
import ctypes, os, sys
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    if ctypes.CDLL(None).unshare(0x10000000) != 0:
        sys.exit("this system has no user namespaces")
    os.write(ready[1], b".")
    os.read(go[0], 1)
    os.setgid(0), os.setuid(0)
    if sys.argv[2]:
        open("/proc/sys/user/max_user_namespaces", "w").write(sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])
os.read(ready[0], 1)
for name in ("uid_map", "gid_map"):
    open(f"/proc/{child}/{name}", "w").write(f"0 0 {sys.argv[1]}")
os.write(go[1], b".")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def in_user_namespace(users: int, *, most: str = "") -> list[str]:
    """What to put before a command to run it as root of a user namespace with so many users, from 0 on.

    most  how many user namespaces may be made within
    """
    return [sys.executable, "-c", _IN_NAMESPACE, str(users), most]
