"""The power goes: of files that were written and not synced, only the first part is found on the disk.

What was fsynced is there whole: by Python code (`Disk` hears of it); by git, of packs and their indices always, of all
else in a repository where it was told to (git-config(1), `core.fsync`); by SQLite, of a database that is durable, and
of every database before its log is emptied. What a worker's sandbox holds is lost with it.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYNCED = ("*.pack", "*.idx", "*.rev", "forge.sqlite*", "lander.sqlite", "*-shm")
SLACK = 10_000_000  # nanoseconds: a file's times are those of the last tick of the kernel's clock


class Disk:
    """The files below some folders: how they were when the run began, and which are synced now."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._before = {found.st_ino: found.st_size for _, found in self._files()}
        self._synced: dict[int, int] = {}
        self._git_syncs = 0  # since when git was told to, in nanoseconds
        sys.addaudithook(self._started)
        os.fsync = self._heard(os.fsync)
        os.fdatasync = self._heard(os.fdatasync)
        os.sync = self._all_synced

    def _started(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and "core.fsync=all" in " ".join(map(os.fsdecode, arguments[1])):
            self._git_syncs = self._git_syncs or time.time_ns()

    def _heard(self, sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def synced(file: Any) -> None:
            sync(file)
            found = os.fstat(file if isinstance(file, int) else file.fileno())
            self._synced[found.st_ino] = found.st_mtime_ns

        return synced

    def _all_synced(self) -> None:
        self._synced |= {found.st_ino: found.st_mtime_ns for _, found in self._files()}

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._folders:
            for place, _, names in os.walk(folder):
                for path in (Path(place, name) for name in names):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield path, found

    def lose(self, since: int) -> None:
        """Cut what was written since a time (nanoseconds) and not synced to the half of what is new in it."""
        for path, found in list(self._files()):
            if found.st_mtime_ns < since - SLACK and found.st_ctime_ns < since - SLACK:
                continue
            if self._synced.get(found.st_ino) == found.st_mtime_ns or _synced_by_others(path):
                continue
            if self._git_syncs and found.st_ctime_ns > self._git_syncs - SLACK and _is_gits(path):
                continue
            before = min(self._before.get(found.st_ino, 0), found.st_size)
            os.truncate(path, before + (found.st_size - before) // 2)


def _synced_by_others(path: Path) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in SYNCED)


def _is_gits(path: Path) -> bool:
    """Whether it is an object, a ref or an index of trunk's repository."""
    below = path.parts[path.parts.index("repository") :] if "repository" in path.parts else ()
    return "objects" in below or "refs" in below or path.name == "index"


def another_boot(folder: Path) -> None:
    """Let what notes the boot that it was written in be of another one, as it is when the machine is up again."""
    for note in folder.rglob("written-in"):
        note.write_text("another boot\n")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for note in folder.rglob("held"):  # of a shared tree; breezy's locks are folders of that name
        if note.is_file():
            note.write_bytes(note.read_bytes().replace(boot.encode(), b"another boot"))
