"""`byoci agent merge`, `commit` and `push`: a landing step by step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option

if TYPE_CHECKING:
    from byoci.gate.plan import Gate

_project_option = click.option(
    "--project", shell_complete=complete.projects, help="Default: the one that the working folder is of."
)


def _gate(context: Context, project: str | None) -> Gate:
    from byoci.cli import workdirs
    from byoci.cli.places import project_for

    if project is None and (made := workdirs.recall(context.site, Path.cwd())):
        project = made.project
    return context.site.gate(project_for(context.site, project).name, output.progress)


@click.command(short_help="By hand: merge a proposal in memory.")
@click.argument("proposal", shell_complete=complete.proposals, help="Its ID.")
@click.argument(
    "workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    help="The folder to make it in.  [default: the working folder]",
)
@json_option
@click.pass_obj
def merge(context: Context, proposal: str, workdir: Path) -> int:
    """Merge PROPOSAL onto trunk in memory, and make WORKDIR the merged tree.

    Then `byoci agent run-tests WORKDIR CONTAINER`, `byoci agent commit` and `byoci agent push`.
    """
    from byoci.cli import workdirs
    from byoci.gate import byhand
    from byoci.gate.stopped import Stopped

    found = context.site.local_forge.proposal(proposal)
    gate = context.site.gate(found.project, output.progress)
    workdirs.claim(context.site, workdir)
    with context.site.leases.hold(str(gate.project.trunk)) as lease:
        made = byhand.merge(gate, lease, context.site.config.state, found, workdir.absolute())
    if isinstance(made, Stopped):
        _show(context, made)
        return 1
    workdirs.remember(context.site, workdir, project=found.project, revision=made.candidate, by_hand=True)
    if context.json:
        output.as_json({"project": found.project, "proposal": found.id, "candidate": made.candidate, "base": made.base})
    else:
        output.say(f"{workdir} is proposal {found.id} merged with trunk, candidate {made.candidate}")
    return 0


@click.command(short_help="By hand: commit that merge in private.")
@_project_option
@json_option
@click.pass_obj
def commit(context: Context, project: str | None) -> int:
    """Commit the merge that was made by hand, in the private repository; nobody sees it yet."""
    from byoci.gate import byhand

    gate = _gate(context, project)
    with context.site.leases.hold(str(gate.project.trunk)) as lease:
        candidate = byhand.commit(gate, lease, context.site.config.state)
    if context.json:
        output.as_json({"candidate": candidate.id, "tree": candidate.tree, "parents": list(candidate.parents)})
    else:
        output.say(f"committed as {candidate.id}")
    return 0


@click.command(short_help="By hand: publish it, if it may land.")
@_project_option
@json_option
@click.pass_obj
def push(context: Context, project: str | None) -> int:
    """Publish the committed merge and report it, if its tests passed and its ballot lets it land."""
    from byoci.gate import byhand

    gate = _gate(context, project)
    with context.site.leases.hold(str(gate.project.trunk)) as lease:
        stopped = byhand.push(gate, lease, context.site.config.state)
    _show(context, stopped)
    return 0 if stopped.landing.revision else 1


def _show(context: Context, stopped: object) -> None:
    from byoci.gate.stopped import Stopped

    assert isinstance(stopped, Stopped)
    if context.json:
        output.as_json(stopped.landing.as_json())
    else:
        output.landings([stopped.landing])
