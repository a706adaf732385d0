"""API tokens, of which digests are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from byoci.sqlite import Database


class Tokens:
    """A part of `People`, see there. A digest is that of the whole token, in hexadecimal digits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def people(self) -> list[str]:
        """The names of everybody who has one."""
        return [name for (name,) in self._database.execute("SELECT DISTINCT person FROM token ORDER BY person")]

    def person_of(self, digest: str) -> str | None:
        """Whose token has that digest."""
        row = self._database.execute("SELECT person FROM token WHERE digest = ?", (digest,)).fetchone()
        return str(row[0]) if row else None

    def add(self, digest: str, person: str, label: str) -> None:
        """Remember a token."""
        with self._database.writing():
            query = "INSERT INTO token VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            self._database.execute(query, (digest, person, label))

    def drop(self, person: str, start: str) -> None:
        """Forget the token of a person whose digest begins so."""
        with self._database.writing():
            query = "DELETE FROM token WHERE person = ?1 AND substr(digest, 1, length(?2)) = ?2 AND length(?2) >= 32"
            self._database.execute(query, (person, start))

    def drop_labelled(self, person: str, label: str, *, but: str) -> None:
        """Forget a person's tokens of that label, but for the one whose digest begins so."""
        with self._database.writing():
            query = "DELETE FROM token WHERE person = ?1 AND label = ?2 AND substr(digest, 1, length(?3)) <> ?3"
            self._database.execute(query, (person, label, but))

    def drop_all(self, person: str) -> None:
        """Forget all of a person's tokens."""
        with self._database.writing():
            self._database.execute("DELETE FROM token WHERE person = ?", (person,))
