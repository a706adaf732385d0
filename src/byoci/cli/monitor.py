"""`byoci monitor`: who looks at the forge, keeps the queues, and has the controller land."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from byoci.cli import complete, output
from byoci.cli.main import LazyGroup
from byoci.cli.sites import need_monitor
from byoci.errors import NothingToDoError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.cli.main import Context
    from byoci.monitor.state import State


_ELSEWHERE = {
    "run-job": "byoci.cli.running:run_job",
    "update-agent": "byoci.cli.nodes:update_agent",
    "update-plugins": "byoci.cli.plugins:update_plugins",
}


@click.group(cls=LazyGroup, lazy=_ELSEWHERE)
def monitor() -> None:
    """The monitor: looks at the forge, judges ballots, keeps each trunk's queue, and starts landings as builds."""


@monitor.command(short_help="Run the monitor, until it is ended.")
@click.pass_obj
def serve(context: Context) -> None:
    """Run the monitor until SIGTERM or Ctrl-C. Landings that are under way go on, and the next monitor follows them.

    It needs a running controller with the jobs that `byoci job update` makes, and waits for one that does not run.
    """
    need_monitor()
    from byoci.monitor.serve import Serving
    from byoci.monitor.serve import serve as run

    site = context.site
    settings = site.config.monitor
    serving = Serving(
        folder=site.config.monitor_folder,
        listen=settings.listen,
        port=settings.port,
        url=settings.url or "",
        longest=settings.poll,
        webhooks=site.webhook_secrets,
        people=site.config.controller_folder,
        permissions=site.permissions(),
        audience=site.audience(),
    )
    run(serving, lambda: [site.watched(name) for name in site.config.projects], site.jenkins, output.progress)


@monitor.command(short_help="Let nothing but hotfixes land.")
@click.argument("project", shell_complete=complete.projects, help="Into whose trunk.")
@click.option("--reason", required=True, help="Why; the dashboard shows it.")
@click.pass_obj
def freeze(context: Context, project: str, reason: str) -> None:
    """Let nothing but hotfixes land into a project's trunk, until `thaw`. A landing that is under way goes on."""
    name = context.site.config.project(project).name
    with _state(context) as state:
        state.freeze(name, reason, _person())
    output.progress(f"{name} is frozen: only hotfixes land.")


@monitor.command(short_help="End a freeze.")
@click.argument("project", shell_complete=complete.projects, help="Into whose trunk everything may land again.")
@click.pass_obj
def thaw(context: Context, project: str) -> None:
    """Let everything land again into a project's trunk."""
    name = context.site.config.project(project).name
    with _state(context) as state:
        if not state.thaw(name):
            raise NothingToDoError(f"{name} is not frozen")
    output.progress(f"{name} is frozen no more.")


@monitor.command(short_help="Let a proposal go first.")
@click.argument("proposal", metavar="PROPOSAL", shell_complete=complete.proposals, help="Its ID.")
@click.option("--undo", is_flag=True, help="Let it wait for its turn again.")
@click.pass_obj
def hotfix(context: Context, proposal: str, undo: bool) -> None:
    """Let a proposal go before all others, and into a frozen trunk too. Its ballot counts as ever."""
    found = context.site.local_forge.proposal(proposal)
    with _state(context) as state:
        if not undo:
            state.mark_hotfix(found.project, found.id, _person())
        elif not state.unmark_hotfix(found.project, found.id):
            raise NothingToDoError(f"{found.id} is no hotfix")
    output.progress(f"{found.id} is {'no hotfix any more' if undo else 'a hotfix, and goes first'}.")


@contextlib.contextmanager
def _state(context: Context) -> Iterator[State]:
    from byoci.monitor.state import State

    with contextlib.closing(State(context.site.config.monitor_folder)) as state:
        yield state


def _person() -> str:
    from byoci.forge.local_people import user_name

    return user_name(os.getuid())  # the environment can say anything
