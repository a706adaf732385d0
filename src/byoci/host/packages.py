"""What byoci's own unit tests need, packed up by the person's own pip for a worker that has no network."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ProgramError, UnavailableError
from byoci.worker.sandbox_args import PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

_PYTHONS: Final = ("python3", "python3.13", "python3.12", "python3.11")
_RANGE: Final = ((3, 11), (3, 14))
_SECONDS: Final = 600


def worker_python() -> tuple[str, str] | None:
    """Name and version, as "3.11", of a Python of this system that workers see and that byoci runs on."""
    for name in _PYTHONS:
        path = shutil.which(name, path=PATH)
        if path is None:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = proc.run((path, "-I", "-c", code), env=proc.base_environment()).text
        if _RANGE[0] <= tuple(map(int, version.split("."))) < _RANGE[1]:
            return name, version
    return None


def pack(requirements: Path, version: str, target: Path, wheels: Sequence[Path] = ()) -> None:
    """Write the locked packages, as installed for Python `version`, into the archive `target`.

    wheels  folders with files that need not be fetched
    Raises `UnavailableError` where they cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix="byoci-seed-") as scratch:
        folder = Path(scratch, "packages")
        pip = (sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
        locked = ("--require-hashes", "--only-binary", ":all:", "-r", str(requirements))
        place = ("--no-compile", "--python-version", version, "--target", str(folder))
        known = tuple(f"--find-links={found}" for found in wheels)
        try:
            # The person's settings count: they say where packages come from.
            proc.run((*pip, *locked, *place, *known), env=dict(os.environ), timeout=_SECONDS)
        except ProgramError as error:
            raise UnavailableError(
                "the packages that byoci's own tests need could not be fetched",
                details=error.stderr.strip()[-1000:],
                resolution="Check the network, or the index that pip is configured to use, and try again.",
            ) from error
        with gzip.open(target, "wb", compresslevel=6) as file, tarfile.open(fileobj=file, mode="w|") as archive:
            archive.add(folder, ".", filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
