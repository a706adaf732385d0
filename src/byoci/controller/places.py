"""Where the controller's files and programs are, and which names jobs, views and nodes may have."""

from __future__ import annotations

import functools
import os
import re
import shutil
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from byoci.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE: Final = "controller-key"
"""In the state folder: the private key that the controller signs in with at its agents."""
HOSTS_FILE: Final = "known_hosts"
"""Beside it: the agents' pinned host keys."""
LOOPBACK: Final = "loopback"
"""The name of the site's own agent over ssh."""
SSHD: Final = "sshd"
"""The folder of its sshd, with its host key and who may sign in."""
HOST_KEY: Final = "host_key"
AUTHORIZED: Final = "authorized_keys"
_UNSAFE: Final = re.compile(
    r'[\x00-\x1f\x7f-\x9f?*/\\%!@#$^&|<>\[\]:;"\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]'
)
_LONGEST: Final = 200  # bytes of a name as a file's name


NO_SSHD: Final = (
    "sshd is not installed. Install OpenSSH's server; on Debian and Ubuntu: sudo apt-get install openssh-server"
)
_ADMINISTRATION: Final = "/usr/local/sbin:/usr/sbin:/sbin"


def sshd_program() -> str | None:
    """OpenSSH's server, by its whole path, as it wants to be called; None where it is not installed."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{_ADMINISTRATION}")


def check_name(name: str, what: str) -> str:
    """A name that a job, view or node may have; as in Jenkins, and no longer than a file's name can be.

    Raises `UsageError`.
    """
    found = _UNSAFE.search(name)
    if found:
        raise UsageError(f"“{found[0]!a}” is an unsafe character in the name of a {what}")
    if not name.strip() or name != name.strip() or set(name) <= {"."}:
        raise UsageError(f"this cannot be the name of a {what}: {name[:50]!a}")
    if len(quote(name)) > _LONGEST:
        raise UsageError(f"the name of a {what} is too long", details=f"At most {_LONGEST} bytes, quoted as in a URL.")
    return name


def join(folder: str, name: str) -> str:
    """The path of what is in a folder; "" is the root."""
    return f"{folder}/{name}" if folder else name


@functools.lru_cache(10_000)
def _quoted(name: str) -> str:
    return quote(name, safe=" ()+,=~'")


class Places:
    """The files of builds: `jobs/PATH/builds/NUMBER/{log,files/}` below the controller's state folder."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def job(self, path: str) -> Path:
        """A job's or folder's files."""
        return self.home.joinpath(*(word for name in path.split("/") for word in ("jobs", _quoted(name))))

    def build(self, job: str, number: int) -> Path:
        """A build's files."""
        return self.job(job).joinpath("builds", str(number))

    def log(self, job: str, number: int) -> Path:
        """What a build printed."""
        return self.build(job, number) / "log"

    def changes(self, job: str, number: int) -> Path:
        """What is new in a build."""
        return self.build(job, number) / "changes.json"

    def files(self, job: str, number: int) -> Path:
        """What a build kept: in folders 0, 1 …, one for each group of patterns of its plan."""
        return self.build(job, number) / "files"

    def drop(self, path: Path) -> None:
        """Remove files; there is no harm where there are none."""
        shutil.rmtree(path, ignore_errors=True)

    def move(self, path: str, target: str) -> None:
        """Rename a job's or folder's files."""
        source = self.job(path)
        if source.exists():
            place = self.job(target)
            place.parent.mkdir(parents=True, exist_ok=True)
            source.rename(place)
