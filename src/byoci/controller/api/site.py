"""Addresses of the controller itself: crumbs, people, the queue, nodes, shutting down."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from byoci.controller.api import http
from byoci.controller.api.shapes import node_bean, queued_bean
from byoci.controller.beans import Bean
from byoci.controller.catalog import MissingError
from byoci.controller.nodexml import OWN, Node, Ssh, read_node, write_node
from byoci.controller.pages import routes
from byoci.errors import UsageError
from byoci.identity.access import CRUMB_FIELD

if TYPE_CHECKING:
    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.beans import Value

_OWN_NAMES: Final = ("(built-in)", "(master)")
_SSH: Final = "hudson.plugins.sshslaves.SSHLauncher"
# What jenkins-job-builder's delete-all sends, with the line that python-jenkins puts below every script.
_DELETE_ALL: Final = re.compile(
    r"\s*for\(job in jenkins\.model\.Jenkins\.theInstance\.getAllItems\(\)\)\s*\{ job\.delete\(\); \}"
    r'\s*print\("(.{1,20})"\)\s*'
)


def crumb(call: Call, kind: str) -> Response:
    """`crumbIssuer/api/…`."""
    fields: dict[str, Value] = {"crumb": call.crumb, "crumbRequestField": CRUMB_FIELD}
    return http.tell(call, Bean("hudson.security.csrf.DefaultCrumbIssuer", fields), kind)


def me(call: Call, kind: str) -> Response:
    """`me/api/…`."""
    return http.tell(call, _person(call, call.user), kind)


def who_am_i(call: Call, kind: str) -> Response:
    """`whoAmI/api/…`."""
    fields: dict[str, Value] = {
        "anonymous": False,
        "authenticated": True,
        "authorities": ["authenticated"],
        "name": call.user,
    }
    return http.tell(call, Bean("hudson.security.WhoAmI", fields), kind)


def _person(call: Call, name: str) -> Bean:
    url = f"{call.controller.url}user/{quote(name, safe='')}"
    fields: dict[str, Value] = {"absoluteUrl": url, "description": None, "fullName": name, "id": name, "property": []}
    return Bean("hudson.model.User", fields)


def user(call: Call, name: str, rest: list[str]) -> Response:
    """`user/NAME/…`: who it is, and his own API tokens."""
    match rest:
        case ["api", "json" | "xml" as kind]:
            if not call.access.is_known(name):
                raise MissingError(f"there is no person {name[:100]!a}")
            return http.tell(call, _person(call, name), kind)
        case ["descriptorByName", "jenkins.security.ApiTokenProperty", "generateNewToken" | "revoke" as verb]:
            http.only_post(call)
            if name != call.user:
                raise UsageError("nobody makes or revokes another one's tokens")
            if verb == "revoke":
                call.access.revoke_token(name, call.needed("tokenUuid"))
                return http.done()
            label = call.value("newTokenName") or "a token"
            token, id_ = call.access.make_token(name, label)
            return http.as_data({"status": "ok", "data": {"tokenName": label, "tokenUuid": id_, "tokenValue": token}})
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of a person")


def queue(call: Call, rest: list[str]) -> Response:
    """`queue/…`."""
    controller = call.controller
    match rest:
        case ["api", "json" | "xml" as kind]:
            waiting = controller.state.waiting()
            items: list[Value] = [queued_bean(controller, queued) for queued in waiting]
            return http.tell(call, Bean("hudson.model.Queue", {"items": items}), kind)
        case ["item", number, *below] if number.isascii() and number.isdigit() and len(number) < 16:
            queued = controller.state.queued(int(number))
            if queued is None:
                raise MissingError(f"there is no item {number} in the queue")
            if below not in ([], ["api", "json"], ["api", "xml"]):
                raise MissingError("there is no such address of an item in the queue")
            return http.tell(call, queued_bean(controller, queued), below[-1] if below else "json")
        case ["cancelItem"]:
            http.only_post(call)
            id_ = call.needed("id")
            if not (id_.isascii() and id_.isdigit() and len(id_) < 16) or not controller.cancel(int(id_)):
                raise MissingError(f"there is no item {id_[:50]!a} in the queue")
            return http.go_to(call, "queue/api/json")
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of the queue")


async def computer(call: Call, rest: list[str]) -> Response:
    """`computer/…`."""
    controller = call.controller
    match rest:
        case ["api", "json" | "xml" as kind]:
            nodes: list[Value] = [node_bean(controller, node) for node in controller.nodes.values()]
            fields: dict[str, Value] = {
                "busyExecutors": len(controller.running),
                "computer": nodes,
                "displayName": "Nodes",
                "totalExecutors": sum(node.executors for node in controller.nodes.values()),
            }
            return http.tell(call, Bean("hudson.model.ComputerSet", fields), kind)
        case ["doCreateItem"]:
            http.only_post(call)
            controller.save_node(_new_node(call), new=True)
            return http.go_to(call, "computer/")
        case [name, *below]:
            return await _node(call, _known(call, name), below)
    raise MissingError("there is no such address of a node")


def _known(call: Call, name: str) -> Node:
    nodes = call.controller.nodes
    found = nodes.get(OWN if name in _OWN_NAMES or name == nodes[OWN].shown else name)
    if found is None or not name:
        raise MissingError(f"there is no node {name[:100]!a}")
    return found


async def _node(call: Call, node: Node, rest: list[str]) -> Response:
    controller = call.controller
    if call.method == "GET" and (page := routes.node(call, node, rest)):
        return await routes.show(call, page)
    match rest:
        case ["api", "json" | "xml" as kind]:
            return http.tell(call, node_bean(controller, node), kind)
        case ["config.xml"] if call.method == "POST":
            changed = read_node(call.body)
            if changed.name != node.name:
                raise UsageError("a node keeps its name", details=f"{node.shown}, not {changed.shown}")
            controller.save_node(changed, new=False)
            return http.done()
        case ["config.xml"]:
            return http.xml(write_node(node))
        case ["doDelete"]:
            http.only_post(call)
            controller.drop_node(node.name)
            return http.go_to(call, "computer/")
        case ["toggleOffline"]:
            http.only_post(call)
            offline = node.name in controller.offline
            controller.take_offline(node.name, None if offline else call.value("offlineMessage"))
            return http.go_to(call, "computer/")
        case ["scriptText"]:
            raise _no_groovy()
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of a node")


def _new_node(call: Call) -> Node:
    """The node that Jenkins' form describes, as python-jenkins fills it in."""
    try:
        told: Any = json.loads(call.needed("json"))
        launcher = told.get("launcher") or {}
        labels = told.get("labelString") or ""
        ssh = _ssh(launcher)
        node = Node(
            call.needed("name"),
            str(told.get("nodeDescription") or ""),
            str(told.get("remoteFS") or "~/.byoci/agent"),
            int(told.get("numExecutors", 1)),
            tuple(labels.split()),
            told.get("mode") == "EXCLUSIVE",
            ssh,
        )
        config = write_node(node)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UsageError("the form of a node cannot be read", details=str(error)[:200]) from error
    return read_node(config)  # so that all is checked in one place


def _ssh(launcher: dict[str, Any]) -> Ssh:
    if launcher.get("stapler-class") != _SSH:
        raise UsageError(
            "agents are reached over ssh", details=f"The launcher must be {_SSH}, with host, port and username."
        )
    return Ssh(
        str(launcher.get("host", "")), int(launcher.get("port") or 22), str(launcher.get("username") or "jenkins")
    )


def quiet_down(call: Call, *, quiet: bool) -> Response:
    """`quietDown` and `cancelQuietDown`: whether anything new is started."""
    http.only_post(call)
    call.controller.quiet = quiet
    call.controller.kick()
    return http.go_to(call, "")


def restart(call: Call) -> Response:
    """`restart` and `safeRestart`, which are one: builds do not notice."""
    http.only_post(call)
    call.controller.restart.set()
    return http.go_to(call, "")


def _no_groovy() -> UsageError:
    return UsageError(
        "the controller has no Groovy",
        details="Of scripts it knows only the one by which jenkins-jobs delete-all removes every job.",
        resolution="Use the remote API.",
    )


async def script(call: Call) -> Response:
    """`scriptText`: the one script that jenkins-job-builder needs."""
    http.only_post(call)
    match = _DELETE_ALL.fullmatch(call.value("script"))
    if not match:
        raise _no_groovy()
    for item in call.controller.catalog.below(""):
        await call.controller.delete(item.path, call.user)
    return http.text(match[1])
