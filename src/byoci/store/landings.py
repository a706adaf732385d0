"""The lander's memory: which landings trunk holds and what was tested. A cache: losing it costs time, nothing else."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from byoci import effects
from byoci.model import Candidate, LandedRevision, Outcome, TestSummary, Verdict
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from byoci.model import AlreadyMerged, Conflict, Landing

MIGRATIONS: Final = (
    """
    CREATE TABLE trunk (name TEXT PRIMARY KEY, tip TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE landing (
        trunk TEXT NOT NULL,
        landing_id TEXT NOT NULL,
        revision TEXT NOT NULL,
        project TEXT NOT NULL,
        proposal TEXT NOT NULL,
        approved_revision TEXT NOT NULL,
        batch INTEGER NOT NULL,    -- landings that were added later have a higher one
        depth INTEGER NOT NULL,    -- within a batch: how far below the tip
        reported INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (trunk, landing_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX landing_order ON landing (trunk, batch);
    CREATE INDEX landing_unreported ON landing (trunk) WHERE NOT reported;
    CREATE TABLE attempt (
        id INTEGER PRIMARY KEY,
        project TEXT NOT NULL,
        proposal TEXT NOT NULL,
        attempt TEXT NOT NULL      -- JSON of an Attempt
    ) STRICT;
    CREATE INDEX attempt_proposal ON attempt (project, proposal);
    """,
    """
    CREATE TABLE passed (
        key TEXT PRIMARY KEY,      -- a digest of all that the verdict depends on
        at REAL NOT NULL,          -- seconds since the epoch
        verdict TEXT NOT NULL      -- JSON of a Verdict
    ) STRICT, WITHOUT ROWID;
    """,
)
PASSED_COUNTS: Final = 7 * 86400.0  # seconds
_KEPT: Final = 20  # attempts of a proposal
_COLUMNS: Final = "landing_id, revision, project, proposal, approved_revision"

_NOT_WRITTEN: Final = "One transaction: it was not written."
_INDEX = effects.declare(
    "cache.index",
    "landings that trunk holds, and how far it was looked through",
    half=_NOT_WRITTEN + " Trunk is looked through from where the index ends.",
    done="Those that have no report are reported.",
)
_REPORTED = effects.declare(
    "cache.reported",
    "that the forge knows of a landing",
    half=_NOT_WRITTEN + " The forge is asked, and says that it knows.",
    done="Nothing is left to do.",
)
_FORGET = effects.declare("cache.forget", "a landing that a person took off trunk leaves the index", half=_NOT_WRITTEN)
_ATTEMPT = effects.declare(
    "cache.attempt",
    "how a merge fared",
    half=_NOT_WRITTEN + " It is tried again.",
    done="A candidate that failed is not tested again, and told if it was not.",
)
_PASSED = effects.declare(
    "cache.passed",
    "that a tree passed, where a project lets that count again",
    half=_NOT_WRITTEN + " The tree is tested again.",
    done="An equal tree is not tested again.",
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that a candidate was made for a proposal, and what became of it.

    candidate, base  "" where none was made
    at               UTC
    """

    project: str
    proposal: str
    outcome: Outcome
    reasons: tuple[str, ...]
    approved_revision: str
    base: str
    candidate: str
    at: datetime
    log: str = ""
    seconds: float = 0.0
    tests: TestSummary | None = None


class LandingStore:
    """The lander's cache, in one SQLite file.

    Order: none. Idempotence: all writes but `record_attempt` are. Concurrency: any number of processes.
    Errors: `UnavailableError` where the file cannot be used; then nothing of the call was written.
    """

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, MIGRATIONS, kind="landings")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing else may be called after that."""
        self._database.close()

    def indexed_tip(self, trunk: str) -> str | None:
        """The trunk revision down to which, seen from the root, all landings are in the index; None for no index."""
        with self._database.reading():
            row = self._database.execute("SELECT tip FROM trunk WHERE name = ?", (trunk,)).fetchone()
        return row and str(row[0])

    @_INDEX
    def add(self, trunk: str, landings: Iterable[LandedRevision], tip: str) -> None:
        """Index landings, newest first, as `Vcs.landings` gives them; from now on the index reaches up to `tip`.

        A landing that is known stays reported, unless it is on trunk under another revision now (trunk was rewound).
        """
        with self._database.writing():
            query = "SELECT coalesce(max(batch), 0) + 1 FROM landing WHERE trunk = ?"
            (batch,) = self._database.execute(query, (trunk,)).fetchone()
            self._database.executemany(
                f"INSERT INTO landing (trunk, batch, depth, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
                " ON CONFLICT DO UPDATE SET revision = excluded.revision, batch = excluded.batch,"
                " depth = excluded.depth, reported = 0"
                " WHERE revision <> excluded.revision AND batch < excluded.batch",
                ((trunk, batch, depth, *_row(landed)) for depth, landed in enumerate(landings)),
            )
            self._database.execute(
                "INSERT INTO trunk (name, tip) VALUES (?, ?) ON CONFLICT DO UPDATE SET tip = excluded.tip", (trunk, tip)
            )

    def find(self, trunk: str, landing_id: str) -> LandedRevision | None:
        """The landing with that id on `trunk`, if the index has it."""
        with self._database.reading():
            row = self._database.execute(
                f"SELECT {_COLUMNS} FROM landing WHERE trunk = ? AND landing_id = ?",  # noqa: S608
                (trunk, landing_id),
            ).fetchone()
        return row and LandedRevision(*row)

    def unreported(self, trunk: str) -> list[LandedRevision]:
        """The landings on `trunk` that were not marked as reported, oldest first."""
        with self._database.reading():
            rows = self._database.execute(
                f"SELECT {_COLUMNS} FROM landing"  # noqa: S608
                " WHERE trunk = ? AND NOT reported ORDER BY batch, depth DESC",
                (trunk,),
            ).fetchall()
        return [LandedRevision(*row) for row in rows]

    @_REPORTED
    def mark_reported(self, trunk: str, landing_id: str) -> None:
        """The forge knows of that landing. One that the index does not have is passed over."""
        with self._database.writing():
            self._database.execute(
                "UPDATE landing SET reported = 1 WHERE trunk = ? AND landing_id = ?", (trunk, landing_id)
            )

    @_FORGET
    def forget(self, trunk: str, landing_id: str) -> None:
        """Trunk does not hold that landing any more: it was rewound by a person."""
        with self._database.writing():
            self._database.execute("DELETE FROM landing WHERE trunk = ? AND landing_id = ?", (trunk, landing_id))

    @_ATTEMPT
    def record_attempt(
        self, landing: Landing, merge: Candidate | Conflict | AlreadyMerged, verdict: Verdict | None = None
    ) -> None:
        """Remember how the merge that was tried for the proposal of `landing` fared now; the last 20 are kept."""
        attempt: dict[str, object] = {
            "outcome": landing.outcome.value,
            "reasons": landing.reasons,
            "approved_revision": merge.revision,
            "base": merge.base,
            "candidate": merge.id if isinstance(merge, Candidate) else "",
            "at": datetime.now(UTC).isoformat(),
        }
        if verdict is not None:
            attempt |= {"log": verdict.log, "seconds": verdict.seconds}
            attempt["tests"] = dataclasses.asdict(verdict.tests) if verdict.tests else None
        whose = (landing.project, landing.proposal)
        with self._database.writing():
            self._database.execute(
                "INSERT INTO attempt (project, proposal, attempt) VALUES (?, ?, ?)", (*whose, json.dumps(attempt))
            )
            self._database.execute(
                "DELETE FROM attempt WHERE project = ? AND proposal = ? AND id NOT IN (SELECT id FROM attempt"
                " WHERE project = ? AND proposal = ? ORDER BY id DESC LIMIT ?)",
                (*whose, *whose, _KEPT),
            )

    @_PASSED
    def keep_passed(self, key: str, verdict: Verdict) -> None:
        """Remember that what `key` names passed its tests now. What passed too long ago to count is forgotten."""
        row = (key, time.time(), json.dumps(verdict.as_json()))
        with self._database.writing():
            self._database.execute("DELETE FROM passed WHERE at < ?", (time.time() - PASSED_COUNTS,))
            self._database.execute("INSERT OR REPLACE INTO passed VALUES (?, ?, ?)", row)

    def find_passed(self, key: str) -> Verdict | None:
        """The verdict on what `key` names, if it passed within the last `PASSED_COUNTS` seconds."""
        now = time.time()
        with self._database.reading():
            row = self._database.execute(
                "SELECT verdict FROM passed WHERE key = ? AND at BETWEEN ? AND ?",
                (key, now - PASSED_COUNTS, now),
            ).fetchone()
        return Verdict.from_json(json.loads(row[0])) if row else None

    def last_attempt(self, project: str, proposal: str) -> Attempt | None:
        """The newest attempt for that proposal."""
        with self._database.reading():
            row = self._database.execute(
                "SELECT attempt FROM attempt WHERE project = ? AND proposal = ? ORDER BY id DESC LIMIT 1",
                (project, proposal),
            ).fetchone()
        return row and _attempt(project, proposal, row[0])


def _tests(raw: Mapping[str, Any] | None) -> TestSummary | None:
    return TestSummary(**{**raw, "failed": tuple(raw["failed"])}) if raw else None


def _row(landed: LandedRevision) -> tuple[str, ...]:
    return landed.landing_id, landed.revision, landed.project, landed.proposal, landed.approved_revision


def _attempt(project: str, proposal: str, raw: str) -> Attempt:
    told = json.loads(raw)
    return Attempt(
        project,
        proposal,
        **{
            **told,
            "outcome": Outcome(told["outcome"]),
            "reasons": tuple(told["reasons"]),
            "at": datetime.fromisoformat(told["at"]),
            "tests": _tests(told.get("tests")),
        },
    )
