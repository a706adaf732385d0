"""`byoci up` and `byoci down`: the site as processes in the background."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import config_if_any, controller_home, has_monitor, need_controller
from byoci.config.paths import byoci_home
from byoci.controller.places import LOOPBACK, NO_SSHD, sshd_program
from byoci.errors import NothingToDoError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.cli.main import Context
    from byoci.host.running import Place, Running

_AGENT_SECONDS = 20.0  # how long one waits for the first connection to an agent
_LOOK = 0.05  # seconds between looks


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Instead of controller.port, which is 8010 by default; 0: any free one.",
)
@click.option("--no-monitor", is_flag=True, help="Start only the controller: nothing lands by itself.")
@json_option
@click.pass_obj
def up(context: Context, port: int | None, no_monitor: bool) -> int:
    """Start the site in the background: the controller, its jobs, and the monitor, which lands what may land.

    What runs already as the configuration says stays as it is; what does not is started again. The monitor's dashboard
    shows all that happens. The controller speaks the remote API of Jenkins; sign in as `admin` with the API token in
    the file that is told. This host is its agent, also over ssh: the agent `loopback` is reached through an sshd of the
    site's own, at loopback only, which ends with the controller. Where the controller is a Jenkins, only its jobs and
    the monitor are byoci's.
    """
    from byoci.host.running import bring_up

    config = config_if_any(context)
    if config is None or config.has_own_controller:
        need_controller()
    wanted = config is not None and not no_monitor
    if wanted and not has_monitor():
        wanted = False
        output.progress("The monitor is not installed: nothing lands by itself. Install byoci[monitor] to have it.")
    place = _place(context)
    running = bring_up(place, context.site if config else None, port, with_monitor=wanted)
    reason = _await_agent(running.controller.url, place.controller) if running.controller else ""
    for trouble in running.troubles:
        output.error(trouble)
    for name in running.foreign:
        output.progress(f"{name} is not byoci's job, and stays as it is.")
    token = place.controller / "admin-token"
    if context.json:
        output.as_json(_as_json(running, token, reason))
    else:
        _show(running, token, reason)
    return max((trouble.exit_code for trouble in running.troubles), default=0)


def _as_json(running: Running, token: Path, reason: str) -> dict[str, Any]:
    controller, monitor = running.controller, running.monitor
    own = controller and {
        "url": controller.url,
        "token_file": str(token),
        "pid": controller.pid,
        "agent": {"name": LOOPBACK, "online": not reason, "reason": reason},
    }
    return {
        **(own or {}),
        "monitor": monitor and {"url": monitor.url, "pid": monitor.pid},
        "jobs": [{"name": change.name, "change": change.verb} for change in running.jobs],
        "changed": running.changed,
    }


def _show(running: Running, token: Path, reason: str) -> None:
    for change in running.jobs:
        output.say(f"Job {change.name}: {change.verb}")
    if running.controller is not None:
        output.say(f"The controller answers at {running.controller.url}\nUser admin, API token in {token}")
        output.say(f"Agent {LOOPBACK} over ssh: " + (f"offline. {reason}" if reason else "online"))
    if running.monitor is not None:
        output.say(f"The dashboard is at {running.monitor.url}")
    if not running.changed:
        output.say("Nothing changed: all of it was running.")


def _place(context: Context) -> Place:
    from byoci.host import secrets
    from byoci.host.running import Place

    folder = byoci_home(os.environ) / context.namespace / secrets.FOLDER
    return Place(context.namespace, controller_home(context), folder)


def _await_agent(url: str, home: Path) -> str:
    """Wait until the site's own agent over ssh is online; "", or why it is not."""
    from byoci.controller.client import Client

    client, deadline = Client(url, home), time.monotonic() + _AGENT_SECONDS
    while True:
        node = client.node(LOOPBACK)
        if node is not None and not node["offline"]:
            return ""
        if sshd_program() is None or time.monotonic() > deadline:
            return str(node["offlineCauseReason"]) if node else NO_SSHD
        time.sleep(_LOOK)


@click.command()
@click.pass_obj
def down(context: Context) -> None:
    """End the monitor and the controller. Builds that run go on, and `byoci up` goes on with them."""
    from byoci.host.running import bring_down

    config = config_if_any(context)
    ended = bring_down(_place(context), config.monitor_folder if config else None)
    if not ended:
        raise NothingToDoError("neither a controller nor a monitor is running")
    for what in ended:
        output.progress(f"The {what} has ended.")
