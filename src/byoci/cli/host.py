"""`byoci host`: the site's secrets, and who may connect to whom."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import config_if_any, controller_home, sync_nodes
from byoci.config.paths import byoci_home
from byoci.durable import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from byoci.cli.main import Context
    from byoci.config.loading import Config
    from byoci.host.agent_access import Row
    from byoci.host.secrets import Finding


@click.group()
def host() -> None:
    """The site's secrets, and who may connect to whom."""


def _secrets(context: Context) -> Path:
    from byoci.host.secrets import FOLDER

    return byoci_home(os.environ) / context.namespace / FOLDER


@contextlib.contextmanager
def _synchronized(context: Context) -> Iterator[None]:
    """The secrets as their branch has them, and afterwards that one as they are; nothing where they have none."""
    from byoci.host.secrets_branch import synchronized

    config = config_if_any(context)
    if config is None or config.secrets.branch is None:
        yield
        return
    branch, vcs, definition = config.secrets.branch, config.secrets.vcs, config.path.parent
    with synchronized(_secrets(context), branch, vcs, context.namespace, definition):
        yield


@host.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; only tell what is missing or wrong.")
@click.option(
    "--rotate",
    is_flag=False,
    flag_value="controller",
    type=click.Choice(("controller", "administration", "webhook", "token")),
    help="Make one anew: the controller's key (also without a name) or that of who sets agents up, both of which "
    "update-agent-access then brings to the agents; what webhooks are signed with; the API token of this site's own "
    "programs. The older one stays good as long as others know no other.",
)
@json_option
@click.pass_obj
def secrets(context: Context, only_check: bool, rotate: str | None) -> int:
    """Make the secrets of this namespace that are missing, and tell what is wrong with the others.

    They are in $BYOCI_HOME/NAMESPACE/secrets, which is a working copy of the private branch secrets.branch, where the
    configuration has one. None that is there is ever overwritten, but for --rotate. The exit code is 2 where something
    is missing or wrong; with --check also where the agents are not told yet.
    """
    from byoci.host import agent_access
    from byoci.host import secrets as kept

    if only_check and rotate:
        raise click.UsageError("--check changes nothing, so it does not go with --rotate")
    folder, home, config = _secrets(context), controller_home(context), config_if_any(context)
    made: list[str] = []
    if not only_check:
        with _synchronized(context):
            made = kept.make(folder, context.namespace, config.webhooks if config else ())
            if rotate in kept.ROTATED and rotate != "token":
                made.append(kept.rotate(folder, context.namespace, rotate))
    if rotate == "token":
        from byoci.host import own_token

        made.append(str(own_token.rotate(home)))
    found = [
        *kept.check(folder),
        *_token(config),
        *agent_access.check(folder, home, context.namespace, config.agents if config else {}),
    ]
    problems = [finding for finding in found if only_check or finding.kind != "pending"]
    if context.json:
        rows = [
            {"path": one.path, "kind": one.kind, "details": one.details, "resolution": one.resolution} for one in found
        ]
        output.as_json({"folder": str(folder), "made": made, "findings": rows})
    else:
        _tell(folder, made, found)
    return 2 if problems else 0


def _token(config: Config | None) -> list[Finding]:
    """The token for a Jenkins, which only its people can make."""
    from byoci.host.secrets import Finding

    if config is None or config.has_own_controller or not config.controller.user or config.jenkins_token_file.exists():
        return []
    user = config.controller.user
    path = str(config.jenkins_token_file.relative_to(config.state / "secrets"))
    return [
        Finding(path, "missing", "It is not there.", f"Make an API token of {user} in the Jenkins, and put it there.")
    ]


def _tell(folder: Path, made: Sequence[str], found: Sequence[Finding]) -> None:
    for path in made:
        output.say(f"made {folder / path}")
    if found:
        output.table(
            ("SECRET", "IS", "WHY", "WHAT TO DO"), [(one.path, one.kind, one.details, one.resolution) for one in found]
        )
    elif not made:
        output.say(f"All secrets in {folder} are as they should be.")


@host.command("update-agent-access")
@click.argument("agents", nargs=-1, metavar="[AGENT]...", help="Which; all without any.")
@json_option
@click.pass_obj
def update_agent_access(context: Context, agents: tuple[str, ...]) -> int:
    """Let the controller in at its agents, and have it know their host keys; take out what is no longer good.

    Agents are those of the definition, and the one that `byoci up` makes. A new key of the controller's takes the place
    of the old one when it was seen to work at all of them. It can be run again at any time. The exit code is 75 where
    an agent could not be reached.
    """
    from byoci.host.agent_access import AgentAccess
    from byoci.host.site_agent import prepare

    folder, home, config = _secrets(context), controller_home(context), config_if_any(context)
    definition = config.agents if config else {}
    with _synchronized(context):
        prepare(folder, home, context.namespace)
        access = AgentAccess(folder, home, context.namespace, definition)
        rows = access.update(agents)
    problems = [row.error for row in rows if row.error is not None] + sync_nodes(context)
    if context.json:
        output.as_json({"agents": [_as_json(row) for row in rows], "unfinished": access.unfinished})
    else:
        output.table(("AGENT", "WHERE", "STATE"), [(row.agent, row.place, row.state) for row in rows])
        for error in problems:
            output.error(error)
        if access.unfinished:
            output.progress(
                "The controller keeps its older key until the new one works at every agent: run this again."
            )
    return 75 if problems or access.unfinished else 0


def _as_json(row: Row) -> dict[str, str | None]:
    return {"agent": row.agent, "where": row.place, "state": row.state, "error": str(row.error) if row.error else None}


@host.command("systemd-units")
@click.option("--user", "own", is_flag=True, help="Units of your own, which systemctl --user runs.")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where they are written, instead of the folder in which systemd looks for them.",
)
@click.pass_obj
def systemd_units(context: Context, own: bool, folder: Path | None) -> None:
    """Write units of systemd for byoci's own controller and the monitor, each with the namespace as its instance.

    They run as the owner of $BYOCI_HOME, with what they may do restricted, and are watched. Run it again after byoci
    or its configuration moved.
    """
    from byoci.forge.local_people import user_name
    from byoci.host import secrets as kept
    from byoci.host.units import MONITOR, Installation, render

    config = context.site.config
    home = config.home
    kept.make(_secrets(context), context.namespace)
    user = "" if own else user_name(home.stat().st_uid)
    byoci = Path(sys.executable).with_name("byoci")
    units = render(Installation(byoci, home, config.path.absolute(), context.namespace, user))
    if not config.has_own_controller:
        units = {MONITOR: units[MONITOR]}
    target = folder or (_own_units() if own else Path("/etc/systemd/system"))
    target.mkdir(parents=True, exist_ok=True)
    for name, text in units.items():
        write(target / name, text.encode())
        output.say(f"wrote {target / name}")
    names = " ".join(name.replace("@", f"@{context.namespace}") for name in units)
    systemctl = "systemctl --user" if own else "systemctl"
    output.progress(f"Now: {systemctl} daemon-reload && {systemctl} enable --now {names}")


def _own_units() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "systemd/user")
