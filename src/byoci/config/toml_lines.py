"""On which line each key of a TOML text stands; the standard library's parser does not tell.

The text must be valid TOML (`tomllib` has read it), so this scan needs to know tokens and nesting only: strings,
comments and brackets.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str, ...]

_TOKEN: Final = re.compile(
    r"""
      (?P<blank>[ \t]+|\#[^\n]*)
    | (?P<newline>\r?\n)
    | (?P<string>\"{3}(?:[^\\]|\\.)*?\"{3,5} | '{3}.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
    | (?P<mark>[\[\]{}=,.])
    | (?P<bare>[^\s\#\[\]{}=,."']+)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> Mapping[Path, int]:
    """The path of every key and table → the line (from 1) that it is first named on.

    Keys within inline tables count too, those within lists do not; a table that dotted keys imply stands on the line
    of the first of them. Elements of `[[lists of tables]]` share one path.
    """
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = self._split(text)
        self._kind, self._text, self._line = "", "", 1
        self._next()

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "blank":
                yield str(match.lastgroup), match[0], line
            line += match[0].count("\n")
        yield "end", "", line

    def _next(self) -> None:
        self._kind, self._text, self._line = next(self._tokens, ("end", "", self._line))

    def document(self) -> None:
        table: Path = ()
        while self._kind != "end":
            if self._kind == "newline":
                self._next()
            elif self._text == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _header(self) -> Path:
        while self._text == "[":
            self._next()
        table = self._key(())
        while self._text == "]":
            self._next()
        return table

    def _key(self, table: Path) -> Path:
        """Read a dotted key below `table` and note its line; leaves the token after it."""
        path = table
        while self._kind in ("bare", "string"):
            path = (*path, _plain(self._text))
            self.lines.setdefault(path, self._line)
            self._next()
            if self._text == "." and self._kind == "mark":
                self._next()
        return path

    def _assignment(self, table: Path) -> None:
        path = self._key(table)
        self._next()  # the =
        self._value(path)

    def _value(self, path: Path) -> None:
        """Pass over a value up to the newline, comma or bracket behind it."""
        if self._kind == "mark" and self._text == "{":
            self._inline_table(path)
        elif self._kind == "mark" and self._text == "[":
            self._list()
        while self._kind in ("bare", "string") or (self._kind == "mark" and self._text == "."):
            self._next()

    def _inline_table(self, path: Path) -> None:
        self._next()
        while self._kind != "end" and self._text != "}":
            if self._kind in ("bare", "string"):
                self._assignment(path)
            else:
                self._next()  # a comma, or a newline where TOML 1.1 allows one
        self._next()

    def _list(self) -> None:
        depth = 0
        while self._kind != "end":
            if self._kind == "mark":
                depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(self._text, 0)
            self._next()
            if depth == 0:
                return


def _plain(token: str) -> str:
    """A key without its quotes."""
    if token[0] not in "\"'":
        return token
    return next(iter(tomllib.loads(f"{token} = 0")))
