"""The agents of a controller, as it tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.jenkins.client import as_objects

if TYPE_CHECKING:
    from byoci.jenkins.client import Jenkins

_FACTS: Final = "displayName,offline,temporarilyOffline,offlineCauseReason,numExecutors,idle"
_LONGEST: Final = 500  # characters of a reason


@dataclass(frozen=True, slots=True)
class Computer:
    """An agent.

    reason    why it is offline, as far as the controller tells; ""
    taken     whether a person took it offline
    """

    name: str
    offline: bool
    taken: bool
    reason: str
    executors: int
    idle: bool


def computers(jenkins: Jenkins) -> tuple[Computer, ...]:
    """All that can run builds, in the controller's order. Raises `UnavailableError`."""
    told = jenkins.told(f"computer/api/json?tree=computer[{_FACTS}]")
    made = (
        Computer(
            name=str(one.get("displayName") or ""),
            offline=bool(one.get("offline")),
            taken=bool(one.get("temporarilyOffline")),
            reason=str(one.get("offlineCauseReason") or "")[:_LONGEST],
            executors=count if isinstance(count := one.get("numExecutors"), int) else 0,
            idle=bool(one.get("idle")),
        )
        for one in as_objects(told.get("computer"))
    )
    return tuple(computer for computer in made if computer.executors)
