"""The local forge's book-keeping: reads and writes of its tables, each write with an event.

All of it runs within a transaction that the caller holds; rights are the caller's to check, too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from byoci.errors import UsageError
from byoci.forge import local_input, local_rows
from byoci.model import Location, Proposal, Status, Vote

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from byoci.forge.local_people import Actor
    from byoci.model import ReviewRequest
    from byoci.sqlite import Database

_OPEN = "status NOT IN ('Rejected', 'Merged', 'Superseded')"
_REQUEST = "INSERT INTO request (proposal, reviewer, team, at, review_type, requested_by)"


class Ledger:
    """The tables of one forge."""

    def __init__(self, database: Database, forge: str) -> None:
        self._database = database
        self._forge = forge

    def get(self, id_: str) -> Proposal:
        """The proposal. Raises `UsageError` where there is none."""
        rows = self.rows("SELECT * FROM proposal WHERE id = ?", local_input.proposal_id(id_))
        if not rows:
            raise local_input.unknown(id_)
        return local_rows.proposal_of(self._forge, rows[0])

    def all(self, project: str | None) -> list[Proposal]:
        """The proposals of a project, or of all of them, oldest first."""
        rows = self.rows("SELECT * FROM proposal WHERE ? IN ('', project) ORDER BY id", project or "")
        return [local_rows.proposal_of(self._forge, row) for row in rows]

    def into(self, target: Location) -> list[Proposal]:
        """The proposals into `target` that are not final, oldest first."""
        query = f"SELECT * FROM proposal WHERE target_url = ? AND target_branch = ? AND {_OPEN} ORDER BY id"  # noqa: S608
        return [local_rows.proposal_of(self._forge, row) for row in self.rows(query, target.url, target.branch or "")]

    def edition(self, target: Location) -> str:
        """Another text after every write that concerns a proposal into `target` that is not final."""
        query = (
            "SELECT count(DISTINCT proposal.id), max(event.id) FROM proposal JOIN event ON event.proposal = proposal.id"  # noqa: S608
            f" WHERE target_url = ? AND target_branch = ? AND {_OPEN}"
        )
        ((proposals, newest),) = self.rows(query, target.url, target.branch or "")
        return f"{proposals} {newest}"

    def rows(self, query: str, *values: object) -> Sequence[sqlite3.Row]:
        """What a query finds."""
        return self._database.execute(query, values).fetchall()

    def successor(self, id_: str) -> str | None:
        """The proposal that took this one's place."""
        (row,) = self.rows("SELECT superseded_by FROM proposal WHERE id = ?", local_input.proposal_id(id_))
        return str(row[0]) if row[0] else None

    def newest_of(self, id_: str | None) -> str | None:
        """The proposal itself, or what took its place in the end."""
        while id_ is not None and (after := self.successor(id_)) is not None:
            id_ = after
        return id_

    def insert(self, draft: Proposal, actor: Actor, source_tip: str | None) -> Proposal:
        """A new proposal from the draft's texts, places and prerequisite; it gets the next number."""
        self._refuse_double(draft, "")
        source, target = draft.source, draft.target
        values = (
            draft.project, draft.title, draft.description, draft.author,
            source.url, source.branch or "", target.url, target.branch or "",
            Status.NEEDS_REVIEW.value, local_rows.stamp(),
            draft.prerequisite and int(draft.prerequisite),
        )  # fmt: skip
        cursor = self._database.execute(
            "INSERT INTO proposal (project, title, description, author, source_url, source_branch, target_url,"
            " target_branch, status, created_at, prerequisite) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        new = self.get(str(cursor.lastrowid))
        self._record(new, actor, "created", source=str(source), target=str(target), source_tip=source_tip or "")
        return new

    def set_status(self, now: Proposal, status: Status, revision: str | None, actor: Actor) -> Proposal:
        """Give the proposal a status that it does not have, or another approved revision."""
        if now.status.final and not status.final:
            self._refuse_double(now, now.id)
        approval: tuple[object, ...] = (None, None, None)
        if status is Status.APPROVED:
            # Whole seconds, because it dates a commit.
            approval = (revision, datetime.now(UTC).isoformat(timespec="seconds"), actor.person)
        elif status is Status.MERGED:
            approval = (now.approved_revision, now.approved_at and now.approved_at.isoformat(), now.approved_by)
        self._database.execute(
            "UPDATE proposal SET status = ?, approved_revision = ?, approved_at = ?, approved_by = ?,"
            " merged_revision = ?, superseded_by = NULL WHERE id = ?",
            (status.value, *approval, revision if status is Status.MERGED else None, int(now.id)),
        )
        self._record(now, actor, "status set", before=now.status.value, after=status.value, revision=revision or "")
        return self.get(now.id)

    def ask(self, now: Proposal, request: ReviewRequest, actor: Actor) -> None:
        """Ask for a review. A person is asked once; asking again changes the type."""
        self._database.execute(
            f"{_REQUEST} VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proposal, reviewer) WHERE NOT team DO UPDATE SET review_type = excluded.review_type",
            (
                int(now.id), request.reviewer, request.team, local_rows.stamp(), request.review_type, actor.person,
            ),
        )  # fmt: skip
        who = "team" if request.team else "person"
        self._record(now, actor, "review requested", **{who: request.reviewer, "type": request.review_type})

    def vote(self, now: Proposal, vote: Vote, actor: Actor) -> None:
        """Put the vote in the place of the voter's earlier one."""
        self._database.execute(
            "INSERT OR REPLACE INTO vote (proposal, voter, value, at, review_type, revision, recorded_by)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                int(now.id), vote.voter, vote.value.value, local_rows.stamp(), vote.review_type, vote.revision,
                actor.recorded_by,
            ),
        )  # fmt: skip
        details = {"vote": vote.value.value, "type": vote.review_type, "revision": vote.revision or ""}
        self._record(now, actor, "voted", **details)

    def say(self, now: Proposal, actor: Actor, text: str, key: str | None = None) -> bool:
        """Add a comment; one with a key that stands there already is left out. Whether it was added."""
        cursor = self._database.execute(
            "INSERT INTO comment (proposal, author, at, text, key, recorded_by) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (proposal, key) DO NOTHING",
            (int(now.id), actor.person, local_rows.stamp(), text, key, actor.recorded_by),
        )
        if cursor.rowcount:
            self._record(now, actor, "commented")
        return bool(cursor.rowcount)

    def replace(self, old: Proposal, new: Proposal, actor: Actor) -> None:
        """Link a superseded proposal to the one that took its place, which gets its requests."""
        self._database.execute("UPDATE proposal SET superseded_by = ? WHERE id = ?", (int(new.id), int(old.id)))
        self._database.execute(
            f"{_REQUEST} SELECT ?, reviewer, team, ?, review_type, requested_by FROM request"  # noqa: S608
            " WHERE proposal = ? ORDER BY id",
            (int(new.id), local_rows.stamp(), int(old.id)),
        )
        self._record(old, actor, "superseded", by=new.id)

    def _refuse_double(self, draft: Proposal, id_: str) -> None:
        """There is one open proposal from a source to a target; two would land the same thing twice."""
        for other in self.into(draft.target):
            if other.source == draft.source and other.id != id_:
                raise UsageError(
                    f"proposal {other.id} from {draft.source} to {draft.target} is open already",
                    resolution="Use that one, or set it to Rejected or Superseded first.",
                )

    def _record(self, about: Proposal, actor: Actor, what: str, **details: str) -> None:
        told = json.dumps({key: text for key, text in details.items() if text})
        self._database.execute(
            "INSERT INTO event (proposal, at, person, recorded_by, what, details) VALUES (?, ?, ?, ?, ?, ?)",
            (int(about.id), local_rows.stamp(), actor.person, actor.recorded_by, what, told),
        )
