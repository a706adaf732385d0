"""What commands print: rows for people, JSON for programs, errors with what to do.

Text from outside loses its control characters, and URLs their passwords; not in JSON, where a program may need them.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from byoci.log import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from byoci.errors import ByociError
    from byoci.model import Landing

_COLOURS = {"landed": "green", "waiting": "yellow", "tests-failed": "red", "conflict": "red", "error": "red"}


def say(text: str = "") -> None:
    """A line on standard output."""
    click.echo("\n".join(shown(line) for line in text.split("\n")))


def progress(text: str) -> None:
    """A line on standard error on what is being done."""
    click.echo(shown(text), err=True)


def as_json(value: object) -> None:
    """`value` on standard output, for programs; text that is no valid Unicode is escaped."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True, default=str))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], colour: int | None = None) -> None:
    """Aligned columns; the last may wrap in the terminal. `colour` is the column that names an outcome."""
    cells = [[shown(cell.replace("\n", " ")) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    click.echo(click.style("  ".join(name.ljust(width) for name, width in zip(header, widths, strict=True)), bold=True))
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if colour is not None:
            padded[colour] = click.style(padded[colour], fg=_COLOURS.get(row[colour]))
        click.echo("  ".join(padded).rstrip())


def landings(rows: Sequence[Landing]) -> None:
    """The table of what became of each proposal."""
    table(
        ("PROJECT", "PROPOSAL", "TITLE", "OUTCOME", "REVISION", "WHY"),
        [
            (row.project, row.proposal, _short(row.title, 40), row.outcome.value, _revision(row.revision), _why(row))
            for row in rows
        ],
        colour=3,
    )


def _why(row: Landing) -> str:
    return "; ".join(row.reasons)


def _revision(revision: str | None) -> str:
    if revision is None:
        return "-"
    # A git id is known by its first digits; a bzr id says most in its last.
    return revision[:12] if len(revision) in (40, 64) else "…" + revision[-16:]


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def error(problem: ByociError, *, json_wanted: bool = False) -> None:
    """Brief, details, what to do, on standard error; as an object on standard output for programs."""
    if json_wanted:
        parts = {"error": problem.brief, "details": problem.details, "resolution": problem.resolution}
        as_json({name: "\n".join(map(shown, text.split("\n"))) for name, text in parts.items()})
        return
    click.echo(click.style("byoci: ", fg="red", bold=True) + shown(problem.brief), err=True)
    for part in (problem.details, problem.resolution):
        for line in part.splitlines():
            click.echo("  " + shown(line), err=True)
    sys.stderr.flush()
