"""The local forge's tables, and the values that their rows stand for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci.model import Location, Proposal, ReviewRequest, Status, Vote, VoteValue

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

# Times are ISO 8601 in UTC: approved_at in whole seconds, all others with microseconds. "" is no branch, no type.
MIGRATIONS: Final = (
    """
    CREATE TABLE proposal (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        project TEXT NOT NULL,
        title TEXT NOT NULL,
        description TEXT NOT NULL,
        author TEXT NOT NULL,
        source_url TEXT NOT NULL,
        source_branch TEXT NOT NULL,
        target_url TEXT NOT NULL,
        target_branch TEXT NOT NULL,
        status TEXT NOT NULL,
        created_at TEXT NOT NULL,
        approved_revision TEXT,
        approved_at TEXT,
        approved_by TEXT,
        prerequisite INTEGER REFERENCES proposal (id),
        merged_revision TEXT,
        superseded_by INTEGER REFERENCES proposal (id),
        CHECK (prerequisite < id),         -- so there are no cycles
        CHECK (superseded_by > id),
        CHECK ((approved_revision IS NULL) = (approved_at IS NULL)),
        CHECK (status <> 'Approved' OR approved_revision IS NOT NULL),
        CHECK (status IN ('Approved', 'Merged') OR approved_revision IS NULL),
        CHECK (status = 'Merged' OR merged_revision IS NULL)
    ) STRICT;
    CREATE UNIQUE INDEX proposal_open ON proposal (target_url, target_branch, source_url, source_branch)
        WHERE status NOT IN ('Rejected', 'Merged', 'Superseded');
    CREATE TABLE vote (
        proposal INTEGER NOT NULL REFERENCES proposal (id),
        voter TEXT NOT NULL,
        value TEXT NOT NULL,
        at TEXT NOT NULL,
        review_type TEXT NOT NULL,
        revision TEXT NOT NULL,
        recorded_by TEXT NOT NULL,
        PRIMARY KEY (proposal, voter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE request (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        proposal INTEGER NOT NULL REFERENCES proposal (id),
        reviewer TEXT NOT NULL,
        team INTEGER NOT NULL,
        at TEXT NOT NULL,
        review_type TEXT NOT NULL,
        requested_by TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX request_person ON request (proposal, reviewer) WHERE NOT team;
    CREATE INDEX request_proposal ON request (proposal);
    CREATE TABLE comment (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        proposal INTEGER NOT NULL REFERENCES proposal (id),
        author TEXT NOT NULL,
        at TEXT NOT NULL,
        text TEXT NOT NULL,
        key TEXT,                          -- of a lander's comment: said once
        recorded_by TEXT NOT NULL,
        UNIQUE (proposal, key)
    ) STRICT;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        proposal INTEGER NOT NULL REFERENCES proposal (id),
        at TEXT NOT NULL,
        person TEXT NOT NULL,
        recorded_by TEXT NOT NULL,
        what TEXT NOT NULL,
        details TEXT NOT NULL              -- JSON: name → text
    ) STRICT;
    CREATE INDEX event_proposal ON event (proposal);
    CREATE TRIGGER event_stays BEFORE UPDATE ON event BEGIN SELECT raise(ABORT, 'history is not rewritten'); END;
    CREATE TRIGGER event_remains BEFORE DELETE ON event BEGIN SELECT raise(ABORT, 'history is not rewritten'); END;
    """,
)


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said of a proposal. `text` is as it was given: untrusted."""

    author: str
    at: datetime
    text: str
    recorded_by: str


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a proposal, for the record.

    person       in whose name it was done
    recorded_by  who did it: another one where an administrator acted for somebody
    what         created, review requested, voted, commented, status set, superseded
    details      what exactly, as names and texts
    """

    at: datetime
    person: str
    recorded_by: str
    what: str
    details: Mapping[str, str]


def stamp() -> str:
    """The present moment, as the tables keep it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> datetime:
    """A time of the tables."""
    return datetime.fromisoformat(text)


def proposal_of(forge: str, row: sqlite3.Row) -> Proposal:
    """The proposal that a row of its table stands for."""
    return Proposal(
        forge=forge,
        project=row["project"],
        id=str(row["id"]),
        title=row["title"],
        author=row["author"],
        source=Location(row["source_url"], row["source_branch"] or None),
        target=Location(row["target_url"], row["target_branch"] or None),
        status=Status(row["status"]),
        created_at=moment(row["created_at"]),
        description=row["description"],
        approved_revision=row["approved_revision"],
        approved_at=moment(row["approved_at"]) if row["approved_at"] else None,
        approved_by=row["approved_by"],
        prerequisite=str(row["prerequisite"]) if row["prerequisite"] else None,
        merged_revision=row["merged_revision"],
    )


def vote_of(row: sqlite3.Row) -> Vote:
    """The vote that a row stands for."""
    value, at = VoteValue(row["value"]), moment(row["at"])
    return Vote(row["voter"], value, at, row["review_type"], row["revision"], row["recorded_by"])


def request_of(row: sqlite3.Row) -> ReviewRequest:
    """The request that a row stands for."""
    at, team = moment(row["at"]), bool(row["team"])
    return ReviewRequest(row["reviewer"], at, row["review_type"], team, row["requested_by"])


def comment_of(row: sqlite3.Row) -> Comment:
    """The comment that a row stands for."""
    return Comment(row["author"], moment(row["at"]), row["text"], row["recorded_by"])


def event_of(row: sqlite3.Row) -> Event:
    """The event that a row stands for."""
    return Event(moment(row["at"]), row["person"], row["recorded_by"], row["what"], json.loads(row["details"]))
