"""`byoci agent detect-changes`: has a job built once a trunk has changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import click

from byoci import durable
from byoci.cli import output
from byoci.config.network import check_web_url
from byoci.errors import NothingToDoError, UsageError
from byoci.model import Location

if TYPE_CHECKING:
    from byoci.cli.main import Context


@click.command("detect-changes", short_help="Have a job built if a trunk has changed.")
@click.argument("jenkins_url", metavar="JENKINS-URL", help="The controller's address, as builds have it.")
@click.argument("vcs", metavar="VCS", type=click.Choice(["git", "bzr"]), help="What system the trunk is in.")
@click.argument("trunk", metavar="TRUNK", help="URL[;BRANCH] of the trunk.")
@click.argument("view", metavar="VIEW", help="A view that shows the job; it makes no difference.")
@click.argument("job", metavar="JOB", help="The job to build.")
@click.pass_obj
def detect_changes(context: Context, jenkins_url: str, vcs: str, trunk: str, view: str, job: str) -> None:  # noqa: ARG001 - older jobs name the view
    """Have JOB built if TRUNK has another tip than when this was done last, or if it was never done here.

    Which tip that was is kept on this agent once the controller has taken the build. Exit code 3: nothing has changed.
    """
    from byoci.jenkins.running import ask_for

    site = context.site
    try:
        url = check_web_url(jenkins_url)
    except ValueError as error:
        raise UsageError(f"JENKINS-URL {error}") from error
    project = site.config.project_of_trunk(trunk)
    location = project.trunk if project else Location.parse(trunk)
    tip = (site.vcs(project) if project else site.loose_vcs(vcs)).tip(location)
    folder = site.config.state / "changes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = folder / hashlib.sha256("\0".join((url, job, str(location))).encode()).hexdigest()
    with durable.locked(folder):
        if known.exists() and known.read_text(encoding="utf-8") == tip:
            raise NothingToDoError(f"{location} is still at {tip}")
        ask_for(site.jenkins_at(url), job)
        durable.replace(known, tip.encode())
    output.say(f"{location} is at {tip}: {job} is to be built")
