"""Agents: what they do, and why one is offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from byoci.controller.nodexml import OWN
from byoci.controller.pages import frame, states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.nodexml import Node
    from byoci.controller.rows import BuildRow


@dataclass(frozen=True, slots=True)
class Seen:
    """An agent as pages show it.

    reason     why it is not used, "" where it is
    taken      whether a person took it offline
    executors  what each of them runs, with how long that usually takes
    """

    node: Node
    url: str
    online: bool
    reason: str
    taken: bool
    executors: Sequence[tuple[BuildRow | None, float | None]]

    @property
    def state(self) -> tuple[str, str]:
        """Name and word."""
        if not self.online:
            return ("aborted", "Offline") if self.taken else ("failure", "Not connected")
        busy = any(row for row, _ in self.executors)
        return ("running", "Busy") if busy else ("success", "Idle")


def _seen(call: Call, node: Node) -> Seen:
    controller = call.controller
    agent = controller.agents[node.name]
    rows = {
        running.row.executor: running.row for running in controller.running.values() if running.row.node == node.name
    }
    taken = controller.offline.get(node.name)
    executors = [rows.get(number) for number in range(max(node.executors, *(number + 1 for number in rows), 0))]
    return Seen(
        node,
        frame.node_url(call, node.name),
        online=agent.online and taken is None,
        reason=(taken or "Taken offline.") if taken is not None else agent.reason,
        taken=taken is not None,
        executors=[(row, states.usual(controller, row.job) if row else None) for row in executors],
    )


def nodes(call: Call) -> Response:
    """`computer/`."""
    found = [_seen(call, node) for node in call.controller.nodes.values()]
    start = frame.start_of(call)
    return frame.render(
        call, "nodes.html", trail=(("Agents", f"{start}computer/"),), here="agents", nodes=found, **_urls(call)
    )


def node(call: Call, found: Node) -> Response:
    """`computer/NAME/`."""
    start = frame.start_of(call)
    seen = _seen(call, found)
    trail = (("Agents", f"{start}computer/"), (found.shown, seen.url))
    return frame.render(call, "node.html", trail=trail, here="agents", seen=seen, own=found.name == OWN, **_urls(call))


def confirm(call: Call, found: Node) -> Response:
    """`computer/NAME/delete`."""
    start, url = frame.start_of(call), frame.node_url(call, found.name)
    trail = (("Agents", f"{start}computer/"), (found.shown, url), ("Delete", f"{url}delete"))
    consequence = "Jobs that only it can run wait until another one has its labels. Its host is not touched."
    return frame.confirm(call, url, f"Delete the agent {found.shown}?", consequence, trail=trail, here="agents")


def _urls(call: Call) -> dict[str, Any]:
    return {"build_url": lambda row: f"{frame.url_of(call, row.job)}{row.number}/"}
