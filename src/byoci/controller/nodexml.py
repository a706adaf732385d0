"""The config.xml of a node, read into what the controller needs of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from byoci.controller.jobxml import JobRefusedError, parse_xml, root_part
from byoci.controller.places import check_name

if TYPE_CHECKING:
    from byoci.controller.jobxml import Part

_SSH: Final = "hudson.plugins.sshslaves.SSHLauncher"
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MOST_EXECUTORS: Final = 10_000
_LAST_PORT: Final = 65_535
OWN: Final = ""  # the name of the controller's own host


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to reach an agent. Its host key is looked up among those that are pinned, and nowhere else."""

    host: str
    port: int = 22
    user: str = "jenkins"


@dataclass(frozen=True, slots=True)
class Node:
    """What runs builds.

    root       folder on it for workspaces
    exclusive  whether only jobs run here whose labels ask for it
    ssh        None for the controller's own host
    """

    name: str
    description: str = ""
    root: str = "~/.byoci/agent"
    executors: int = 2
    labels: tuple[str, ...] = ()
    exclusive: bool = False
    ssh: Ssh | None = None

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.name or "Built-In Node"

    @property
    def label_set(self) -> frozenset[str]:
        """Its labels, its own name among them."""
        return frozenset({*self.labels, self.name or "built-in"})


def read_node(data: bytes) -> Node:
    """The node that a config.xml describes. Raises `JobRefusedError` and `UsageError` as `read_job` does."""
    root = parse_xml(data)
    part, refusals = root_part(root)
    if root.tag not in ("slave", "hudson.slaves.DumbSlave", "hudson.model.Hudson_-MasterComputer"):
        part.refuse("is no node")
        raise JobRefusedError(tuple(refusals))
    name = part.text("name")
    executors = part.number("numExecutors")
    if executors is not None and executors > _MOST_EXECUTORS:
        part.refuse(f"is {executors}; a node has at most {_MOST_EXECUTORS} executors", "numExecutors")
    labels = tuple(part.text("label").split())
    node = Node(
        name and check_name(name, "node"),
        part.text("description"),
        part.text("remoteFS").strip() or "~/.byoci/agent",
        1 if executors is None else executors,
        labels,
        part.text("mode").strip() == "EXCLUSIVE",
        _launcher(part),
    )
    _neutral(part)
    part.end()
    if refusals:
        raise JobRefusedError(tuple(refusals))
    return node


def _launcher(part: Part) -> Ssh | None:
    launcher = part.part("launcher")
    if launcher is None:
        return None
    if launcher.name != _SSH:
        launcher.refuse("is not known to the controller: agents are reached over ssh")
        return None
    host, user = launcher.text("host").strip(), launcher.text("username").strip() or "jenkins"
    if not _HOST.fullmatch(host):
        launcher.refuse(f"is “{host[:50]}”, which is no host's name", "host")
    if not _USER.fullmatch(user):
        launcher.refuse(f"is “{user[:50]}”, which is no user's name", "username")
    port = launcher.number("port") or 22
    if port > _LAST_PORT:
        launcher.refuse(f"is {port}, which is no port", "port")
    launcher.end()
    return Ssh(host, port, user)


def _neutral(part: Part) -> None:
    retention = part.part("retentionStrategy")
    if retention and not retention.name.endswith("RetentionStrategy$Always"):
        retention.refuse("is not known to the controller: agents are kept connected")
    properties = part.part("nodeProperties")
    if properties:
        properties.end()
    part.text("userId")


def write_node(node: Node) -> bytes:
    """A config.xml that `read_node` reads."""
    launcher = ""
    if node.ssh:
        launcher = (
            f'\n  <launcher class="{_SSH}"><host>{escape(node.ssh.host)}</host><port>{node.ssh.port}</port>'
            f"<username>{escape(node.ssh.user)}</username></launcher>"
        )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<slave>
  <name>{escape(node.name)}</name>
  <description>{escape(node.description)}</description>
  <remoteFS>{escape(node.root)}</remoteFS>
  <numExecutors>{node.executors}</numExecutors>
  <mode>{"EXCLUSIVE" if node.exclusive else "NORMAL"}</mode>{launcher}
  <label>{escape(" ".join(node.labels))}</label>
  <nodeProperties/>
</slave>
""".encode()
