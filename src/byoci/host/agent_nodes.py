"""The nodes of the controller that the definition has as agents: made, changed and removed as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.errors import ByociError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.config.schema_controller import Agent
    from byoci.controller.client import Client
    from byoci.controller.nodexml import Node

_SSH: Final = "hudson.plugins.sshslaves.SSHLauncher"


def sync(client: Client, agents: Mapping[str, Agent], namespace: str) -> list[ByociError]:
    """Make the controller have the definition's agents; gives what it refused. Other nodes are left alone."""
    problems = []
    known = client.nodes()
    for name, agent in agents.items():
        try:
            _make(client, _node(agent, namespace), there=name in known)
        except ByociError as error:
            problems.append(error)
    for name, text in known.items():
        if name not in agents and text == _description(name):
            try:
                client.drop_node(name)
            except ByociError as error:  # it is building
                problems.append(error)
    return problems


def description(agent: Agent) -> str:
    """What an agent's node says of itself."""
    return _description(agent.name)


def _description(name: str) -> str:
    return f"[agent.{name}] of the definition"


def _node(agent: Agent, namespace: str) -> Node:
    from byoci.controller.nodexml import Node, Ssh

    return Node(
        agent.name,
        description(agent),
        f"{agent.folder}/{namespace}",
        agent.executors,
        agent.labels,
        ssh=Ssh(agent.host, agent.port, agent.user),
    )


def _make(client: Client, node: Node, *, there: bool) -> None:
    from byoci.controller.nodexml import read_node, write_node

    assert node.ssh is not None
    if not there:
        launcher = {"stapler-class": _SSH, "host": node.ssh.host, "port": node.ssh.port, "username": node.ssh.user}
        form = {
            "nodeDescription": node.description,
            "remoteFS": node.root,
            "numExecutors": node.executors,
            "labelString": " ".join(node.labels),
            "launcher": launcher,
        }
        client.make_node(node.name, form)
        return
    config = client.node_config(node.name)
    if config is not None and read_node(config) != node:
        client.change_node(node.name, write_node(node))
