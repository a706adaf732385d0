"""Computers for the tests of the scripts that people start from a bare checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[2]
PARTS = (
    "src",
    "requirements",
    "scripts",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "byoci-install",
    "test",
    ".ci",
    "tests",
)
IS_ROOT = os.getuid() == 0
STRANGER = 54321  # a user without an account
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
# The link for root goes to /usr/local/bin: the tests' own, which ends with the run.
AS_ROOT = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/local/bin && exec "$@"', "sh")
AS_STRANGER = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
NO_NETWORK = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
}


@dataclass
class Computer:
    """A checkout and a home, both of whom they say they are, with spaces in their names."""

    folder: Path
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "a home"

    @property
    def checkout(self) -> Path:
        return self.folder / "a checkout"

    @property
    def state(self) -> Path:
        return self.home / ".byoci"

    def start(
        self,
        *arguments: str,
        program: str = "byoci-install",
        prefix: tuple[str, ...] | None = None,
        **environment: str,
    ) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return subprocess.Popen(
            [*(self.prefix if prefix is None else prefix), str(self.checkout / program), *arguments],
            env={"PATH": SYSTEM_PATH, "HOME": str(self.home), **inherited, **self.environment, **environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def install(
        self,
        *arguments: str,
        prefix: tuple[str, ...] | None = None,
        **environment: str,
    ) -> tuple[int, str, str]:
        process = self.start("--bootstrap-only", *arguments, prefix=prefix, **environment)
        stdout, stderr = process.communicate(timeout=600)
        return process.returncode, stdout, stderr

    def version(self) -> str:
        run = subprocess.run(
            [self.state / "venv/bin/byoci", "--version"],
            env={"PATH": SYSTEM_PATH, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    def environments(self) -> set[str]:
        return {folder.name for folder in (self.state / "venvs").iterdir()}


@contextmanager
def bare_computer(prefix: tuple[str, ...], owner: int) -> Generator[Computer]:
    """A computer with a checkout and an empty home, gone in the end."""
    computer = Computer(Path(tempfile.mkdtemp(prefix="byoci-install-")), prefix)
    try:
        _furnish(computer, owner)
        yield computer
    finally:
        shutil.rmtree(computer.folder)


def _furnish(computer: Computer, owner: int) -> None:
    computer.folder.chmod(0o755)
    computer.home.mkdir(mode=0o700)
    computer.checkout.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, computer.checkout / part)
    if IS_ROOT:
        subprocess.run(["chown", "-R", f"{owner}:{owner}", computer.folder], check=True)


def programs(computer: Computer, *without: str) -> str:
    """A PATH with the system's programs but these; without apt-get too, so that root installs nothing here."""
    folder = computer.folder / "programs"
    folder.mkdir(exist_ok=True)
    for place in reversed(SYSTEM_PATH.split(":")):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            link = folder / program.name
            link.unlink(missing_ok=True)
            if program.name not in (*without, "apt-get"):
                link.symlink_to(program)
    return str(folder)
