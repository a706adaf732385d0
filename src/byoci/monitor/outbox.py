"""News that are still to be told, and to whom: in the monitor's database, beside what they are about."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from byoci.monitor.news import Kind, News

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.sqlite import Database

MIGRATION: Final = """
    CREATE TABLE news (
        id INTEGER PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,     -- by which readers know it again
        project TEXT NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,               -- seconds since the epoch, as the other times
        facts TEXT NOT NULL,
        settled INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX news_open ON news (id) WHERE settled = 0;
    CREATE TABLE telling (              -- of one news to one reader
        news INTEGER NOT NULL REFERENCES news (id) ON DELETE CASCADE,
        way TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0,
        again REAL NOT NULL,            -- not before
        done INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (news, way)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX landing_project ON landing (project, id);
    CREATE TABLE trouble (
        project TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        since REAL NOT NULL,
        told INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    """
MOST: Final = 10_000  # news that wait; the oldest ones are given up for newer ones
_REMEMBERED: Final = 30 * 86400.0  # seconds that what was told is kept


class Tried(NamedTuple):
    """What came of telling news to a reader: how often in vain, not before when again, and whether that is over."""

    tries: int = 0
    again: float = 0.0
    done: bool = False


class Outbox:
    """See the module. It belongs to the thread that opened the database.

    Order: news keep that of what they are about. Concurrency: any number of processes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, project: str, kind: Kind, facts: Mapping[str, Any]) -> None:
        """Write news down. Only within the transaction of what they are about, so that there are both or neither."""
        self._database.execute(
            "INSERT INTO news (token, project, kind, at, facts) VALUES (?, ?, ?, ?, ?)",
            (secrets.token_hex(16), project, kind.value, time.time(), json.dumps(facts)),
        )

    def waiting(self) -> list[News]:
        """What is not settled yet, oldest first."""
        with self._database.reading():
            rows = self._database.execute(
                "SELECT id, token, project, kind, at, facts FROM news WHERE settled = 0 ORDER BY id LIMIT ?", (MOST,)
            ).fetchall()
        return [
            News(number, token, project, Kind(kind), at, json.loads(facts))
            for number, token, project, kind, at, facts in rows
        ]

    def told(self, news: News) -> dict[str, Tried]:
        """To whom it was told, or tried to be: way → what came of it."""
        with self._database.reading():
            rows = self._database.execute("SELECT way, tries, again, done FROM telling WHERE news = ?", (news.number,))
            return {way: Tried(tries, again, bool(done)) for way, tries, again, done in rows}

    def note(self, news: News, way: str, tried: Tried) -> None:
        """Remember what came of telling it."""
        with self._database.writing():
            self._database.execute(
                "INSERT OR REPLACE INTO telling (news, way, tries, again, done) VALUES (?, ?, ?, ?, ?)",
                (news.number, way, tried.tries, tried.again, int(tried.done)),
            )

    def settle(self, news: News) -> None:
        """Nobody is to be told of it any more."""
        with self._database.writing():
            self._database.execute("UPDATE news SET settled = 1 WHERE id = ?", (news.number,))

    def tidy(self) -> None:
        """Forget what was told long ago, and give up what waits behind too much else."""
        before = (time.time() - _REMEMBERED,)
        with self._database.writing():
            self._database.execute(
                "DELETE FROM telling WHERE news IN (SELECT id FROM news WHERE settled = 1 AND at < ?)", before
            )
            self._database.execute("DELETE FROM news WHERE settled = 1 AND at < ?", before)
            self._database.execute(
                "UPDATE news SET settled = 1 WHERE settled = 0 AND id NOT IN"
                " (SELECT id FROM news WHERE settled = 0 ORDER BY id DESC LIMIT ?)",
                (MOST,),
            )

    # Trunks that are in trouble.

    def trouble(self, project: str) -> tuple[float, bool] | None:
        """Since when a trunk is in trouble, and whether that was told; None where it is well."""
        with self._database.reading():
            row = self._database.execute("SELECT since, told FROM trouble WHERE project = ?", (project,)).fetchone()
        return None if row is None else (row[0], bool(row[1]))

    def trouble_begins(self, project: str, reason: str) -> None:
        """Remember that it is, from now on."""
        with self._database.writing():
            self._database.execute(
                "INSERT OR IGNORE INTO trouble (project, reason, since) VALUES (?, ?, ?)",
                (project, reason, time.time()),
            )

    def trouble_lasts(self, project: str, reason: str) -> None:
        """Tell of it, if nobody has yet."""
        with self._database.writing():
            statement = "UPDATE trouble SET told = 1, reason = ? WHERE project = ? AND told = 0"
            if self._database.execute(statement, (reason, project)).rowcount:
                self.add(project, Kind.TROUBLE, {"trouble": reason})

    def trouble_ends(self, project: str) -> None:
        """It is well; that is told if its trouble was."""
        with self._database.writing():
            row = self._database.execute(
                "DELETE FROM trouble WHERE project = ? RETURNING told, reason", (project,)
            ).fetchone()
            if row is not None and row[0]:
                self.add(project, Kind.WELL, {"trouble": row[1]})
