"""`byoci up` and `byoci down`: the embedded controller from the command line."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import config_if_any, controller_home, need_controller, need_own_controller, sync_nodes
from byoci.config.paths import byoci_home
from byoci.controller.places import LOOPBACK, NO_SSHD, sshd_program
from byoci.errors import NothingToDoError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.cli.main import Context
    from byoci.config.loading import Config
    from byoci.controller.background import Serving

_AGENT_SECONDS = 20.0  # how long one waits for the first connection to an agent
_LOOK = 0.05  # seconds between looks


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Instead of controller.port, which is 8010 by default; 0: any free one.",
)
@json_option
@click.pass_obj
def up(context: Context, port: int | None) -> None:
    """Start the site: the embedded controller, in the background, with this host as its agent, also over ssh.

    It speaks the remote API of Jenkins; sign in as `admin` with the API token in the file that is told. The agent
    `loopback` is reached through an sshd of the site's own, at loopback only, which ends with the controller.
    """
    from byoci.controller import background
    from byoci.host import secrets
    from byoci.host.site_agent import prepare

    need_own_controller(context)
    need_controller()
    home, config = controller_home(context), config_if_any(context)
    found = background.find(home)
    if found is None:
        prepare(byoci_home(os.environ) / context.namespace / secrets.FOLDER, home, context.namespace)
        found = background.start(home, serving_of(config, port))
    for problem in sync_nodes(context):
        output.error(problem)
    reason = _await_agent(found.url, home)
    token = home / "admin-token"
    if context.json:
        agent = {"name": LOOPBACK, "online": not reason, "reason": reason}
        output.as_json({"url": found.url, "token_file": str(token), "pid": found.pid, "agent": agent})
    else:
        output.say(f"The controller answers at {found.url}\nUser admin, API token in {token}")
        output.say(f"Agent {LOOPBACK} over ssh: " + (f"offline. {reason}" if reason else "online"))


def serving_of(config: Config | None, port: int | None = None) -> Serving:
    """How the configuration has the controller serve; `port` counts for once."""
    from byoci.config.schema_controller import Controller
    from byoci.controller.background import Serving
    from byoci.controller.bounds import Bounds

    settings = config.controller if config else Controller()
    kept = settings.keep
    bounds = Bounds(kept.log, kept.artifacts, kept.files)
    return Serving(settings.port if port is None else port, settings.listen, settings.url or "", bounds)


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
    """End the embedded controller. Builds that run go on, and `byoci up` goes on with them."""
    from byoci.controller import background

    if not background.stop(controller_home(context)):
        raise NothingToDoError("no controller is running")
    output.progress("The controller has ended.")
