"""What commands print: rows for people, JSON for programs, errors with what to do.

Text from outside loses its control characters, and URLs their passwords; not in JSON, where a program may need them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Final

import click

from byoci.cli.status import Status
from byoci.log import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from byoci.errors import ByociError
    from byoci.model import Landing

_COLOURS: Final = {"landed": "green", "waiting": "yellow", "tests-failed": "red", "conflict": "red", "error": "red"}
_NARROW: Final = 24  # a text gets no narrower than this
_GAP: Final = "  "
_TAIL: Final = 8192  # bytes

status: Final = Status()


def say(text: str = "") -> None:
    """A line on standard output."""
    status.clear()
    click.echo("\n".join(shown(line) for line in text.split("\n")))


def progress(text: str) -> None:
    """A line on standard error that stays; see `doing` for what is of the moment."""
    status.clear()
    click.echo(shown(text), err=True)


def doing(text: str) -> None:
    """Tell on standard error what is being done now."""
    status.tell(text)


def as_json(value: object) -> None:
    """`value` on standard output, for programs; text that is no valid Unicode is escaped."""
    status.clear()
    click.echo(json.dumps(value, indent=2, ensure_ascii=True, default=str))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], colour: int | None = None) -> None:
    """Aligned columns.

    Elsewhere than in a terminal a row is a line. In one that is not wide enough, the last column goes below the others,
    if that gives it more room, and is wrapped. `colour` is the column that names an outcome.
    """
    status.clear()
    cells = [[shown(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= room:
        _lines(header, cells, widths, colour)
    else:
        _folded(header, cells, widths[:-1], room, colour)


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], colour: int | None) -> None:
    click.echo(click.style(_line(header, widths), bold=True))
    for row in rows:
        click.echo(_line(row, widths, colour))


def _folded(
    header: Sequence[str], rows: Sequence[Sequence[str]], widths: list[int], room: int, colour: int | None
) -> None:
    """A table whose last column goes below; the one before it is cut to what room there is."""
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(room - before, _NARROW))
    indent = " " * min(before, max(room - 2 * _NARROW, len(_GAP)))
    click.echo(click.style(_line(header[:-1], widths), bold=True))
    for *row, last in rows:
        click.echo(_line([*row[:-1], _cut(row[-1], widths[-1])], widths, colour))
        for line in textwrap.wrap(last, max(room - len(indent), _NARROW), break_on_hyphens=False):
            click.echo(click.style(indent + line, dim=True))


def _line(cells: Sequence[str], widths: Sequence[int], colour: int | None = None) -> str:
    padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
    padded[-1] = padded[-1].rstrip()
    if colour is not None:
        padded[colour] = click.style(padded[colour], fg=_COLOURS.get(cells[colour]))
    return _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    return sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    return 0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) > width - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"


def last_lines(log: Path, lines: int) -> list[str]:
    """The end of a log, at most so many lines and 8 KiB; nothing where it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            text = file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def landings(rows: Sequence[Landing]) -> None:
    """The table of what became of each proposal."""
    table(
        ("PROJECT", "ID", "OUTCOME", "REVISION", "TITLE", "WHY"),
        [(row.project, row.proposal, row.outcome.value, _revision(row.revision), row.title, _why(row)) for row in rows],
        colour=2,
    )


def _why(row: Landing) -> str:
    return "; ".join(row.reasons)


def _revision(revision: str | None) -> str:
    if revision is None:
        return "-"
    # A git id is known by its first digits; a bzr id says most in its last.
    return revision[:12] if len(revision) in (40, 64) else "…" + revision[-11:]


def error(problem: ByociError, *, json_wanted: bool = False) -> None:
    """Brief, details, what to do, on standard error; as an object on standard output for programs."""
    status.clear()
    if json_wanted:
        parts = {"error": problem.brief, "details": problem.details, "resolution": problem.resolution}
        as_json({name: "\n".join(map(shown, text.split("\n"))) for name, text in parts.items()})
        return
    click.echo(click.style("byoci: ", fg="red", bold=True) + shown(problem.brief), err=True)
    for part in (problem.details, problem.resolution):
        for line in part.splitlines():
            click.echo("  " + shown(line), err=True)
    sys.stderr.flush()
