"""`byoci monitor update-plugins`: the plugins of a Jenkins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import dry_option, need_jenkins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.cli.main import Context
    from byoci.jenkins.plugins import Step


@click.command("update-plugins", short_help="Install the plugins that a Jenkins is to have.")
@click.option("--restart/--no-restart", default=None, help="Restart the Jenkins where that is needed; default: ask.")
@dry_option
@json_option
@click.pass_obj
def update_plugins(context: Context, restart: bool | None, dry: bool) -> int:
    """Install what `controller.plugins` of the definition names and the Jenkins lacks, from its update sites.

    What is to be done is shown before. Many plugins count after a restart only, which lets builds end first. Where a
    plugin cannot be installed, or does not work then, all that was changed is taken back.
    """
    from byoci.jenkins.plugins import Update, installed, plan

    need_jenkins(context)
    jenkins = context.site.jenkins()
    steps = plan(installed(jenkins), context.site.config.controller.plugins)
    if not context.json:
        _show(steps)
    state = "to be done" if steps else "done"
    if steps and not dry:
        update = Update(jenkins, steps, output.progress)
        state = "done"
        if update.install():
            if _may_restart(restart):
                update.restart()
            else:
                state = "waits for a restart"
    if context.json:
        rows = [{"name": one.name, "change": one.verb, "from": one.have, "to": one.want} for one in steps]
        output.as_json({"steps": rows, "state": state})
    elif state.startswith("waits"):
        output.say("They count from the next restart of the Jenkins: byoci monitor update-plugins --restart")
    return 0


def _show(steps: Sequence[Step]) -> None:
    if steps:
        rows = [(one.name, one.verb, one.have or "none", one.want or "newest") for one in steps]
        output.table(("PLUGIN", "CHANGE", "NOW", "AT LEAST"), rows)
    else:
        output.say("All plugins are as they should be.")


def _may_restart(restart: bool | None) -> bool:
    if restart is None and sys.stdin.isatty():
        return click.confirm("The Jenkins has to be restarted for that, once its builds have ended. Now?", err=True)
    return bool(restart)
