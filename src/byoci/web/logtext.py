"""What programs printed, as lines for a page: harmless, with the colours of terminals as names for the style. Pure.

Logs come from code under test. Whatever is in them ends as text: control sequences are taken out (colours) or shown
(the rest), nothing can be hidden, and a line without end is cut into pieces.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 16_384  # bytes of a piece of a line
_PARTS: Final = 500  # changes of colour in a piece
# A control sequence (ECMA-48), a command to the terminal itself (window titles, links), any other escape, a control
# character, or what changes the direction of text.
_CONTROL: Final = re.compile(
    r"\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
    r"|([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069])"
)
_TIME: Final = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2} ")  # before each line, where a job asks for that
_COMMAND: Final = re.compile(r"\++ \S")  # as a shell traces it
_GROUP: Final = re.compile(r"(?:::group::|##\[group\])(.*)")
_GROUP_END: Final = re.compile(r"(?:::endgroup::|##\[endgroup\])\s*")
Part = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a piece of a long one.

    kind  "command" or "group" begins a section, "end" ends a group, "more" goes on with the line before, "" is
          anything else
    open  whether it has no end yet: it comes again, longer
    """

    number: int
    kind: str
    parts: Sequence[Part]
    open: bool = False

    @property
    def text(self) -> str:
        """What it says, without colours."""
        return "".join(text for _, text in self.parts)


class Colours:
    """What a terminal would print with now: it goes on from line to line."""

    def __init__(self) -> None:
        self._colour = ""
        self._styles: set[str] = set()

    @property
    def look(self) -> str:
        """Names for the style; background colours and hidden text are left out, so that all can be read."""
        return " ".join([*([self._colour] if self._colour else []), *sorted(self._styles)])

    def change(self, codes: str) -> None:
        """What follows `ESC [` in a sequence that sets colours."""
        numbers = [int(code) if code.isascii() and code.isdigit() and len(code) < 4 else 0 for code in codes.split(";")]
        while numbers:
            code = numbers.pop(0)
            if code in (38, 48):  # one of 256 colours, or of all: left out, with the numbers that say which
                del numbers[: 2 if numbers[:1] == [5] else 4 if numbers[:1] == [2] else 0]
            elif code == 0:
                self._colour, self._styles = "", set()
            elif 30 <= code <= 37:
                self._colour = f"c{code - 30}"
            elif 90 <= code <= 97:
                self._colour = f"c{code - 90}"
            elif code == 39:
                self._colour = ""
            elif code in (1, 3, 4):
                self._styles.add({1: "b", 3: "i", 4: "u"}[code])
            elif code in (22, 23, 24):
                self._styles.discard({22: "b", 23: "i", 24: "u"}[code])


class Lines:
    """Makes lines of bytes that come in parts.

    number  of the first line
    offset  where in the log the bytes begin
    inside  whether they begin within that line
    """

    def __init__(self, number: int, offset: int, *, inside: bool = False) -> None:
        self.number = number
        self.offset = offset  # of what belongs to no line yet
        self._rest = b""
        self._inside = inside
        self._colours = Colours()

    def feed(self, data: bytes) -> list[Line]:
        """The lines, and pieces of a long one, that are complete now."""
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest
        made: list[Line] = []
        for line in whole:
            made += self._pieces(line)
            self.number += 1
            self.offset += len(line) + 1
            self._inside = False
        while len(self._rest) > LONGEST:
            piece = self._rest[: _cut(self._rest)]
            made.append(self._line(piece))
            self._rest = self._rest[len(piece) :]
            self.offset += len(piece)
        return made

    def unfinished(self) -> list[Line]:
        """The line that has no end yet, if there is one; the next lines begin with it again."""
        if not self._rest:
            return []
        before = self._inside, copy.deepcopy(self._colours)
        line = self._line(self._rest)
        self._inside, self._colours = before
        return [Line(line.number, line.kind, line.parts, open=True)]

    def _pieces(self, line: bytes) -> list[Line]:
        line = line.removesuffix(b"\r")
        made = []
        while len(line) > LONGEST:
            end = _cut(line)
            made.append(self._line(line[:end]))
            line = line[end:]
        return [*made, self._line(line)]

    def _line(self, data: bytes) -> Line:
        text = data.decode("utf-8", "replace").replace("\r", "\n")  # a bar of progress: nothing of it is hidden
        kind, stamp = "more" if self._inside else "", ""
        if not kind:
            stamp = found[0] if (found := _TIME.match(text)) else ""
            text = text[len(stamp) :]
            kind = "command" if _COMMAND.match(text) else "end" if _GROUP_END.fullmatch(text) else ""
            group = _GROUP.fullmatch(text)
            if group:
                kind, text = "group", group[1] or "…"
        self._inside = True
        return Line(self.number, kind, [*([("t", stamp)] if stamp else []), *self._parts(text)])

    def _parts(self, text: str) -> list[Part]:
        parts: list[Part] = []
        last = 0
        for match in _CONTROL.finditer(text):
            self._add(parts, text[last : match.start()])
            last = match.end()
            if match[2] == "m":
                self._colours.change(match[1])
            elif match[3]:
                self._add(parts, f"\\x{ord(match[3]):02x}")
        self._add(parts, text[last:])
        return parts

    def _add(self, parts: list[Part], text: str) -> None:
        if not text:
            return
        look = self._colours.look
        if parts and (parts[-1][0] == look or len(parts) >= _PARTS):
            parts[-1] = (parts[-1][0], parts[-1][1] + text)
        else:
            parts.append((look, text))


def _cut(data: bytes) -> int:
    """Where a long line is cut: not within a character."""
    end = LONGEST
    while end > LONGEST - 4 and data[end] & 0xC0 == 0x80:
        end -= 1
    return end
