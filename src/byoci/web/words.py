"""Times, durations and sizes in words, for pages. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_SIZES: Final = ("bytes", "kB", "MB", "GB", "TB")


def duration(seconds: float | None) -> str:
    """“2 h 5 min”: at most two units; a dash for None."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 0.95:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count)


def moment(seconds: float) -> str:
    """A time in UTC for people, who are shown their own where the script runs."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_moment(seconds: float) -> str:
    """The same as HTML's `datetime` has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: float) -> str:
    """“12 kB”."""
    for name in _SIZES:
        if count < 1000 or name == _SIZES[-1]:
            return f"{count:.0f} {name}" if name == "bytes" or count >= 9.95 else f"{count:.1f} {name}"
        count /= 1000
    raise AssertionError


def plural(count: int, one: str, many: str = "") -> str:
    """“1 job”, “2 jobs”."""
    return f"{count:,} {one if count == 1 else many or one + 's'}".replace(",", "\N{NO-BREAK SPACE}")
