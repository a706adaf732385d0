"""The older format: sections and options of one text, each with its place.

    # a comment
    option.name = value            # before the first section: for every machine
    [machine]
    option.name = value

A name has letters, digits, `_` and `.`. A value is one line: it ends at a `#`, a tab or the line's end, and has no
blanks around it. There are no quotes and no escapes. A section or an option stands once; all else is comments.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.wrong import MigrationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILLER: Final = re.compile(r"[ \t\f\v]*(?:#[^\n]*)?\n")
_SECTION: Final = re.compile(r"\[([^\]]*)\]")
_OPTION: Final = re.compile(r"[ \t\f\v]*(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=[ \t\f\v]*(?P<value>[^#\n\t\f\v]*)")
_MOVED: Final = re.compile(r"\s*#\s*byoci migrate moved (?P<name>[A-Za-z_][A-Za-z0-9_.]*) to (?P<place>.*\S)")
_LINE_END: Final = re.compile(r"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Definition:
    """An option where it is given a value.

    file     the file, as the person named it
    rank     the place of the file among the files: the lower one counts
    section  the name of its section; None before the first
    start    of the name, and `end` of the value, as offsets into the text with one character for each line's end
    moved    where an earlier `byoci migrate` put the value, a secret; `value` is "" then
    """

    name: str
    value: str = field(repr=False)
    section: str | None
    file: Path
    rank: int
    line: int
    start: int
    end: int
    moved: str = ""

    @property
    def place(self) -> str:
        """The place, as FILE:LINE."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """The options of a text in its order, and the names of its sections."""

    definitions: tuple[Definition, ...]
    sections: tuple[str, ...]


def lines_joined(text: str) -> str:
    """`text` with every line's end, also those of other systems, as one newline."""
    return _LINE_END.sub("\n", text)


class Offsets:
    """From offsets into `lines_joined(text)` to offsets into `text`."""

    def __init__(self, text: str) -> None:
        pairs = [match.start() for match in re.finditer("\r\n", text)]
        self._joined = [at - number for number, at in enumerate(pairs)]

    def original(self, offset: int) -> int:
        """Where in the text is what stands at `offset` of the joined one."""
        return offset + bisect_left(self._joined, offset)


def parse(text: str, file: Path, rank: int) -> Parsed:
    """Read a text of the older format. Raises `MigrationError` with the first line that is none of it."""
    reader = _Reader(lines_joined(text), file, rank)
    reader.read()
    here = {(one.section, one.name) for one in reader.definitions if not one.moved}
    valid = (one for one in reader.definitions if not one.moved or (one.section, one.name) not in here)
    return Parsed(tuple(valid), tuple(name for name in reader.sections if name is not None))


class _Reader:
    def __init__(self, text: str, file: Path, rank: int) -> None:
        self.definitions: list[Definition] = []
        self.sections: dict[str | None, int] = {}
        self._text = text if text.endswith("\n") else text + "\n"
        self._file, self._rank = file, rank
        self._section: str | None = None
        self._lines: dict[str, int] = {}  # of the section's options
        self._at, self._line, self._counted = 0, 1, 0

    def read(self) -> None:
        while True:
            self._skip()
            if self._at >= len(self._text):
                return
            if found := _SECTION.match(self._text, self._at):
                self._enter(found)
            elif found := _OPTION.match(self._text, self._at):
                self._take(found)
            else:
                raise self._wrong("is neither a [section] nor an option = value")

    def _skip(self) -> None:
        """Pass over blank lines and comments; what an earlier migration left in one is an option still."""
        while found := _FILLER.match(self._text, self._at):
            if moved := _MOVED.match(found[0]):
                line = self._line_of(self._at)
                self.definitions.append(
                    Definition(
                        moved["name"],
                        "",
                        self._section,
                        self._file,
                        self._rank,
                        line,
                        self._at,
                        self._at,
                        moved["place"],
                    )
                )
            self._at = found.end()

    def _enter(self, found: re.Match[str]) -> None:
        name = found[1]
        if not name.strip() or "\n" in name:
            raise self._wrong("names no section" if not name.strip() else "has no end of the section's name")
        if name in self.sections:
            raise self._wrong(f"begins section [{name}], which began on line {self.sections[name]} already")
        self._section, self._lines = name, {}
        self.sections[name] = self._line_of(self._at)
        self._at = found.end()

    def _take(self, found: re.Match[str]) -> None:
        name = found["name"]
        line = self._line_of(found.start("name"))
        if name in self._lines:
            raise self._wrong(f"sets {name}, which line {self._lines[name]} sets already")
        value = found["value"].rstrip(" ")
        end = found.start("value") + len(value)
        self._lines[name] = line
        self.definitions.append(
            Definition(name, value, self._section, self._file, self._rank, line, found.start("name"), end)
        )
        self._at = end

    def _line_of(self, offset: int) -> int:
        self._line += self._text.count("\n", self._counted, offset)
        self._counted = max(self._counted, offset)
        return self._line

    def _wrong(self, text: str) -> MigrationError:
        return MigrationError([f"{self._file}:{self._line_of(self._at)}: {text}"])


def references(value: str) -> Iterator[str]:
    """The options that a value names in the plain way, `{option}`; those put together from others are not seen."""
    return (found[1] for found in re.finditer(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}", value))
