"""The nodes of a Jenkins for the definition's agents: read, modified, and written; what people set there stays."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

from byoci.errors import UnavailableError, UsageError
from byoci.jenkins.configs import read, same
from byoci.jenkins.jobs import Change

if TYPE_CHECKING:
    from collections.abc import Iterable

    from byoci.jenkins.client import Jenkins

_KIND: Final = "hudson.slaves.DumbSlave$DescriptorImpl"
_LAUNCHER: Final = "hudson.slaves.CommandLauncher"
_ALWAYS: Final = "hudson.slaves.RetentionStrategy$Always"
_DECLARATION: Final = re.compile(r"^\s*(<\?xml[^>]*\?>)?\s*")
_NEW: Final = f"""<slave>
  <mode>NORMAL</mode>
  <retentionStrategy class="{_ALWAYS}"/>
  <nodeProperties/>
</slave>"""


@dataclass(frozen=True, slots=True)
class Node:
    """What byoci wants of a node; nothing else of it is looked at.

    description  for one that is made
    root         its folder, for workspaces
    command      what the Jenkins runs to have its agent
    """

    name: str
    description: str
    root: str
    executors: int
    labels: tuple[str, ...]
    command: str


def plan(jenkins: Jenkins, wanted: Iterable[Node]) -> list[Change]:
    """What it takes to have these nodes. Raises `UnavailableError` for one that is there and cannot be read."""
    changes = []
    there = _names(jenkins)
    for node in wanted:
        if node.name not in there:
            changes.append(Change(node.name, None, modified(_NEW, node, made=True)))
            continue
        old = _config(jenkins, node.name)
        new = modified(old, node)
        if not same(old, new):
            changes.append(Change(node.name, old, new))
    return changes


def carry_out(jenkins: Jenkins, node: Node, change: Change) -> None:
    """Do it. Raises `UsageError` where the node was changed, made or removed meanwhile."""
    if change.new is None:
        return
    if (_config(jenkins, node.name) if node.name in _names(jenkins) else None) != change.old:
        raise UsageError(f"the node {node.name} is no longer what it was", resolution="Look again, with -n.")
    if change.old is None:
        form = {"name": node.name, "type": _KIND, "json": json.dumps(_form(node))}
        done = jenkins.post("computer/doCreateItem", urlencode(form).encode(), "application/x-www-form-urlencoded")
    else:
        done = jenkins.post(f"{_path(node.name)}/config.xml", change.new.encode(), "text/xml; charset=utf-8")
    if done is None or node.name not in _names(jenkins):
        raise UnavailableError(f"the Jenkins did not {change.verb} the node {node.name}", resolution="See its log.")


def modified(config: str, node: Node, *, made: bool = False) -> str:
    """A node's config.xml with what byoci wants of it; `made`: of one that was not there.

    Raises `UnavailableError` where it is no XML.
    """
    root = read(config)
    if root is None:
        raise UnavailableError(f"what the Jenkins tells of the node {node.name} is no XML", details=config[:500])
    if made:
        _set(root, "name", node.name)
        _set(root, "description", node.description)
    _set(root, "remoteFS", node.root)
    _set(root, "numExecutors", str(node.executors))
    _set(root, "label", " ".join(node.labels))
    launcher = root.find("launcher")
    if launcher is None:
        launcher = ET.SubElement(root, "launcher")
    if launcher.get("class") != _LAUNCHER:
        tail = launcher.tail
        launcher.clear()
        launcher.tail = tail
        launcher.set("class", _LAUNCHER)
    _set(launcher, "agentCommand", node.command)
    if made:
        ET.indent(root)
    head = _DECLARATION.match(config)
    return f"{head[0] if head else ''}{ET.tostring(root, encoding='unicode')}"


def _set(parent: ET.Element, tag: str, text: str) -> None:
    child = parent.find(tag)
    if child is None:
        child = ET.SubElement(parent, tag)
    child.text = text


def _form(node: Node) -> dict[str, object]:
    """What the page sends on which people make nodes."""
    return {
        "name": node.name,
        "nodeDescription": node.description,
        "numExecutors": str(node.executors),
        "remoteFS": node.root,
        "labelString": " ".join(node.labels),
        "mode": "NORMAL",
        "type": _KIND,
        "retentionStrategy": {"stapler-class": _ALWAYS},
        "nodeProperties": {"stapler-class-bag": "true"},
        "launcher": {"stapler-class": _LAUNCHER, "command": node.command},
    }


def _names(jenkins: Jenkins) -> set[str]:
    return {str(node.get("displayName")) for node in jenkins.listed("computer/api/json", "computer", "displayName")}


def _config(jenkins: Jenkins, name: str) -> str:
    told = jenkins.get(f"{_path(name)}/config.xml")
    if told is None:
        raise UnavailableError(
            f"the node {name} is there, and this server does not tell its configuration",
            details="Hudson and the oldest Jenkinses have no config.xml of nodes.",
            resolution="Change it on the server's own page, or delete it there and type this again.",
        )
    return told.decode("utf-8", "replace")


def _path(name: str) -> str:
    return f"computer/{quote(name, safe='')}"
