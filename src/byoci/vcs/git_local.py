"""The tip of a repository on this machine, read from its files (gitrepository-layout) without starting a program.

Only the plain case: a branch as a file below `refs`, or in `packed-refs`. For all else git itself is asked.
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_SYMREF: Final = re.compile(rb"ref: (refs/[!-~]+)\n")
_ID: Final = re.compile(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?)\n")
_LARGEST: Final = 16 * 1024**2  # bytes of a packed-refs file


def read_tip(path: Path, ref: str) -> tuple[str, str] | None:
    """The id and the full name of a branch ("HEAD" for the default one), or None where git has to be asked."""
    folder = path / ".git" if (path / ".git").exists() else path
    if not ((folder / "objects").is_dir() and (folder / "refs").is_dir()) or (folder / "commondir").exists():
        return None
    if ref == "HEAD":
        head = _SYMREF.fullmatch(_read(folder / "HEAD"))
        if head is None:
            return None
        ref = head[1].decode()
    if ".." in ref:
        return None
    # In this order: a branch that is being packed is in the second place before it leaves the first.
    found = _ID.fullmatch(_read(folder / ref)) or _packed(ref).search(_read(folder / "packed-refs"))
    return (found[1].decode(), ref) if found else None


def _packed(ref: str) -> re.Pattern[bytes]:
    return re.compile(rb"^([0-9a-f]{40}(?:[0-9a-f]{24})?) " + re.escape(ref.encode()) + rb"$", re.MULTILINE)


def _read(path: Path) -> bytes:
    """A regular file's content, or nothing: its folder may be another user's, who put a pipe or a link there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(facts.st_mode) and facts.st_size <= _LARGEST else b""
