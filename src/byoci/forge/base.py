"""The Forge protocol: where proposals come from and where their fate is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.model import Ballot, Location, Proposal, Status


class ReadableForge(Protocol):
    """A place that holds proposals, as whoever may only read it has it.

    Order: none; every call stands alone and reads the forge afresh. Nothing is cached between calls.
    Concurrency: any number of processes may use a forge at once; an object belongs to one thread.
    Errors: `UsageError` for a proposal that the forge does not know, `UnavailableError` where it did not answer.
    """

    name: str

    def proposals(self, target: Location) -> Sequence[Proposal]:
        """The proposals into `target` that are not final, oldest first."""

    def edition(self, target: Location) -> str:
        """Another text whenever a proposal into `target` that is not final, or its ballot, has changed; one request.

        It may be another one where nothing has changed. Teams and trust are as they were when the forge was opened.
        """

    def proposal(self, id_: str) -> Proposal:
        """One proposal as it is now, whatever its status."""

    def ballot_of(self, proposal: Proposal) -> Ballot:
        """The proposal as it is now (its status may have changed since), its votes, requests and who is trusted."""


class Forge(ReadableForge, Protocol):
    """The same for whoever may write. Idempotence: all writes are; told twice, seen once."""

    def comment(self, proposal: Proposal, key: str, text: str) -> bool:
        """Say `text` on the proposal, unless a comment with the same `key` stands there; whether it was said now."""

    def set_status(self, proposal: Proposal, status: Status) -> None:
        """Set a status other than Merged, as when tests failed and a person has to look again (Needs review).

        Where people have decided otherwise since `proposal` was read (another status, another approval), that stays.
        """

    def mark_merged(self, proposal: Proposal, revision: str) -> None:
        """Set the status to Merged with the trunk's `revision`. A proposal that is Merged already stays as it is.

        So does one of which another revision than `proposal` tells has been approved since: it is still to land.
        """
