"""Test results in numbers, names and words. All that comes in is hostile: counted, bounded, made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.log import printable
from byoci.model import TestSummary

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES_KEPT: Final = 100
NAME_LENGTH: Final = 200
_NAMES_TOLD: Final = 10


class Tally:
    """Counts tests as they are told, in bounded memory: the first `NAMES_KEPT` failed names, a number for the rest."""

    def __init__(self) -> None:
        self.total = 0
        self.skipped = 0
        self.unnamed = 0
        self.failed: list[str] = []

    @property
    def failures(self) -> int:
        """How many failed so far."""
        return len(self.failed) + self.unnamed

    def passed(self) -> None:
        """One more test ran and succeeded."""
        self.total += 1

    def skip(self) -> None:
        """One more test did not run."""
        self.total += 1
        self.skipped += 1

    def fail(self, name: str) -> None:
        """One more test failed; `name` is untrusted."""
        self.total += 1
        if len(self.failed) < NAMES_KEPT:
            self.failed.append(harmless(name))
        else:
            self.unnamed += 1

    def summary(self) -> TestSummary:
        """What was counted, as a value."""
        return TestSummary(self.total, tuple(self.failed), self.skipped, self.unnamed)


def harmless(name: str) -> str:
    """A test's name on one line, at most `NAME_LENGTH` characters, without control sequences."""
    text = name[: NAME_LENGTH * 8].encode("utf-8", "backslashreplace").decode()  # a file's name may hold surrogates
    line = printable(" ".join(text.split()))
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + "…"


def combine(summaries: Iterable[TestSummary | None]) -> TestSummary | None:
    """The sum of those that are there; None when there is none."""
    found = [summary for summary in summaries if summary is not None]
    if not found:
        return None
    names = tuple(name for summary in found for name in summary.failed)
    return TestSummary(
        total=sum(summary.total for summary in found),
        failed=names[:NAMES_KEPT],
        skipped=sum(summary.skipped for summary in found),
        unnamed=sum(summary.unnamed for summary in found) + len(names[NAMES_KEPT:]),
    )


def describe(summary: TestSummary) -> str:
    """In words, on one line: "34 tests, 1 skipped, 2 failed: a.b.c, d.e.f"."""
    parts = ["1 test" if summary.total == 1 else f"{summary.total} tests"]
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    if summary.failures:
        names = ", ".join(summary.failed[:_NAMES_TOLD])
        more = summary.failures - len(summary.failed[:_NAMES_TOLD])
        parts.append(f"{summary.failures} failed: {names}" + (f" and {more} more" if more else ""))
    return ", ".join(parts)
