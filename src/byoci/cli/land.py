"""`byoci land`, `queue`, `shadow` and `explain`: what lands, what waits, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option
from byoci.errors import ByociError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.gate.plan import Gate
    from byoci.gate.rounds import Told
    from byoci.model import VoteValue

_proposal_option = click.option(
    "--proposal", "only", metavar="ID", shell_complete=complete.proposals, help="This proposal only."
)
_project_argument = click.argument("project", required=False, shell_complete=complete.projects)


def run_rounds(context: Context, names: Sequence[str], run: Callable[[Gate], list[Told]]) -> tuple[list[Told], int]:
    """Run a round for each project; a project that cannot be worked on is told, and the others go on."""
    from byoci.gate.rounds import exit_code

    rows: list[Told] = []
    failed = 0
    for name in names:
        try:
            rows += run(context.site.gate(name, output.progress))
        except ByociError as error:
            if len(names) == 1:
                raise
            output.progress(f"{name}: not worked on")
            output.error(error)
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


def _names(context: Context, project: str | None, only: str | None) -> list[str]:
    site = context.site
    if project is None and only is not None:
        return [site.local_forge.proposal(only).project]
    return [site.config.project(project).name] if project is not None else list(site.config.projects)


@click.command()
@_project_argument
@_proposal_option
@json_option
@click.pass_obj
def land(context: Context, project: str | None, only: str | None) -> int:
    """Land what may land: judge, merge in memory, test sealed off, publish, report.

    Works through the open proposals of PROJECT, or of all projects, oldest first. Safe to run again, and after a
    crash: what an earlier run published and did not report is reported first.
    """
    from byoci.gate.rounds import land_round

    rows, code = run_rounds(
        context, _names(context, project, only), lambda gate: land_round(gate, context.site.leases, only)
    )
    show(context, rows)
    if not context.json and rows and not any(row.new and row.landing.revision for row in rows):
        output.say("Nothing landed: nothing may land that has not.")
    return code


@click.command()
@_project_argument
@_proposal_option
@click.option("--regardless", is_flag=True, help="Merge and test even what its ballot does not let land.")
@json_option
@click.pass_obj
def shadow(context: Context, project: str | None, only: str | None, regardless: bool) -> int:
    """Do all that `land` does but publish and report: tells what it would have done.

    `byoci shadow --proposal ID --regardless` repeats the tests of a proposal that failed.
    """
    from byoci.gate.rounds import shadow_round

    rows, code = run_rounds(
        context,
        _names(context, project, only),
        lambda gate: shadow_round(gate, context.site.leases, only, regardless=regardless),
    )
    show(context, rows)
    return code


@click.command()
@_project_argument
@json_option
@click.pass_obj
def queue(context: Context, project: str | None) -> int:
    """Show the open proposals in the order in which they are tried, and what each waits for."""
    from byoci.gate.rounds import queue_rows

    rows = [
        row for name in _names(context, project, None) for row in queue_rows(context.site.gate(name, lambda _: None))
    ]
    if context.json:
        output.as_json([row.as_json() for row in rows])
        return 0 if rows else 3
    if not rows:
        output.say("No open proposals.")
        return 3
    output.table(
        ("PROJECT", "PROPOSAL", "TITLE", "STATUS", "MAY LAND", "WHY NOT"),
        [
            (row.project, row.proposal, row.title, row.status, "yes" if row.landable else "no", "; ".join(row.reasons))
            for row in rows
        ],
    )
    return 0


@click.command()
@click.argument("proposal", shell_complete=complete.proposals)
@click.option(
    "--if", "supposed", multiple=True, metavar="NAME=VOTE", help="Suppose that NAME had voted so; may be repeated."
)
@json_option
@click.pass_obj
def explain(context: Context, proposal: str, supposed: tuple[str, ...]) -> int:
    """Say in words which votes on PROPOSAL count, which do not and why, and what is missing.

    \b
      byoci explain 3
      byoci explain 3 --if alice=Approve
    """
    from datetime import UTC, datetime

    from byoci.gate import ballot as ballots
    from byoci.gate.land import ballot_now

    found = context.site.local_forge.proposal(proposal)
    gate = context.site.gate(found.project, lambda _: None)
    ballot, tip = ballot_now(gate, found)
    ballot = ballots.what_if(ballot, dict(_supposed(text) for text in supposed), datetime.now(UTC))
    judgement = ballots.judge(ballot, gate.project.policy, tip)
    if context.json:
        output.as_json(
            {
                "project": found.project,
                "proposal": found.id,
                "landable": judgement.landable,
                "reasons": list(judgement.reasons),
                "counted": [{"voter": vote.voter, "vote": vote.value.value} for vote in judgement.counted],
                "ignored": [
                    {"voter": vote.voter, "vote": vote.value.value, "why": why} for vote, why in judgement.ignored
                ],
                "missing": list(judgement.missing),
            }
        )
    else:
        output.say(ballots.explain(ballot, gate.project.policy, tip))
    return 0


def _supposed(text: str) -> tuple[str, VoteValue]:
    from byoci.forge.local_input import parse_vote

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"“{text}” is not NAME=VOTE", resolution="For example --if alice=Approve.")
    return name, parse_vote(value)
