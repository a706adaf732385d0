"""Who signed in with a browser: kept in a server's state, so that a restart signs nobody out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.sqlite import Database

TABLE: Final = """
    CREATE TABLE session (
        digest TEXT PRIMARY KEY,         -- of the word in the browser's cookie
        person TEXT NOT NULL,
        proof TEXT NOT NULL,             -- digest of what he signed in with; the session ends with it
        ends REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
"""
"""The table that the server's database must have."""


class Sessions:
    """A part of a server's state. Sessions are known by the digest of the word in the browser's cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, digest: str, person: str, proof: str, ends: float) -> None:
        """Remember a session; those that have ended are forgotten.

        proof  digest of the token that the person signed in with, or of what is kept of the password
        """
        with self._database.writing():
            self._database.execute("DELETE FROM session WHERE ends < ?", (time.time(),))
            self._database.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (digest, person, proof, ends))

    def find(self, digest: str) -> tuple[str, str]:
        """Whose session it is, and the proof; ("", "") where there is none, or none any more."""
        query = "SELECT person, proof FROM session WHERE digest = ? AND ends >= ?"
        row = self._database.execute(query, (digest, time.time())).fetchone()
        return (str(row[0]), str(row[1])) if row else ("", "")

    def end(self, digest: str) -> None:
        """The person signed out."""
        with self._database.writing():
            self._database.execute("DELETE FROM session WHERE digest = ?", (digest,))
