"""Parts of a build's log: the end, what is before it, a line by its number, what matches. Nothing reads it whole.

A log may have gigabytes. Where its lines are is kept in memory as one number for each megabyte, found when first needed
and continued where the log has grown. All of it is for threads.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from byoci.web.logtext import Line, Lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WINDOW: Final = 128 * 1024  # bytes of a page
_MOST_LINES: Final = 1500  # of a page
_CHUNK: Final = 1 << 20
_KEPT: Final = 64  # logs whose lines' places are kept
_MATCHES: Final = 200
_SEARCHED: Final = 1 << 30  # bytes that one search looks through
_NEEDLE: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a log: bytes from `start` to `end`, of `size`; `number` is the first line's."""

    start: int
    end: int
    size: int
    number: int
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Match:
    """A line that a search found, in three parts: before, what matched, after."""

    number: int
    before: str
    found: str
    after: str


class Places:
    """Where the lines of one log are: how many end in each whole chunk up to there."""

    def __init__(self) -> None:
        self.sums = [0]
        self._lock = threading.Lock()

    def extend(self, descriptor: int, size: int) -> None:
        """Look at what came since; a log that became shorter is looked at anew."""
        with self._lock:
            if size < (len(self.sums) - 1) * _CHUNK:
                self.sums = [0]
            while len(self.sums) * _CHUNK <= size:
                data = os.pread(descriptor, _CHUNK, (len(self.sums) - 1) * _CHUNK)
                self.sums.append(self.sums[-1] + data.count(b"\n"))


def _remembered(path: str) -> Places:
    with _lock:
        found = _places.pop(path) if path in _places else Places()
        _places[path] = found
        while len(_places) > _KEPT:
            _places.popitem(last=False)
        return found


_places: OrderedDict[str, Places] = OrderedDict()
_lock: Final = threading.Lock()


class Log:
    """An open log. `size` is how long it was then; what comes later is not looked at."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._descriptor).st_size
        self._places = _remembered(str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def line_at(self, offset: int) -> int:
        """The number of the line that has the byte there."""
        self._places.extend(self._descriptor, self.size)
        whole = min(offset // _CHUNK, len(self._places.sums) - 1)
        rest = os.pread(self._descriptor, offset - whole * _CHUNK, whole * _CHUNK)
        return self._places.sums[whole] + rest.count(b"\n") + 1

    def start_of(self, number: int) -> int:
        """Where a line begins; the last one's begin for what is beyond."""
        self._places.extend(self._descriptor, self.size)
        before = number - 1  # lines that must have ended
        if before <= 0:
            return 0
        sums = self._places.sums
        chunk = bisect_right(sums, before - 1) - 1
        offset, missing = chunk * _CHUNK, before - sums[chunk]
        data = os.pread(self._descriptor, min(_CHUNK, max(0, self.size - offset)), offset)
        at = -1
        for _ in range(missing):
            following = data.find(b"\n", at + 1)
            if following < 0:
                break
            at = following
        return offset + at + 1

    def end(self) -> Window:
        """The last lines."""
        return self.before(self.size)

    def before(self, end: int) -> Window:
        """The lines that end there."""
        end = min(max(end, 0), self.size)
        start = max(0, end - WINDOW)
        data = os.pread(self._descriptor, end - start, start)
        if start:  # begin with a whole line, where there is one
            start_of_line = data.find(b"\n", 0, -1) + 1
            start, data = start + start_of_line, data[start_of_line:]
        breaks = [match.end() for match in re.finditer(b"\n", data)]
        if len(breaks) > _MOST_LINES:
            cut = breaks[-_MOST_LINES - 1]
            start, data = start + cut, data[cut:]
        return self._window(start, data)

    def after(self, start: int) -> Window:
        """The lines that begin there."""
        start = min(max(start, 0), self.size)
        data = os.pread(self._descriptor, min(WINDOW, self.size - start), start)
        if start + len(data) < self.size:  # end with a whole line, where there is one
            data = data[: data.rfind(b"\n") + 1] or data
        breaks = [match.end() for match in re.finditer(b"\n", data)]
        if len(breaks) > _MOST_LINES:
            data = data[: breaks[_MOST_LINES - 1]]
        return self._window(start, data)

    def around(self, number: int) -> Window:
        """The lines around one."""
        if self.size <= WINDOW:
            whole = self.end()
            if whole.start == 0:
                return whole
        return self.after(self.start_of(max(1, number - 100)))

    def _window(self, start: int, data: bytes) -> Window:
        number = self.line_at(start)
        inside = start > 0 and os.pread(self._descriptor, 1, start - 1) != b"\n"
        lines = Lines(number, start, inside=inside)
        made = [*lines.feed(data), *lines.unfinished()]
        return Window(start, start + len(data), self.size, number, made)

    def find(self, text: str) -> tuple[list[Match], bool]:
        """Lines with that text, large or small letters (of ASCII) alike, and whether there may be more of them."""
        needle = text[:_NEEDLE].encode("utf-8", "replace").lower()
        found: list[Match] = []
        for number, line, at in self._matching(needle):
            if len(found) == _MATCHES:
                return found, True
            parts = (line[max(0, at - 200) : at], line[at : at + len(needle)], line[at + len(needle) :][:400])
            found.append(Match(number, *(_plain(part) for part in parts)))
        return found, self.size > _SEARCHED

    def _matching(self, needle: bytes) -> Iterator[tuple[int, bytes, int]]:
        """Number, bytes and place of what was looked for."""
        number, offset, rest = 1, 0, b""
        while offset < min(self.size, _SEARCHED):
            part = os.pread(self._descriptor, min(_CHUNK, self.size - offset), offset)
            offset += len(part)
            data, end = rest + part, len(part) + len(rest)
            if offset < self.size:
                end = data.rfind(b"\n") + 1 or end
            rest, data = data[end:], data[:end]
            yield from _in_lines(data, needle, number)
            number += data.count(b"\n")


def _in_lines(data: bytes, needle: bytes, number: int) -> Iterator[tuple[int, bytes, int]]:
    lower, at, counted = data.lower(), 0, 0
    while (at := lower.find(needle, at)) >= 0:
        start = data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        number += data.count(b"\n", counted, start)
        counted = start
        yield number, data[start:end], at - start
        at = end


def _plain(data: bytes) -> str:
    """Text without colours."""
    return "".join(line.text for line in Lines(1, 0).feed(data.replace(b"\n", b" ") + b"\n"))
