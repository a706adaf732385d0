"""Agents of a Jenkins: `byoci agent start-slave-via-ssh`, which the Jenkins runs, and `byoci monitor update-agent`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NoReturn

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import dry_option, need_jenkins, own_program
from byoci.errors import ByociError, UsageError

if TYPE_CHECKING:
    from byoci.cli.main import Context
    from byoci.config.schema_controller import Agent
    from byoci.jenkins.nodes import Node


@click.command("start-slave-via-ssh", short_help="Start an agent of a Jenkins: its launcher command.")
@click.argument("name", metavar="AGENT", help="As in [agent.NAME] of the definition.")
@click.pass_obj
def start_agent(context: Context, name: str) -> NoReturn:
    """Start an agent of a Jenkins over ssh, and be the connection to it: what a node has as its launch command.

    It goes to the host that [agent.NAME] names, as the user who runs jobs there, with the controller's key, and only
    where the host's key is pinned: `byoci host update-agent-access` sees to both. The remoting jar there becomes that
    of the Jenkins. What goes wrong is told on standard error, which the Jenkins shows in the node's log.
    """
    from byoci.host.agent_places import Place
    from byoci.host.agent_start import Launch, start
    from byoci.jenkins.account import as_anybody

    config = context.site.config
    agent = _agent(context, name)
    place = Place(agent.host, agent.port, agent.user)
    launch = Launch(place, f"{agent.folder}/{context.namespace}", agent.java, config.controller_folder)
    start(launch, as_anybody(config), output.progress)


def _agent(context: Context, name: str) -> Agent:
    """An agent of the definition, for a controller that is a Jenkins."""
    config = context.site.config
    need_jenkins(context)
    if name not in config.agents:
        known = ", ".join(config.agents) or "none"
        raise UsageError(f"there is no agent {name[:100]!a}", details=f"known: {known}", resolution="Add [agent.NAME].")
    return config.agents[name]


@click.command("update-agent", short_help="Make the nodes of a Jenkins what the definition says.")
@click.argument("names", nargs=-1, metavar="[AGENT]...", help="Which; all without any.")
@dry_option
@json_option
@click.pass_obj
def update_agent(context: Context, names: tuple[str, ...], dry: bool) -> int:
    """Make the nodes of a Jenkins what [agent.NAME] of the definition says. The differences are shown.

    Folder, executors, labels and launch command become byoci's; all else of a node stays, as do nodes of other names.
    The exit code is 75 where a node could not be read or changed.
    """
    from byoci.jenkins.nodes import carry_out, plan

    need_jenkins(context)
    wanted = [_node(context, _agent(context, name)) for name in names or context.site.config.agents]
    jenkins = context.site.jenkins()
    rows, problems = [], []
    for node in wanted:
        try:
            for change in plan(jenkins, [node]):
                if not context.json:
                    output.say(change.diff().rstrip())
                if not dry:
                    carry_out(jenkins, node, change)
                rows.append({"name": node.name, "change": change.verb, "done": not dry})
        except ByociError as error:
            problems.append(error)
    if context.json:
        output.as_json(rows)
    elif not rows and not problems:
        output.say("All nodes are as they should be.")
    for problem in problems:
        output.error(problem)
    return 75 if problems else 0


def _node(context: Context, agent: Agent) -> Node:
    from byoci.host.agent_nodes import description
    from byoci.jenkins.nodes import Node

    program = context.site.config.controller.launcher or own_program(context)
    return Node(
        agent.name,
        description(agent),
        f"{agent.folder}/{context.namespace}",
        agent.executors,
        agent.labels,
        shlex.join((*program, "agent", "start-slave-via-ssh", agent.name)),
    )
