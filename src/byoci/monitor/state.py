"""The monitor's memory: which landings it started, as which builds, and what became of them.

A landing is written down before the controller is asked for its build, with a token that the build is given as a
parameter: so whatever ends the monitor, the next one finds the build, or finds that there is none.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final

from byoci.identity import sessions
from byoci.model import Outcome
from byoci.monitor import told
from byoci.monitor.news import OF_OUTCOME
from byoci.monitor.outbox import MIGRATION, Outbox
from byoci.monitor.values import Freeze, Started
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from byoci.model import Proposal

MIGRATIONS: Final = (
    """
    CREATE TABLE landing (
        id INTEGER PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,     -- the build's parameter LANDING
        trunk TEXT NOT NULL,
        project TEXT NOT NULL,
        proposal TEXT NOT NULL,
        title TEXT NOT NULL,
        approval TEXT NOT NULL,         -- which approval it is about: revision and time
        asked REAL NOT NULL,            -- seconds since the epoch, as the other times
        number INTEGER,                 -- of the build, once it has started
        url TEXT NOT NULL DEFAULT '',
        started REAL,
        ended REAL,                     -- NULL while it is under way
        outcome TEXT,
        revision TEXT,
        reasons TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE UNIQUE INDEX landing_one_a_trunk ON landing (trunk) WHERE ended IS NULL;
    CREATE INDEX landing_proposal ON landing (project, proposal);
    """,
    """
    CREATE TABLE delivery (name TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX delivery_at ON delivery (at);
    """,
    """
    CREATE TABLE freeze (
        project TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        person TEXT NOT NULL,
        at REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE hotfix (
        project TEXT NOT NULL,
        proposal TEXT NOT NULL,
        person TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (project, proposal)
    ) STRICT, WITHOUT ROWID;
    """,
    MIGRATION,
    sessions.TABLE,
    "CREATE INDEX landing_fates ON landing (project, outcome) WHERE ended IS NOT NULL;",
)
_REMEMBERED: Final = 30 * 86400.0  # seconds that a webhook's delivery is known
FILE: Final = "monitor.sqlite"


class State:
    """The database. It belongs to the thread that opened it.

    Concurrency: any number of processes. Of two that begin a landing into one trunk, one does. Errors:
    `UnavailableError` where the file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._database = open_database(folder / FILE, MIGRATIONS, kind="monitor", durable=True)
        self._database.row_factory = sqlite3.Row
        self.outbox = Outbox(self._database)
        self.sessions = sessions.Sessions(self._database)

    def close(self) -> None:
        """Close the file. Nothing else may be called after that."""
        self._database.close()

    def begin(self, project: str, trunk: str, proposal: Proposal) -> Started | None:
        """Write down that a landing is about to be asked for; None where one into that trunk is under way."""
        with self._database.writing():
            if self._under_way(trunk) is not None:
                return None
            cursor = self._database.execute(
                "INSERT INTO landing (token, trunk, project, proposal, title, approval, asked)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    secrets.token_hex(16),
                    trunk,
                    project,
                    proposal.id,
                    proposal.title,
                    approval_of(proposal),
                    time.time(),
                ),
            )
            return self._one("SELECT * FROM landing WHERE id = ?", cursor.lastrowid)

    def follow(self, landing: Started, number: int, url: str, started: float) -> None:
        """Remember which build it is."""
        self._change(
            "UPDATE landing SET number = ?, url = ?, started = ? WHERE id = ?", number, url, started, landing.id
        )

    def end(
        self, landing: Started, outcome: Outcome, reasons: tuple[str, ...] = (), revision: str | None = None
    ) -> None:
        """Remember what became of it, and have it told. One that has ended stays as it is."""
        with self._database.writing():
            row = self._database.execute(
                "UPDATE landing SET ended = ?, outcome = ?, reasons = ?, revision = ? WHERE id = ? AND ended IS NULL"
                " RETURNING *",
                (time.time(), outcome.value, json.dumps(reasons), revision, landing.id),
            ).fetchone()
            if row is not None and outcome in OF_OUTCOME:
                self.outbox.add(landing.project, OF_OUTCOME[outcome], {"landing": told.landing(_started(row))})

    def forget(self, landing: Started) -> None:
        """It was not asked for after all."""
        self._change("DELETE FROM landing WHERE id = ? AND number IS NULL", landing.id)

    def freeze(self, project: str, reason: str, person: str) -> None:
        """Have nothing but hotfixes land. A trunk that is frozen already has the new reason."""
        self._change(
            "INSERT OR REPLACE INTO freeze (project, reason, person, at) VALUES (?, ?, ?, ?)",
            *(project, reason, person, time.time()),
        )

    def thaw(self, project: str) -> bool:
        """Have everything land again; whether it was frozen."""
        return bool(self._change("DELETE FROM freeze WHERE project = ?", project))

    def frozen(self, project: str) -> Freeze | None:
        """Why a trunk is frozen; None where it is not."""
        with self._database.reading():
            row = self._database.execute(
                "SELECT reason, person, at FROM freeze WHERE project = ?", (project,)
            ).fetchone()
        return None if row is None else Freeze(*row)

    def mark_hotfix(self, project: str, proposal: str, person: str) -> None:
        """Let a proposal go before all others, into a frozen trunk too."""
        self._change(
            "INSERT OR IGNORE INTO hotfix (project, proposal, person, at) VALUES (?, ?, ?, ?)",
            *(project, proposal, person, time.time()),
        )

    def unmark_hotfix(self, project: str, proposal: str) -> bool:
        """Let it wait for its turn again; whether it was a hotfix."""
        return bool(self._change("DELETE FROM hotfix WHERE project = ? AND proposal = ?", project, proposal))

    def hotfixes(self, project: str) -> frozenset[str]:
        """The ids of the proposals that are hotfixes."""
        with self._database.reading():
            rows = self._database.execute("SELECT proposal FROM hotfix WHERE project = ?", (project,)).fetchall()
        return frozenset(row[0] for row in rows)

    def remember_deliveries(self, names: Sequence[str]) -> bool:
        """Remember these names of one delivery; whether none of them was known."""
        now = time.time()
        with self._database.writing():
            self._database.execute("DELETE FROM delivery WHERE at < ?", (now - _REMEMBERED,))
            statement = "INSERT INTO delivery (name, at) VALUES (?, ?) ON CONFLICT DO NOTHING"
            written = [self._database.execute(statement, (name, now)).rowcount for name in names]
        return all(written)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many landings have ended so: (project, outcome) → number."""
        with self._database.reading():
            rows = self._database.execute(
                "SELECT project, outcome, count(*) FROM landing WHERE ended IS NOT NULL GROUP BY project, outcome"
            )
            return {(row[0], row[1]): row[2] for row in rows}

    def under_way(self, trunk: str) -> Started | None:
        """The landing into that trunk that has not ended."""
        with self._database.reading():
            return self._under_way(trunk)

    def of_approval(self, project: str, proposal: Proposal) -> list[Started]:
        """The landings of a proposal's approval that have ended, newest first."""
        with self._database.reading():
            rows = self._database.execute(
                "SELECT * FROM landing WHERE project = ? AND proposal = ? AND approval = ? AND ended IS NOT NULL"
                " ORDER BY id DESC",
                (project, proposal.id, approval_of(proposal)),
            )
            return [_started(row) for row in rows]

    def newest(self, project: str | None = None, limit: int = 100) -> list[Started]:
        """The newest landings, of one project or of all."""
        with self._database.reading():
            which, values = ("WHERE project = ?", (project, limit)) if project else ("", (limit,))
            rows = self._database.execute(f"SELECT * FROM landing {which} ORDER BY id DESC LIMIT ?", values)  # noqa: S608
            return [_started(row) for row in rows]

    def newest_of(self, projects: Sequence[str], limit: int) -> list[Started]:
        """The newest landings of these projects."""
        # The plus has SQLite begin with the newest, rather than sort all that a project ever had.
        query = "SELECT * FROM landing WHERE +project IN (SELECT value FROM json_each(?)) ORDER BY id DESC LIMIT ?"
        with self._database.reading():
            return [_started(row) for row in self._database.execute(query, (json.dumps(projects), limit))]

    def _under_way(self, trunk: str) -> Started | None:
        return self._one("SELECT * FROM landing WHERE trunk = ? AND ended IS NULL", trunk)

    def _one(self, query: str, *values: Any) -> Started | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else _started(row)

    def _change(self, statement: str, *values: Any) -> int:
        with self._database.writing():
            return self._database.execute(statement, values).rowcount


def approval_of(proposal: Proposal) -> str:
    """Which approval a proposal has, as text: another one is another landing."""
    return f"{proposal.approved_revision} {proposal.approved_at and proposal.approved_at.isoformat()}"


def _started(row: sqlite3.Row) -> Started:
    known = {name: row[name] for name in row.keys() if name != "trunk"}  # noqa: SIM118 - a row is no mapping
    return Started(
        **{
            **known,
            "outcome": None if row["outcome"] is None else Outcome(row["outcome"]),
            "reasons": tuple(json.loads(row["reasons"])),
        }
    )
