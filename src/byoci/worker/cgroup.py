"""Limits on memory and processes of a whole worker, by control groups, version 1 or 2, where they may be made.

A worker's group lies below the group that byoci itself runs in, or below the nearest one above that this user may
divide; what limits byoci limits its workers. Where there is none, `home` is None and the caller uses other limits.

The kernel sets up much for the first processes of a new group: they take half as long again to start. So a group that
its worker left empty is kept for the next one, while this process lasts.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import itertools
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.worker.base import Limits

_NEEDED: Final = frozenset(("memory", "pids"))
_PREFIX: Final = "byoci-"
_OURS: Final = re.compile(rf"{_PREFIX}([0-9a-f]+)-(\d+)-(\d+)-(\d+)-\d+")  # boot, pid namespace, pid, start, number
_OWN_PROCESSES: Final = 3  # bubblewrap's own: outside, outside before a stage, and the first within
_REMOVE_SECONDS: Final = 5.0  # the kernel may need a moment after a group's last process
_KEPT: Final = 16  # groups for workers to come
_HELD: Final = 64 << 20  # bytes of disk cache and the like that a group may hold and still be kept
_numbers = itertools.count()

_LEFT: Final = "The next run removes the groups of dead ones, with all that runs in them."
_GROUP = effects.declare("worker.group", "a control group, and its limits", half=_LEFT, done=_LEFT)
_UNGROUP = effects.declare("worker.ungroup", "a control group is removed, with what runs in it", half=_LEFT)


@dataclass(frozen=True, slots=True)
class Home:
    """Where groups can be made.

    version  1 or 2
    folders  the folders to divide; version 1 has one for each controller
    """

    version: int
    folders: tuple[Path, ...]


@contextlib.contextmanager
def lent(home: Home, limits: Limits) -> Iterator[Group]:
    """An empty group with these limits, for one worker. What still runs in it at the end is killed.

    Raises `UnavailableError` where it could not be made or emptied.
    """
    group = _kept.take(home, limits) or Group(home, limits)
    try:
        yield group
    finally:
        if group.reusable():
            _kept.give(group)
        else:
            group.close()


class Group:
    """The control group of one worker at a time."""

    def __init__(self, home: Home, limits: Limits) -> None:
        self.purpose = _purpose(home, limits)
        self._home = home
        name = f"{_PREFIX}{_identity()}-{next(_numbers)}"
        self._folders = [f"{folder}/{name}" for folder in home.folders]
        self._doors: list[FileIO] = []
        try:
            with _GROUP:
                for folder in self._folders:
                    os.mkdir(folder)  # noqa: PTH102 -- on the way of every worker, pathlib takes longer than the kernel
                self._set(limits)
        except OSError as error:
            self.close()
            raise UnavailableError("a worker's control group could not be made", details=str(error)) from error

    def _set(self, limits: Limits) -> None:
        memory, pids = self._folders[0], self._folders[-1]
        _write(f"{pids}/pids.max", limits.processes + _OWN_PROCESSES)
        if self._home.version == 1:
            _write(f"{memory}/memory.limit_in_bytes", limits.memory)
            with contextlib.suppress(OSError):  # only there with swap accounting
                _write(f"{memory}/memory.memsw.limit_in_bytes", limits.memory)
        else:
            _write(f"{memory}/memory.max", limits.memory)
            _write(f"{memory}/memory.oom.group", 1)
            with contextlib.suppress(OSError):  # only there with swap
                _write(f"{memory}/memory.swap.max", 0)

    @property
    def passable(self) -> bool:
        """Whether who has one thread may better pass through the group than have the kernel move another process.

        For that it waits until every processor has come by (RCU), which takes milliseconds; a thread moves itself at
        once. Only version 1 lets it.
        """
        return self._home.version == 1

    def doors(self) -> list[FileIO]:
        """The files that a process joins through, by its pid, or a thread by "0"; whoever holds one may do so.

        Of a passable group those of the groups that this process is in follow, to come back by. They stay open as long
        as the group is there.
        """
        if not self._doors:
            self._doors += map(self._opened, self._folders)
            self._doors += map(self._opened, self._home.folders if self.passable else ())
        return self._doors

    @_GROUP
    def _opened(self, folder: str | Path) -> FileIO:
        name = "tasks" if self.passable else "cgroup.procs"
        return FileIO(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CLOEXEC), "wb")

    def reusable(self) -> bool:
        """Whether nothing of a worker is left that another one would feel."""
        name = "memory.usage_in_bytes" if self._home.version == 1 else "memory.current"
        try:
            running = any(_read(f"{folder}/cgroup.procs") for folder in self._folders)
            return not (running or self.ran_out_of_memory()) and int(_read(f"{self._folders[0]}/{name}")) < _HELD
        except OSError:
            return False

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel had to kill a process in it."""
        events = "memory.oom_control" if self._home.version == 1 else "memory.events"
        counts = dict(line.split() for line in _read(f"{self._folders[0]}/{events}").splitlines())
        return int(counts.get(b"oom_kill", 0)) > 0

    def close(self) -> None:
        """Remove it; what still runs in it is killed. Safe to repeat."""
        while self._doors:
            self._doors.pop().close()
        for folder in self._folders:
            _remove(folder)


def _purpose(home: Home, limits: Limits) -> tuple[int, Home, int, int]:
    return os.getpid(), home, limits.memory, limits.processes


class _Kept:
    """The groups that wait for their next worker, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: list[Group] = []

    def take(self, home: Home, limits: Limits) -> Group | None:
        """One with these limits; after a fork, those of the parent are not ours."""
        purpose = _purpose(home, limits)
        with self._lock:
            found = next((group for group in self._groups if group.purpose == purpose), None)
            if found is not None:
                self._groups.remove(found)
        return found

    def give(self, group: Group) -> None:
        """Keep one; the oldest goes where there are too many."""
        with self._lock:
            self._groups.append(group)
            surplus = self._groups.pop(0) if len(self._groups) > _KEPT else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Remove them all."""
        with self._lock:
            groups, self._groups = self._groups, []
        for group in groups:
            if group.purpose[0] == os.getpid():
                group.close()


_kept: Final = _Kept()
atexit.register(_kept.close)


def _write(path: str, value: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # where it is not there, it is not to be made
    try:
        os.write(fd, b"%d" % value)
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


@_UNGROUP
def _remove(folder: str) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            os.rmdir(folder)  # noqa: PTH106 -- as above
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise UnavailableError(f"{folder} could not be removed", details=str(error)) from error
            for pid in Path(folder, "cgroup.procs").read_text().split():
                if int(pid) > 0:  # 0: a process that cannot be seen from here
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.005)
        else:
            return


@functools.cache
def home() -> Home | None:
    """Where this process may make groups; None where it may not. Groups of dead processes are removed on the way."""
    for find in (_version_2, _version_1):
        found = find()
        if found is not None:
            _reap(found)
            return found
    return None


def _version_2() -> Home | None:
    for own, top in _own("cgroup2", ""):
        for folder in (own, *own.parents):
            divided = set((folder / "cgroup.subtree_control").read_text().split())
            if divided.issuperset(_NEEDED) and _mine(folder):
                return Home(2, (folder,))
            if folder == top:
                break
    return None


def _version_1() -> Home | None:
    folders = tuple(own for controller in ("memory", "pids") for own, _ in _own("cgroup", controller))
    return Home(1, folders) if len(folders) == len(_NEEDED) and all(map(_mine, folders)) else None


def _mine(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _own(kind: str, controller: str) -> Iterator[tuple[Path, Path]]:
    """Our group in the hierarchy with a controller, and the top of that hierarchy, as far as both are mounted.

    The formats are those of cgroups(7), "/proc files", and proc_pid_mountinfo(5).
    """
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    path = next((path for _, names, path in groups if controller in names.split(",")), None)
    if path is None:
        return
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        root, top = mount.split()[3:5]
        found, _, options = source.split(maxsplit=2)
        if found == kind and (not controller or controller in options.split()[-1].split(",")):
            below = path.removeprefix(root.rstrip("/")).lstrip("/") if path.startswith(root) else ""
            if (Path(top) / below / "cgroup.procs").exists():
                yield Path(top) / below, Path(top)
                return


@functools.cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since the system did (proc_pid_stat(5), field 22); None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])


def _identity() -> str:
    """What names this process for as long as the machine lives: boot, pid namespace, pid, start time."""
    return _identity_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _identity_of(pid: int) -> str:
    return f"{_boot()}-{os.stat('/proc/self/ns/pid').st_ino}-{pid}-{_started(pid)}"  # noqa: PTH116 -- a magic link


def _reap(home: Home) -> None:
    """Remove the groups of processes that are gone, with all that still runs in them."""
    ours = _identity().split("-")
    for folder in home.folders:
        for group in folder.glob(f"{_PREFIX}*"):
            name = _OURS.fullmatch(group.name)  # others may call theirs like ours
            if name and [name[1], name[2]] == ours[:2] and str(_started(int(name[3]))) != name[4]:
                _remove(str(group))
