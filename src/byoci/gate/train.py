"""The queue of a trunk: in which order what may land is landed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.model import Proposal


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that may land.

    hotfix    whether it goes before all that are none, whatever their priority
    priority  the higher goes first
    """

    proposal: Proposal
    priority: int = 0
    hotfix: bool = False


def order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Hotfixes first, then by priority, then by approval, the oldest first; but none before its prerequisite.

    A prerequisite takes the place of the one that needs it, where that is further ahead. The order in which they are
    given has no influence.
    """
    known = {item.proposal.id: item for item in waiting}
    ordered: dict[str, Waiting] = {}

    def place(item: Waiting, below: frozenset[str]) -> None:
        first = known.get(item.proposal.prerequisite or "")
        if first is not None and first.proposal.id not in below:  # a circle of prerequisites is the ballot's to refuse
            place(first, below | {item.proposal.id})
        ordered.setdefault(item.proposal.id, item)

    for item in sorted(known.values(), key=_rank):
        place(item, frozenset({item.proposal.id}))
    return list(ordered.values())


def _rank(item: Waiting) -> tuple[object, ...]:
    proposal = item.proposal
    # Forges tell approvals to the second: of two in one second the older proposal is first.
    approved = proposal.approved_at or proposal.created_at
    return (not item.hotfix, -item.priority, approved, proposal.created_at, proposal.id)
