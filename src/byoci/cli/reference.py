"""The reference of all commands, made from the code; `python -m byoci.cli.reference` writes docs/commands.md."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Final

import click

from byoci.cli.main import cli
from byoci.cli.older import HOST_VERBS, SLAVE_VERBS

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTRODUCTION: Final = """\
# Commands

<!-- Made by `python -m byoci.cli.reference`; a test compares the two. -->

Every command takes `--help`. Programs read `--json` where a command has it. Errors say what happened, the details and
what to do; with `--json` they are an object with `error`, `details` and `resolution`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | the proposal or job failed |
| 2 | wrong use or configuration |
| 3 | nothing to do |
| 75 | byoci failed; try again |

`land`, `shadow` and `byoci-install` print with `--json` a list with an object for each proposal: `project`, `proposal`,
`title`, `outcome` (`landed`, `waiting`, `tests-failed`, `conflict` or `error`), `revision` (null unless it landed) and
`reasons`, a list of sentences.
"""
_OLDER: Final = """\
## The older programs

They are entry points to the same code.

| older | now |
|---|---|
"""


def render_commands() -> str:
    """The text of docs/commands.md."""
    context = click.Context(cli, info_name="byoci", **cli.context_settings)
    parts = [_INTRODUCTION, *_command(cli, context, "byoci"), _OLDER + _older_rows()]
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context, name: str) -> Iterator[str]:
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", "```", usage, "```", "", _prose(command.help or ""), ""]
    options = [found for option in command.get_params(context) if (found := option.get_help_record(context))]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in options]
        lines.append("")
    yield "\n".join(lines)
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            yield from _command(below, click.Context(below, context, verb), f"{name} {verb}")


def _prose(text: str) -> str:
    """A command's help, in which a paragraph behind a \\b is an example."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            title, _, example = paragraph.removeprefix("\b\n").partition("\n")
            if title.startswith(" "):
                title, example = "", paragraph.removeprefix("\b\n")
            paragraphs.append(f"{title}\n\n```\n{inspect.cleandoc(example)}\n```".strip())
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _older_rows() -> str:
    rows = [
        f"| `{program} {verb}` | `byoci {' '.join(now.command)}`{_code(now.nothing)} |"
        for program, verbs in (("byo-ci-slave", SLAVE_VERBS), ("byo-ci-host", HOST_VERBS))
        for verb, now in verbs.items()
    ]
    rows.append("| `start-slave-via-ssh` | `byoci agent start-slave-via-ssh` |")
    return "\n".join(rows) + "\n"


def _code(nothing: int) -> str:
    return "" if nothing == 3 else f", exit code {nothing} when there is nothing to do"


if __name__ == "__main__":
    sys.stdout.write(render_commands())
