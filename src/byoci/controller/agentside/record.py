"""What a supervisor leaves behind for others to read: a log, a status, and who it is."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from typing import Any

MASK = b"********"
MOST = 4 << 30  # bytes of a build's log
PRINTED = b"+"  # written into `wake`
MORE = b"!"
_CUT = b"\nThe log is too long: what the build prints from here on is not kept.\n"


@functools.cache
def boot_id() -> str:
    """What the kernel calls the time since it was started."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_of(pid: int) -> int:
    """When a process was started, in the kernel's ticks; with its number that is a name which is never used again.

    0 where there is no such process, or only what is left of one.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def write_json(path: str, value: dict[str, Any]) -> None:
    """Replace the file in one step, so that it survives whatever happens."""
    descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(value, file)
    os.rename(f"{path}.new", path)


def note_stop(folder: str) -> None:
    """Have it known, also to a supervisor that has yet to begin, that somebody wants the build's end."""
    with contextlib.suppress(FileNotFoundError):
        os.close(os.open(f"{folder}/stop", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def is_stopped(folder: str) -> bool:
    """Whether somebody does."""
    return os.path.exists(f"{folder}/stop")


class Log:
    """The log: secrets masked also where they come in pieces, and each line's time before it where that is wanted."""

    def __init__(self, folder: str, secrets: list[str], *, timestamps: bool, most: int = MOST) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(f"{folder}/log", flags, 0o600)
        self._wake = os.open(f"{folder}/wake", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        lines = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        # As bash and dash print them with -x.
        lines |= {line.replace("'", quote) for line in lines for quote in ("'\\''", "'\"'\"'")}
        masked = {os.fsencode(line) for line in lines if line}
        self._secrets = sorted(masked, key=len, reverse=True)
        self._timestamps = timestamps
        self._room = most
        self._held = b""
        self._at_start = True
        self.untold: float | None = None  # since when there is what `wake` was not called for

    def write(self, data: bytes) -> None:
        """Add what was printed; what may be the beginning of a secret waits for what comes after it."""
        data = self._held + data
        for secret in self._secrets:
            data = data.replace(secret, MASK)
        keep = max((self._overlap(data, secret) for secret in self._secrets), default=0)
        self._held = data[len(data) - keep :]
        self._put(data[: len(data) - keep])

    @staticmethod
    def _overlap(data: bytes, secret: bytes) -> int:
        """How many of the last bytes are the beginning of `secret`."""
        for length in range(min(len(secret) - 1, len(data)), 0, -1):
            if data.endswith(secret[:length]):
                return length
        return 0

    def _put(self, data: bytes) -> None:
        if self._timestamps and data:
            stamp = time.strftime("%H:%M:%S ").encode()
            ends = data.endswith(b"\n")
            body = (data[:-1] if ends else data).replace(b"\n", b"\n" + stamp)
            data = (stamp if self._at_start else b"") + body + (b"\n" if ends else b"")
            self._at_start = ends
        if self._room < 0:
            return
        self._room -= len(data)
        if self._room < 0:
            data = data[: self._room] + _CUT
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        if data and self.untold is None:
            self.untold = time.monotonic()

    def say(self, line: str) -> None:
        """A line of the supervisor's own."""
        self.write(os.fsencode(line) + b"\n")

    def finish(self) -> int:
        """Write what was held back; gives the length of the log."""
        held, self._held = self._held, b""
        self._put(held)
        return os.fstat(self._file).st_size

    def wake(self, what: bytes = PRINTED) -> None:
        """Tell whoever looks that there is something to see: more of the log, or `MORE` than that."""
        self.untold = None
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, what)

    def close(self) -> None:
        """Nothing more is written."""
        os.close(self._file)
        os.close(self._wake)


def descendants(root: int) -> list[int]:
    """All processes below `root`."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                if fields[0] != b"Z":
                    parents[int(name)] = int(fields[1])
    found, todo = [], [root]
    while todo:
        above = todo.pop()
        below = [pid for pid, parent in parents.items() if parent == above]
        found += below
        todo += below
    return found
