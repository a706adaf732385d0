"""What a running worker uses, and whether that is too much."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.errors import UnavailableError
from byoci.worker import tree
from byoci.worker.base import Exceeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from byoci.worker.base import Limits
    from byoci.worker.cgroup import Group

_FLOOR_MOST: Final = 1024**3  # this much of a disk or of the memory, or a twentieth, is left to the host
_FLOOR_SHARE: Final = 20
_FILES_LEAST: Final = 100_000  # how many files, folders and links a worker may make, and how many more for its disk
_BYTES_PER_FILE: Final = 16_384
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_NAMELESS: Final = ("/dev/zero (deleted)", "/memfd:", "/SYSV")  # how proc_pid_smaps(5) shows what is in no file system


@dataclass(slots=True)
class Watcher:
    """Looks at what one worker uses.

    folders  what it may write to, outside of memory; the disk of the first one is watched
    group    its control group, which bounds memory and processes
    pid      the worker's first process, where there is no control group to ask
    memory   the folders that it sees and that are kept in memory
    """

    folders: Sequence[Path]
    limits: Limits
    group: Group | None = None
    pid: int | None = None
    memory: Sequence[str] = ()
    _free: int = 0
    _available: int = 0

    def start(self) -> None:
        """Take the measure of the host before the worker starts.

        Raises `UnavailableError` where the disk is too full to start anything.
        """
        self._free, floor = _disk(self.folders[0])
        self._available = 0 if self.group else _memory()[0]
        if self._free < floor:
            raise UnavailableError(
                f"the disk of {self.folders[0]} is nearly full",
                details=f"{self._free // 1024**2} MB are free; {floor // 1024**2} MB stay reserved for the host",
                resolution="Free some space, or give the site's state another disk.",
            )

    def exceeded(self) -> Exceeded | None:
        """The limit that is exceeded now, if any."""
        if self._too_much_memory():
            return Exceeded.MEMORY
        return Exceeded.DISK if self._too_much_disk() else None

    def _too_much_memory(self) -> bool:
        if self.group is not None:
            return self.group.ran_out_of_memory()
        if self.pid is None:
            return False
        if _used_memory(self.pid, self.memory) > self.limits.memory:
            return True
        available, floor = _memory()
        return available < floor and self._available - available > self.limits.memory

    def _too_much_disk(self) -> bool:
        free, floor = _disk(self.folders[0])
        used = tree.Usage()
        for folder in self.folders:
            try:
                with contextlib.suppress(FileNotFoundError), tree.opened(folder) as fd:
                    used.add(fd)
            except PermissionError:  # a worker's own folder can be closed by it
                used.complete = False
        if not used.complete and self._free - free > self.limits.disk:
            return True  # it hides what it wrote, by closing folders or moving them about, but the disk shows it
        files = _FILES_LEAST + self.limits.disk // _BYTES_PER_FILE
        return used.size >= self.limits.disk or used.files > files or (free < floor and used.size > floor)


def _disk(folder: Path) -> tuple[int, int]:
    """Bytes that are free where `folder` is, and how many should be."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, min(_FLOOR_MOST, found.f_blocks * found.f_frsize // _FLOOR_SHARE)


def _memory() -> tuple[int, int]:
    """Bytes of memory that the host can still give out, and how many it should be able to."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines}
    return kilobytes["MemAvailable:"] * 1024, min(_FLOOR_MOST, kilobytes["MemTotal:"] * 1024 // _FLOOR_SHARE)


def _used_memory(first: int, folders: Sequence[str]) -> int:
    """What a worker's processes use, with what they share counted once, and its files in memory."""
    used = sum(map(_own_memory, _descendants(first)))
    for folder in folders:
        with contextlib.suppress(OSError):
            found = os.statvfs(f"/proc/{first}/root{folder}")
            used += (found.f_blocks - found.f_bfree) * found.f_frsize + (found.f_files - found.f_ffree) * 1024
    return used


def _own_memory(pid: int) -> int:
    """A process' share of memory that is in no file: its own, and what it shares with others of the worker."""
    try:
        lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        kilobytes = {words[0]: int(words[1]) for words in lines}
        shared = _nameless(pid) if kilobytes.get("Pss_Shmem:") else 0
        return kilobytes.get("Pss_Anon:", kilobytes["Pss:"]) * 1024 + shared
    except PermissionError:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return 0  # it has ended


def _nameless(pid: int) -> int:
    """The share of shared memory that is in no folder, where it would be counted as a file."""
    share, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(errors="replace").splitlines():
        first, *words = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping's first line; its last word is the file's name
            counts = words[-1].startswith(_NAMELESS)
        elif counts and first == "Pss:":
            share += int(words[0]) * 1024
    return share


def _descendants(pid: int) -> Iterator[int]:
    """A process and all that descend from it; in a pid namespace nobody leaves the line of its first process."""
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
