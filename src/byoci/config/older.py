"""Names of the older byoci and what they are called now; read by the errors that refuse them.

A `*` stands for one component. Only names that have a successor in this version's configuration, or in its words
(DESIGN: master, slave and vm), stand here.
"""

from __future__ import annotations

from typing import Final

SUCCESSORS: Final = {
    "byoci.tests.command": "project.NAME.tests.command",
    "byoci.setup.command": "project.NAME.setup.command",
    "landing.fullname": "site.landing.fullname",
    "landing.email": "site.landing.email",
    "landing.user": "site.landing.user",
    "launchpad.landing.user": "site.landing.user",
    "launchpad.*": 'site.landing.user, and project.NAME.forge = "launchpad" (not in this version)',
    "master": "controller (not in this version)",
    "slave": "agent (not in this version)",
    "container": "worker.NAME",
    "vm": "machine.NAME (not in this version)",
}


def successor(path: tuple[str, ...]) -> str | None:
    """What the older key `path` is called now; None for a key that never was. The most exact name counts."""
    for length in range(len(path), 0, -1):
        head = path[:length]
        for pattern in (".".join(head), ".".join((*head[:-1], "*"))):
            if pattern in SUCCESSORS:
                return SUCCESSORS[pattern]
    return None
