"""The local forge for who only reads it: its file is opened for reading, so that nothing can be written by mistake."""

from __future__ import annotations

import functools
import sqlite3
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from byoci.forge import local_rows
from byoci.forge.local_ledger import Ledger
from byoci.forge.local_people import People, user_name
from byoci.model import Ballot
from byoci.sqlite import open_to_read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from byoci.model import Location, Proposal
    from byoci.sqlite import Database


class Reading(ABC):
    """The reading part of `forge.base`'s protocol, of a file that is open in one way or another."""

    name = "local"

    @abstractmethod
    def _parts(self) -> tuple[Database, Ledger, People]:
        """The file, what is in it, and who is who."""

    def proposals(self, target: Location) -> Sequence[Proposal]:
        """The proposals into `target` that are not final, oldest first."""
        database, ledger, _ = self._parts()
        with database.reading():
            return ledger.into(target)

    def edition(self, target: Location) -> str:
        """Another text whenever a proposal into `target` that is not final, or its ballot, has changed."""
        database, ledger, _ = self._parts()
        with database.reading():
            return ledger.edition(target)

    def proposal(self, id_: str) -> Proposal:
        """One proposal as it is now, whatever its status."""
        database, ledger, _ = self._parts()
        with database.reading():
            return ledger.get(id_)

    def ballot_of(self, proposal: Proposal) -> Ballot:
        """The proposal as it is now, its votes, requests and who is trusted: all of one moment."""
        database, ledger, people = self._parts()
        with database.reading():
            now = ledger.get(proposal.id)
            votes = ledger.rows("SELECT * FROM vote WHERE proposal = ? ORDER BY at", int(now.id))
            requests = ledger.rows("SELECT * FROM request WHERE proposal = ? ORDER BY id", int(now.id))
            before = ledger.get(now.prerequisite) if now.prerequisite else None
        return Ballot(
            proposal=now,
            votes=tuple(map(local_rows.vote_of, votes)),
            requests=tuple(map(local_rows.request_of, requests)),
            members=people.members,
            trusted=people.trusted(now.project),
            prerequisite=before,
        )


class LocalReader(Reading):
    """Reads only; see `LocalForge`, also for what is given here.

    The file may not be there yet: then there is no proposal. Concurrency and errors: as `LocalForge`.
    """

    def __init__(
        self,
        path: Path,
        *,
        teams: Mapping[str, Collection[str]],
        administrators: Collection[str],
        trusted: Mapping[str, Collection[str]],
    ) -> None:
        self._path = path
        self._make_people = functools.partial(people_of, path, teams, administrators, trusted)
        self._opened: tuple[Database, Ledger, People] | None = None

    def proposals(self, target: Location) -> Sequence[Proposal]:
        """See `Reading`."""
        return super().proposals(target) if self._path.exists() else ()

    def edition(self, target: Location) -> str:
        """See `Reading`."""
        return super().edition(target) if self._path.exists() else "none"

    def _parts(self) -> tuple[Database, Ledger, People]:
        if self._opened is None:
            database = open_to_read(self._path, local_rows.MIGRATIONS, kind="local forge")
            database.row_factory = sqlite3.Row
            self._opened = (database, Ledger(database, self.name), self._make_people())
        return self._opened


def people_of(
    path: Path,
    teams: Mapping[str, Collection[str]],
    administrators: Collection[str],
    trusted: Mapping[str, Collection[str]],
) -> People:
    """Who is who on the forge whose file that is: without administrators, its owner is the one."""
    return People(teams, administrators or (user_name(path.stat().st_uid),), trusted)
