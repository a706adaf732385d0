"""The programs of the older byoci, as entry points to the same code: old names, old verbs, old exit codes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from byoci.cli.main import cli, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Verb:
    """What an older verb is now.

    command  the words after `byoci`
    nothing  the exit code when there is nothing to do, where the older one differs
    """

    command: tuple[str, ...]
    nothing: int = 3


def _both(verb: str, command: Sequence[str], *, nothing: int = 3, vcs_option: bool = False) -> dict[str, Verb]:
    return {
        verb.format(vcs): Verb((*command, *(("--vcs", vcs) if vcs_option else ())), nothing) for vcs in ("git", "bzr")
    }


SLAVE_VERBS: Final[Mapping[str, Verb]] = {
    **_both("approved-{}-proposals", ("agent", "approved"), nothing=1, vcs_option=True),
    **_both("land-approved-{}-proposal", ("agent", "land"), nothing=0),
    **_both("setup-{}-tree", ("agent", "setup-tree"), vcs_option=True),
    "run-in-worker": Verb(("agent", "run-in-worker")),
    "run-tests": Verb(("agent", "run-tests")),
    "wipe": Verb(("agent", "wipe")),
    "merge": Verb(("agent", "merge")),
    "commit": Verb(("agent", "commit")),
    "push": Verb(("agent", "push")),
    "detect-changes": Verb(("agent", "detect-changes")),
}


HOST_VERBS: Final[Mapping[str, Verb]] = {
    "update-slave-access": Verb(("host", "update-agent-access")),
    "secrets": Verb(("host", "secrets")),
}


def host() -> None:
    """Entry point of the program `byo-ci-host`: what is `byoci host` now."""
    sys.exit(translate("byo-ci-host", HOST_VERBS, sys.argv[1:]))


def slave() -> None:
    """Entry point of the program `byo-ci-slave`: what is `byoci agent` now."""
    sys.exit(translate("byo-ci-slave", SLAVE_VERBS, sys.argv[1:]))


def start_slave() -> None:
    """Entry point of the program `start-slave-via-ssh`: what is `byoci agent start-slave-via-ssh` now."""
    sys.exit(run(cli, ["agent", "start-slave-via-ssh", *sys.argv[1:]]))


def translate(program: str, verbs: Mapping[str, Verb], arguments: Sequence[str]) -> int:
    """Run an older command line: its verb is the first word of `verbs` among the arguments. Gives the exit code."""
    at = next((index for index, word in enumerate(arguments) if word in verbs), None)
    if at is None:
        wanted_help = not arguments or {"-h", "--help"} & set(arguments)
        if not wanted_help:
            click.echo(f"{program}: there is no verb {' '.join(arguments)}", err=True)
        click.echo(_help(program, verbs), err=not wanted_help)
        return 0 if wanted_help else 2
    verb = verbs[arguments[at]]
    code = run(cli, [*arguments[:at], *verb.command, *arguments[at + 1 :]])
    return verb.nothing if code == 3 else code


def _help(program: str, verbs: Mapping[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name.ljust(width)}  byoci {' '.join(verb.command)}" for name, verb in verbs.items()]
    return "\n".join([f"Usage: {program} VERB [ARGUMENTS], the older name of:", "", *lines])
