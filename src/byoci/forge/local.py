"""The local forge: proposals, reviews and statuses for teams that have no forge, in one SQLite file.

What is in it exists nowhere else: it is no cache. Whoever may write to the file may write anything into it; the rights
that are checked here guard against mistakes among people who share it, and the events record who did what. People
who must not be able to forge each other's votes need a forge with a server.
"""

from __future__ import annotations

import dataclasses
import logging
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import UsageError
from byoci.forge import local_input, local_rows
from byoci.forge.local_ledger import Ledger
from byoci.forge.local_reading import Reading, people_of
from byoci.model import Location, Proposal, ReviewRequest, Status, Vote, VoteValue
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from byoci.forge.local_people import Actor, People
    from byoci.forge.local_rows import Comment, Event
    from byoci.sqlite import Database

_log = logging.getLogger(__name__)
_COMMENT = effects.declare(
    "forge.comment",
    "what became of a proposal, said to its people",
    half="One transaction: it was not said, and is said now.",
    done="It bears a key, and is not said twice; the status follows.",
)
_STATUS = effects.declare(
    "forge.status",
    "a proposal that failed goes back to Needs review",
    half="One transaction: it was not set, and is set now, unless people have decided otherwise.",
    done="Its people know; it waits for them.",
)
_MERGED = effects.declare(
    "forge.merged",
    "a proposal is Merged, with trunk's revision",
    half="One transaction: it was not set, and is set now.",
    done="Everything was told: only the cache is brought up to date.",
)
_MODE: Final = 0o660  # less the umask: a group shares the forge where its members' umask lets it


class LocalForge(Reading):
    """The lander's part is the protocol in `forge.base`; the other methods are what `byoci proposal` does.

    user            who calls: the unix user
    teams           team → its people and teams
    administrators  people and teams who may act for others (it is recorded); nobody: the owner of the file
    trusted         project → people and teams who may decide over its proposals; administrators always may

    Order: none. Idempotence: the protocol's writes are; what people do is recorded as often as they do it.
    Concurrency: any number of processes; each write is one transaction, on the disk when the method returns.
    Errors: `UsageError` for what does not exist, is not allowed or is not well-formed, `UnavailableError` where the
    file cannot be used. Nothing was changed after either.
    """

    def __init__(
        self,
        path: Path,
        *,
        user: str,
        teams: Mapping[str, Collection[str]] | None = None,
        administrators: Collection[str] = (),
        trusted: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._user = local_input.name(user, "user")
        self._database = open_database(path, local_rows.MIGRATIONS, kind="local forge", mode=_MODE, durable=True)
        self._database.row_factory = sqlite3.Row
        self._ledger = Ledger(self._database, self.name)
        self._people = people_of(path, teams or {}, administrators, trusted or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing else may be called after that."""
        self._database.close()

    def _parts(self) -> tuple[Database, Ledger, People]:
        return self._database, self._ledger, self._people

    @_COMMENT
    def comment(self, proposal: Proposal, key: str, text: str) -> bool:
        """Say `text` on the proposal, unless a comment with the same `key` stands there; whether it was said now."""
        with self._database.writing():
            now = self._ledger.get(proposal.id)
            return self._ledger.say(now, self._actor(), local_input.machine_prose(text), local_input.machine_prose(key))

    @_STATUS
    def set_status(self, proposal: Proposal, status: Status) -> None:
        """Set a status other than Merged and Approved, which need a revision.

        Where status or approval are no longer what `proposal` says, somebody has decided meanwhile, and that stays.
        """
        if status in (Status.APPROVED, Status.MERGED):
            raise UsageError(f"{status} needs a revision", resolution="Use change_status or mark_merged.")
        with self._database.writing():
            now = self._ledger.get(proposal.id)
            if _decided(now) == _decided(proposal):
                self._change(now, status, None, self._actor())
            else:
                _log.info("proposal %s is %s by now, and stays so", now.id, now.status)

    @_MERGED
    def mark_merged(self, proposal: Proposal, revision: str) -> None:
        """Set the status to Merged with the trunk's `revision`. A proposal that is Merged already stays as it is.

        So does one of which another revision than `proposal` tells has been approved since: it is still to land.
        """
        given = local_input.revision(revision)
        with self._database.writing():
            now = self._ledger.get(proposal.id)
            if now.status is Status.APPROVED and now.approved_revision != proposal.approved_revision:
                _log.info("another revision of proposal %s is approved by now, and stays so", now.id)
            else:
                self._change(now, Status.MERGED, given, self._actor())

    # What people do.

    def list_proposals(self, project: str | None = None) -> Sequence[Proposal]:
        """All proposals, of all projects or of one, whatever their status, oldest first."""
        with self._database.reading():
            return self._ledger.all(project)

    def comments(self, id_: str) -> Sequence[Comment]:
        """What was said of a proposal, oldest first."""
        with self._database.reading():
            number = int(self._ledger.get(id_).id)
            rows = self._ledger.rows("SELECT * FROM comment WHERE proposal = ? ORDER BY id", number)
        return [local_rows.comment_of(row) for row in rows]

    def events(self, id_: str) -> Sequence[Event]:
        """All that was ever done to a proposal, oldest first."""
        with self._database.reading():
            number = int(self._ledger.get(id_).id)
            rows = self._ledger.rows("SELECT * FROM event WHERE proposal = ? ORDER BY id", number)
        return [local_rows.event_of(row) for row in rows]

    def create(  # noqa: PLR0913 - a proposal has that many parts
        self,
        project: str,
        source: Location,
        target: Location,
        title: str,
        *,
        description: str = "",
        prerequisite: str | None = None,
        source_tip: str | None = None,
        acting_for: str | None = None,
    ) -> Proposal:
        """Propose to merge `source` into `target`; the status is Needs review.

        prerequisite  a proposal into the same target that has to land first
        source_tip    the source's revision of this moment, for the record
        """
        actor = self._actor(acting_for)
        draft = Proposal(
            forge=self.name,
            project=local_input.name(project, "project"),
            id="",
            title=local_input.title(title),
            author=actor.person,
            source=local_input.location(source, "source"),
            target=local_input.location(target, "target"),
            status=Status.NEEDS_REVIEW,
            created_at=datetime.now(UTC),
            description=local_input.prose(description, "description"),
            prerequisite=prerequisite,
        )
        if source == target:
            raise UsageError(f"{source} is the target itself", resolution="Propose another branch.")
        tip = local_input.revision(source_tip) if source_tip else None
        with self._database.writing():
            if prerequisite is not None:
                _check_prerequisite(self._ledger.get(prerequisite), target)
            return self._ledger.insert(draft, actor, tip)

    def request_review(self, id_: str, reviewer: str, *, review_type: str = "", acting_for: str | None = None) -> None:
        """Ask a person or a team for a review.

        A person is asked once, and asking again changes the type; a team as often as one wants reviews from it.
        """
        actor = self._actor(acting_for)
        kind, team = local_input.review_type(review_type), reviewer in self._people.members
        request = ReviewRequest(local_input.name(reviewer, "reviewer"), datetime.now(UTC), kind, team)
        with self._database.writing():
            now = self._open(id_)
            self._people.check_may_edit(actor, now, f"ask for reviews of proposal {now.id}")
            self._ledger.ask(now, request, actor)

    def review(
        self,
        id_: str,
        value: VoteValue,
        *,
        revision: str,
        review_type: str = "",
        comment: str = "",
        acting_for: str | None = None,
    ) -> None:
        """Vote on the proposal, and say something. The vote takes the place of the voter's earlier one.

        revision  the source's revision that the voter saw: its tip
        """
        actor = self._actor(acting_for)
        kind, seen = local_input.review_type(review_type), local_input.revision(revision)
        text = local_input.prose(comment, "comment")
        with self._database.writing():
            now = self._open(id_)
            self._ledger.vote(now, Vote(actor.person, value, datetime.now(UTC), kind, seen), actor)
            if text:
                self._ledger.say(now, actor, text)

    def add_comment(self, id_: str, text: str, *, acting_for: str | None = None) -> None:
        """Say something of a proposal, whatever its status."""
        actor, said = self._actor(acting_for), local_input.prose(text, "comment")
        if not said.strip():
            raise UsageError("the comment is empty", resolution="Nothing was changed.")
        with self._database.writing():
            self._ledger.say(self._ledger.get(id_), actor, said)

    def change_status(
        self, id_: str, status: Status, *, revision: str | None = None, acting_for: str | None = None
    ) -> Proposal:
        """Set a status, and give the proposal as it is then. Setting the one that it has changes nothing.

        All but Approved and Merged take an approval back. A final status may be left again.

        revision  for Approved, which needs one, the source's tip of this moment. It is pinned: approving another one
                  later is a new approval, approving the same one again is none. For Merged trunk's revision that
                  holds it, if that is known
        """
        actor, given = self._actor(acting_for), local_input.revision(revision) if revision else None
        with self._database.writing():
            return self._change(self._ledger.get(id_), status, given, actor)

    def supersede(
        self, id_: str, source: Location, *, source_tip: str | None = None, acting_for: str | None = None
    ) -> Proposal:
        """Replace a proposal by a new one from another source, and give that one.

        Title, description, target, prerequisite (or what took its place) and review requests are carried over, votes
        are not. The author is the one who does it.
        """
        actor = self._actor(acting_for)
        local_input.location(source, "source")
        tip = local_input.revision(source_tip) if source_tip else None
        with self._database.writing():
            old = self._ledger.get(id_)
            if old.status in (Status.MERGED, Status.SUPERSEDED):
                raise UsageError(f"proposal {old.id} is {old.status}", resolution="Create a new proposal instead.")
            if source == old.target:
                raise UsageError(f"{source} is the target itself", resolution="Propose another branch.")
            self._change(old, Status.SUPERSEDED, None, actor)
            before = self._ledger.newest_of(old.prerequisite)
            draft = dataclasses.replace(old, author=actor.person, source=source, prerequisite=before)
            new = self._ledger.insert(draft, actor, tip)
            self._ledger.replace(old, new, actor)
        return new

    def superseded_by(self, id_: str) -> str | None:
        """The id of the proposal that took this one's place, if one did."""
        with self._database.reading():
            return self._ledger.successor(self._ledger.get(id_).id)

    def _actor(self, acting_for: str | None = None) -> Actor:
        return self._people.actor(self._user, acting_for)

    def _open(self, id_: str) -> Proposal:
        now = self._ledger.get(id_)
        if now.status.final:
            raise UsageError(
                f"proposal {now.id} is {now.status}", resolution="Set its status to Needs review to open it again."
            )
        return now

    def _change(self, now: Proposal, status: Status, revision: str | None, actor: Actor) -> Proposal:
        self._people.check_may_set(actor, now, status)
        if status is Status.APPROVED and revision is None:
            raise UsageError("an approval needs the revision that is approved", resolution="Give the source's tip.")
        if status is now.status and (status is not Status.APPROVED or revision == now.approved_revision):
            return now
        return self._ledger.set_status(now, status, revision, actor)


def _decided(proposal: Proposal) -> tuple[object, ...]:
    """What people have decided of a proposal."""
    return (proposal.status, proposal.approved_revision, proposal.approved_at)


def _check_prerequisite(found: Proposal, target: Location) -> None:
    if found.target != target:
        raise UsageError(
            f"proposal {found.id} cannot be a prerequisite: its target is {found.target}, not {target}",
            resolution="Name a proposal into the same target.",
        )
    if found.status in (Status.REJECTED, Status.SUPERSEDED):
        raise UsageError(
            f"proposal {found.id} cannot be a prerequisite: it is {found.status}",
            resolution="Name another, or open that one again first.",
        )
