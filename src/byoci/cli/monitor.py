"""`byoci monitor`: who looks at the forge, keeps the queues, and has the controller land."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.sites import need_monitor

if TYPE_CHECKING:
    from byoci.cli.main import Context


@click.group()
def monitor() -> None:
    """The monitor: looks at the forge, judges ballots, keeps each trunk's queue, and starts landings as builds."""


@monitor.command(short_help="Run the monitor, until it is ended.")
@click.pass_obj
def serve(context: Context) -> None:
    """Run the monitor until SIGTERM or Ctrl-C. Landings that are under way go on, and the next monitor follows them.

    It needs a running controller with the jobs that `byoci job update` makes.
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
        secret=site.webhook_secret(),
    )
    run(serving, lambda: [site.watched(name) for name in site.config.projects], site.jenkins(), output.progress)
