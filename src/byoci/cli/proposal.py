"""`byoci proposal`: the local forge, for teams that have no other."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, LazyGroup, json_option
from byoci.errors import NothingToDoError, UnreachableError, UsageError

if TYPE_CHECKING:
    from byoci.config.schema import Project
    from byoci.forge.local import LocalForge
    from byoci.forge.local_rows import Event
    from byoci.model import Ballot, Location, Proposal, Status, VoteValue
    from byoci.wiring import Site

_id_argument = click.argument(
    "proposal", metavar="ID", shell_complete=complete.proposals, help="The proposal's number."
)
_type_option = click.option("--type", "review_type", default="", help="The kind of review, as in security or db.")


@click.group(cls=LazyGroup, short_help="Propose, review and approve without another forge.")
@click.option("--as", "acting_for", metavar="NAME", help="Act for NAME; for the forge's administrators, and recorded.")
@click.pass_obj
def proposal(context: Context, acting_for: str | None) -> None:
    """Propose, review and approve, without a forge of your own.

    You are your unix user. ID is a proposal's number, as `byoci proposal list` shows it.
    """
    context.acting_for = acting_for


def _forge(context: Context) -> LocalForge:
    return context.site.local_forge


def _told(context: Context, found: Proposal, what: str) -> int:
    if context.json:
        output.as_json(proposal_json(found))
    else:
        output.say(f"{found.project} {found.id}: {what}")
    return 0


def proposal_json(found: Proposal) -> dict[str, Any]:
    """A proposal as JSON."""
    fields = dataclasses.asdict(found)
    return fields | {
        "source": str(found.source),
        "target": str(found.target),
        "status": found.status.value,
        "created_at": found.created_at.isoformat(),
        "approved_at": found.approved_at.isoformat() if found.approved_at else None,
    }


def _text(given: str | None) -> str:
    """An argument's text; - stands for standard input."""
    return sys.stdin.read() if given == "-" else given or ""


@proposal.command(short_help="Propose to merge a branch into a trunk.")
@click.option("--source", metavar="URL[;BRANCH]", help="The branch to merge; default: the working folder's own.")
@click.option("--project", shell_complete=complete.projects, help="The project; default: the one that fits.")
@click.option("--title", help="What it does, in a line; default: the source's name.")
@click.option("--description", help="Why, in as many lines as it needs; - reads standard input.")
@click.option("--prerequisite", metavar="ID", shell_complete=complete.proposals, help="What has to land first.")
@json_option
@click.pass_obj
def create(
    context: Context,
    source: str | None,
    project: str | None,
    title: str | None,
    description: str | None,
    prerequisite: str | None,
) -> int:
    """Propose to merge a branch into a project's trunk."""
    from byoci.cli.places import project_for, source_for

    site = context.site
    found = project_for(site, project)
    origin = source_for(found, source)
    tip = _tip_of(site, found, origin)
    _refuse_nothing(site, found, origin, tip)
    made = _forge(context).create(
        found.name,
        origin,
        found.trunk,
        title or f"Merge {origin.branch or origin.url.rstrip('/').rpartition('/')[2]}",
        description=_text(description),
        prerequisite=prerequisite,
        source_tip=tip,
        acting_for=context.acting_for,
    )
    code = _told(context, made, f"proposed {origin} into {found.trunk}")
    if not context.json:
        output.say(_next_step(made.id, found.approve.minimum))
    return code


def _refuse_nothing(site: Site, project: Project, source: Location, tip: str) -> None:
    """Refuse a source that is where the trunk is: most likely the work on it was not committed."""
    try:
        same = site.vcs(project).tip(project.trunk) == tip
    except UnreachableError:
        return  # the landing looks again
    if same:
        raise NothingToDoError(
            f"{source} holds nothing that the trunk does not",
            details=f"Both {source} and {project.trunk} are at {tip}.",
            resolution="Commit your work to it, then propose it.",
        )


def _next_step(id_: str, minimum: int) -> str:
    if minimum == 0:
        return f"To let it land: byoci proposal set-status {id_} approved, then byoci land"
    return f"It needs approvals, {minimum} at least: byoci explain {id_} tells of whom"


@proposal.command("list", short_help="List the proposals.")
@click.argument("project", required=False, shell_complete=complete.projects, help="A project.  [default: all]")
@click.option("--all", "everything", is_flag=True, help="The finished ones too.")
@json_option
@click.pass_obj
def list_(context: Context, project: str | None, everything: bool) -> int:
    """List the proposals, oldest first."""
    if project is not None:
        context.site.config.project(project)
    found = [item for item in _forge(context).list_proposals(project) if everything or not item.status.final]
    if context.json:
        output.as_json([proposal_json(item) for item in found])
    elif found:
        rows = [(item.project, item.id, item.status, item.author, item.title, str(item.source)) for item in found]
        output.table(("PROJECT", "ID", "STATUS", "AUTHOR", "TITLE", "SOURCE"), rows)
    else:
        output.say("No proposals." if everything else "No open proposals; --all shows the finished ones too.")
    return 0 if found else 3


@proposal.command(short_help="Show all about a proposal.")
@_id_argument
@json_option
@click.pass_obj
def show(context: Context, proposal: str) -> int:
    """Show a proposal with its votes, requests, comments and history."""
    forge = _forge(context)
    ballot = forge.ballot_of(forge.proposal(proposal))
    comments, events = forge.comments(proposal), forge.events(proposal)
    if context.json:
        output.as_json(
            proposal_json(ballot.proposal)
            | {
                "votes": [dataclasses.asdict(vote) for vote in ballot.votes],
                "requests": [dataclasses.asdict(request) for request in ballot.requests],
                "comments": [dataclasses.asdict(item) for item in comments],
                "events": [dataclasses.asdict(item) for item in events],
            }
        )
        return 0
    output.say(_described(ballot))
    for said in comments:
        output.say(f"\n{said.author}, {said.at:%Y-%m-%d %H:%M} UTC:\n{_indented(said.text)}")
    output.say("\nHistory:")
    for event in events:
        output.say(f"  {event.at:%Y-%m-%d %H:%M} UTC  {_event(event)}")
    return 0


@proposal.command("request-review", short_help="Ask a person or a team for a review.")
@_id_argument
@click.argument("reviewer", help="A person's or team's name.")
@_type_option
@json_option
@click.pass_obj
def request_review(context: Context, proposal: str, reviewer: str, review_type: str) -> int:
    """Ask REVIEWER, a person or a team, for a review. The proposal waits until it is answered."""
    _forge(context).request_review(proposal, reviewer, review_type=review_type, acting_for=context.acting_for)
    return _told(context, _forge(context).proposal(proposal), f"{reviewer} is asked for a review")


@proposal.command(short_help="Vote.")
@_id_argument
@click.argument(
    "vote",
    shell_complete=complete.votes,
    help="approve, disapprove, needs-fixing, needs-information, resubmit or abstain.",
)
@_type_option
@click.option("--comment", help="What you have to say; - reads standard input.")
@json_option
@click.pass_obj
def review(context: Context, proposal: str, vote: str, review_type: str, comment: str | None) -> int:
    """Vote on the source as it is now; voting again replaces your vote."""
    from byoci.forge.local_input import parse_vote

    value: VoteValue = parse_vote(vote)
    found = _forge(context).proposal(proposal)
    _forge(context).review(
        proposal,
        value,
        comment=_text(comment),
        review_type=review_type,
        revision=_tip(context, found),
        acting_for=context.acting_for,
    )
    return _told(context, _forge(context).proposal(proposal), f"voted {value}")


@proposal.command(short_help="Say something.")
@_id_argument
@click.argument("text", help="What you have to say; - reads standard input.")
@json_option
@click.pass_obj
def comment(context: Context, proposal: str, text: str) -> int:
    """Say something about a proposal."""
    _forge(context).add_comment(proposal, _text(text), acting_for=context.acting_for)
    return _told(context, _forge(context).proposal(proposal), "commented")


@proposal.command("set-status", short_help="Set the status; approved pins the revision.")
@_id_argument
@click.argument(
    "status",
    nargs=-1,
    required=True,
    shell_complete=complete.statuses,
    help="work-in-progress, needs-review, approved, rejected, merged or superseded.",
)
@json_option
@click.pass_obj
def set_status(context: Context, proposal: str, status: tuple[str, ...]) -> int:
    """Set the status.

    `approved` pins the source's revision of this moment: that one may land, and no later one.
    """
    from byoci.forge.local_input import parse_status
    from byoci.model import Status

    value: Status = parse_status(" ".join(status))
    found = _forge(context).proposal(proposal)
    if value is Status.APPROVED and found.status is Status.MERGED:
        raise UsageError(
            f"proposal {found.id} has landed already",
            details=f"It is “{found.title}” of {found.project}, on trunk as {found.merged_revision}.",
            resolution="Create a new proposal for what is new, or set this one to needs-review first.",
        )
    revision = _tip(context, found) if value is Status.APPROVED else None
    changed = _forge(context).change_status(proposal, value, revision=revision, acting_for=context.acting_for)
    pinned = f" at {changed.approved_revision}" if changed.approved_revision else ""
    return _told(context, changed, f"{changed.status}{pinned}")


@proposal.command(short_help="Replace a proposal by one from another branch.")
@_id_argument
@click.option("--source", required=True, metavar="URL[;BRANCH]", help="The branch that takes its place.")
@json_option
@click.pass_obj
def supersede(context: Context, proposal: str, source: str) -> int:
    """Replace a proposal by a new one from another branch; review requests go with it, votes do not."""
    from byoci.cli.places import source_for

    old = _forge(context).proposal(proposal)
    project = context.site.config.project(old.project)
    origin = source_for(project, source)
    tip = _tip_of(context.site, project, origin)
    made = _forge(context).supersede(proposal, origin, source_tip=tip, acting_for=context.acting_for)
    return _told(context, made, f"takes the place of {proposal}")


def _described(ballot: Ballot) -> str:
    found = ballot.proposal
    lines = [
        f"{found.project} {found.id}: {found.title}",
        f"  status    {found.status}" + (f", at {found.approved_revision}" if found.approved_revision else ""),
        f"  author    {found.author}, {found.created_at:%Y-%m-%d %H:%M} UTC",
        f"  source    {found.source}",
        f"  target    {found.target}",
    ]
    if found.prerequisite:
        lines.append(f"  after     {found.prerequisite}")
    if found.merged_revision:
        lines.append(f"  merged    {found.merged_revision}")
    for request in ballot.requests:
        kind = f" ({request.review_type})" if request.review_type else ""
        lines.append(f"  asked     {request.reviewer}{kind}")
    for vote in ballot.votes:
        written = f", recorded by {vote.recorded_by}" if vote.recorded_by not in (None, vote.voter) else ""
        kind = f" ({vote.review_type})" if vote.review_type else ""
        lines.append(f"  vote      {vote.voter}{kind}: {vote.value}{written}")
    if found.description:
        lines += ["", _indented(found.description)]
    return "\n".join(lines)


def _event(event: Event) -> str:
    by = f", recorded by {event.recorded_by}" if event.recorded_by != event.person else ""
    details = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in event.details.items() if value)
    return f"{event.person}{by}: {event.what}" + (f" ({details})" if details else "")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _tip_of(site: Site, project: Project, source: Location) -> str:
    """A new source's newest revision. That a path of this machine is none is the caller's fault, and no one else's."""
    from byoci.config.trunks import is_local

    try:
        return site.vcs(project).tip(source)
    except UnreachableError as error:
        if not is_local(source.url):
            raise
        raise UsageError(error.brief, details=error.details, resolution=error.resolution) from error


def _tip(context: Context, found: Proposal) -> str:
    """The source's newest revision now."""
    site = context.site
    if found.project not in site.config.projects:
        raise UsageError(
            f"proposal {found.id} belongs to the project {found.project}, which is not configured",
            resolution="`byoci config project` shows the projects that are.",
        )
    return site.vcs(site.config.project(found.project)).tip(found.source)
