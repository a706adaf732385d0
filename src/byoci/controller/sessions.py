"""Who signed in with a browser: kept in the controller's state, so that a restart signs nobody out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from byoci.sqlite import Database


class Sessions:
    """A part of the state, see there. Sessions are known by the digest of the word in the browser's cookie."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, digest: str, person: str, proof: str, ends: float) -> None:
        """Remember a session; those that have ended are forgotten.

        proof  digest of what the person signed in with
        """
        with self._database.writing():
            self._database.execute("DELETE FROM session WHERE ends < ?", (time.time(),))
            self._database.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (digest, person, proof, ends))

    def person(self, digest: str) -> str | None:
        """Whose session it is; None where there is none, or none any more."""
        query = "SELECT person FROM session WHERE digest = ? AND ends >= ?"
        row = self._database.execute(query, (digest, time.time())).fetchone()
        return row and str(row[0])

    def end(self, digest: str) -> None:
        """The person signed out."""
        with self._database.writing():
            self._database.execute("DELETE FROM session WHERE digest = ?", (digest,))

    def end_of(self, person: str, proof: str) -> None:
        """What the person signed in with is worth nothing any more; `proof` is the beginning of its digest."""
        with self._database.writing():
            query = "DELETE FROM session WHERE person = ?1 AND substr(proof, 1, length(?2)) = ?2 AND length(?2) >= 32"
            self._database.execute(query, (person, proof))
