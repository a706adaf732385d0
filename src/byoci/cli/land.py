"""`byoci land`, `queue` and `shadow`: what lands, and what waits for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option
from byoci.errors import ByociError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from byoci.gate.plan import Gate
    from byoci.gate.rounds import Told

_LINES: Final = 10  # of a log that people see at once

_proposal_option = click.option(
    "--proposal", "only", metavar="ID", shell_complete=complete.proposals, help="This proposal only."
)
_project_argument = click.argument(
    "project",
    required=False,
    shell_complete=complete.projects,
    help="A project.  [default: that whose repository you are in; elsewhere all]",
)
_all_option = click.option("--all", "everything", is_flag=True, help="All projects, wherever you are.")


def run_rounds(context: Context, names: Sequence[str], run: Callable[[Gate], list[Told]]) -> tuple[list[Told], int]:
    """Run a round for each project; a project that cannot be worked on is told, and the others go on."""
    from byoci.gate.rounds import exit_code, not_worked_on

    rows: list[Told] = []
    failed = 0
    for name in names:
        gate = context.site.gate(name, output.doing)
        try:
            rows += run(gate)
        except ByociError as error:
            if len(names) == 1:
                raise
            output.progress(f"{name}: not worked on")
            output.error(error)
            rows += not_worked_on(gate, error)
            failed = max(failed, error.exit_code)
    return rows, failed or exit_code(rows)


def show(context: Context, rows: Sequence[Told]) -> None:
    """Print the rows as a table, or as the documented JSON list."""
    if context.json:
        output.as_json([row.landing.as_json() for row in rows])
    elif rows:
        output.landings([row.landing for row in rows])
    else:
        output.say("No open proposals.")


def names_of(context: Context, project: str | None, *, everything: bool, only: str | None = None) -> list[str]:
    """The projects that a command is about: the named one, that of the proposal `only`, those here, or all."""
    from byoci.cli.places import projects_here

    site = context.site
    if everything and (project is not None or only is not None):
        raise UsageError("--all and a single project or proposal exclude each other")
    if project is not None:
        return [site.config.project(project).name]
    if only is not None:
        return [site.local_forge.proposal(only).project]
    here = [] if everything else projects_here(site)
    return [found.name for found in here] or list(site.config.projects)


@click.command(short_help="Land what may land.")
@_project_argument
@_proposal_option
@_all_option
@json_option
@click.pass_obj
def land(context: Context, project: str | None, only: str | None, everything: bool) -> int:
    """Land what may land: judge, merge in memory, test sealed off, publish, report.

    Works through the open proposals, oldest first. Safe to run again, and after a crash: what an earlier run published
    and did not report is reported first.
    """
    from byoci.gate.rounds import land_round

    rows, code = run_rounds(
        context,
        names_of(context, project, everything=everything, only=only),
        lambda gate: land_round(gate, context.site.leases, only),
    )
    show(context, rows)
    if not context.json:
        for hint in _hints(context, rows):
            output.say(hint)
    return code


def _hints(context: Context, rows: Sequence[Told]) -> Iterator[str]:
    """What to look at next, and what to do."""
    from byoci.model import Outcome

    for row in rows:
        landing = row.landing
        if row.new and landing.outcome is Outcome.TESTS_FAILED:
            attempt = context.site.store.last_attempt(landing.project, landing.proposal)
            if attempt is not None and attempt.log:
                yield f"\nWhat the tests of {landing.proposal} said last; all is in {attempt.log}"
                yield from (f"  {line}" for line in output.last_lines(Path(attempt.log), _LINES))
    old = [row.landing.proposal for row in rows if row.landing.outcome is Outcome.TESTS_FAILED and not row.new]
    if old:
        yield f"What the tests said: `byoci explain {old[0]}` names the log."
    conflict = next((row.landing.proposal for row in rows if row.landing.outcome is Outcome.CONFLICT), None)
    if conflict is not None:
        yield (
            f"To solve a conflict, merge the trunk into the source and commit; then"
            f" `byoci proposal set-status {conflict} approved`."
        )
    if rows and not any(row.new and row.landing.revision for row in rows):
        yield "Nothing landed."


@click.command(short_help="Do all that `land` does but publish.")
@_project_argument
@_proposal_option
@_all_option
@click.option("--regardless", is_flag=True, help="Merge and test even what its ballot does not let land.")
@json_option
@click.pass_obj
def shadow(context: Context, project: str | None, only: str | None, everything: bool, regardless: bool) -> int:
    """Do all that `land` does but publish and report: tells what it would have done.

    `byoci shadow --proposal ID --regardless` repeats the tests of a proposal that failed.
    """
    from byoci.gate.rounds import shadow_round

    rows, code = run_rounds(
        context,
        names_of(context, project, everything=everything, only=only),
        lambda gate: shadow_round(gate, context.site.leases, only, regardless=regardless),
    )
    show(context, rows)
    return code


@click.command(short_help="Show what waits, and for what.")
@_project_argument
@_all_option
@json_option
@click.pass_obj
def queue(context: Context, project: str | None, everything: bool) -> int:
    """Show the open proposals in the order in which they are tried, and what each waits for."""
    from byoci.gate.rounds import queue_rows

    names = names_of(context, project, everything=everything)
    rows = [row for name in names for row in queue_rows(context.site.gate(name, lambda _: None))]
    if context.json:
        output.as_json([row.as_json() for row in rows])
        return 0 if rows else 3
    if not rows:
        output.say("No open proposals.")
        return 3
    output.table(
        ("PROJECT", "ID", "STATUS", "MAY LAND", "TITLE", "WHY NOT"),
        [
            (row.project, row.proposal, row.status, "yes" if row.landable else "no", row.title, "; ".join(row.reasons))
            for row in rows
        ],
    )
    return 0
