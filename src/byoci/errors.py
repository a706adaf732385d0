"""The exception tree. Every error that a person may see says what happened, the details, and what to do.

Exit codes: 0 done; 1 the proposal or job failed; 2 wrong use or configuration; 3 nothing to do; 75 byoci failed, try
again (`EX_TEMPFAIL` of sysexits.h).
"""

from __future__ import annotations

import errno
from typing import ClassVar, Final

FULL_DISK: Final = "Make room on that disk and try again; nothing that landed or was told is lost."
_FULL: Final = ("No space left on device", "Disk quota exceeded", "Out of diskspace")  # the last one is git's
_SILENT: Final = "See whether a disk or the memory is full."


class ByociError(Exception):
    """Base of all errors that byoci raises on purpose.

    brief       one line: what happened
    details     what exactly, as far as known: a path, a program's last words
    resolution  what the reader can do
    """

    exit_code: ClassVar[int] = 75

    def __init__(self, brief: str, *, details: str = "", resolution: str = "") -> None:
        super().__init__(brief)
        self.brief = brief
        self.details = details
        self.resolution = resolution

    def __str__(self) -> str:
        return "\n".join(part for part in (self.brief, self.details, self.resolution) if part)


class UsageError(ByociError):
    """The command was used wrongly: a bad argument, a proposal that does not exist, a right that is missing."""

    exit_code = 2


class ConfigError(ByociError):
    """The configuration is wrong; nothing was done."""

    exit_code = 2


class RejectedError(ByociError):
    """The proposal itself is at fault: an object that is not allowed, a source that breaks the URL policy."""

    exit_code = 1


class NothingToDoError(ByociError):
    """There was nothing to do."""

    exit_code = 3


class UnavailableError(ByociError):
    """Something outside did not answer or is not as it must be: a remote, a disk, a program. Trying again may help."""


class UnreachableError(UnavailableError):
    """A repository could not be read: gone, refused, or not answering."""


class RevisionGoneError(RejectedError):
    """A revision that was approved is no longer in its source."""


class TrunkMovedError(UnavailableError):
    """Trunk's tip is not the one the candidate was made on. Nothing was published; make a new candidate."""


class PublishRefusedError(UnavailableError):
    """Trunk's own server or working tree refused the push. Nothing was published."""


class LeaseHeldError(UnavailableError):
    """Another lander holds this trunk's lease."""


class UnsealableError(UnavailableError):
    """The sandbox cannot be made here. byoci never runs a test unsealed: it says what to change and stops."""


class ProgramError(ByociError):
    """A program that byoci started ended with another status than it should have."""

    def __init__(self, argv: tuple[str, ...], status: int, stderr: str) -> None:
        killed = status < 0 or status > 128 or "died of signal" in stderr  # as shells and git tell it
        remedy = FULL_DISK if _is_full(stderr) else _SILENT if killed or not stderr.strip() else ""
        details = stderr.strip() or "It told no reason."
        super().__init__(f"{argv[0]} ended with status {status}", details=details, resolution=remedy)
        self.argv = argv
        self.status = status
        self.stderr = stderr


class ProgramMissingError(ByociError):
    """A program that byoci needs is not installed."""

    exit_code = 2


class ProgramTimeoutError(UnavailableError):
    """A program did not end in its time and was killed with all that it started."""


_REMEDIES: Final = {
    errno.ENOSPC: FULL_DISK,
    errno.EDQUOT: FULL_DISK,
    errno.EACCES: "Make sure that byoci's user may read and write it.",
    errno.EPERM: "Make sure that byoci's user may read and write it.",
    errno.EROFS: "Make sure that it is on a disk that can be written to.",
    errno.EMFILE: "Raise this user's limit on open files (ulimit -n).",
    errno.ENOMEM: "Give this machine more memory, or let it do less at once.",
}


def of_system(error: OSError) -> UnavailableError:
    """What the system said, as an error for people."""
    return UnavailableError(
        f"the system says: {error.strerror or error}",
        details=str(error.filename or ""),
        resolution=_REMEDIES.get(
            error.errno or 0, "Try again; if it stays so, look at the disk and at the system's log."
        ),
    )


def of_full_disk(said: str) -> UnavailableError | None:
    """The error for a program that failed because a disk is full; None where `said`, its words, tell something else."""
    return UnavailableError("a disk is full", details=said, resolution=FULL_DISK) if _is_full(said) else None


def _is_full(said: str) -> bool:
    return any(words in said for words in _FULL)


def of_bug(error: Exception) -> UnavailableError:
    """Something that nobody foresaw, as an error for people: where it was, and what to do."""
    import traceback

    *_, last = traceback.extract_tb(error.__traceback__)
    return UnavailableError(
        f"byoci failed in a way that it does not know: {type(error).__name__}: {error}"[:500],
        details=f"in {last.name}, {last.filename}:{last.lineno}",
        resolution="Try again; if it stays so, report it with what `byoci -v` shows.",
    )
