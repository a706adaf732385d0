"""What the controller remembers, in one SQLite file: jobs and folders, views, the queue, builds, nodes.

A build's status is not stored: it runs while `ended` is NULL. What builds printed and kept are files (see `places`).
Times are seconds since the epoch.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import Result
from byoci.controller.migrations import MIGRATIONS
from byoci.controller.recent import Recent
from byoci.controller.rows import BUILD_COLUMNS, LAST, BuildRow, Item, NodeRow, Queued, Request, build_row
from byoci.identity.sessions import Sessions
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    PlanOf = Callable[[BuildRow], Mapping[str, Any] | None]

STATE_FILE: Final = "controller.sqlite"
KIND: Final = "controller"
_REVISIONS: Final = 1000  # builds whose revisions are looked at
_QUEUED_KEPT: Final = 10_000  # items that left the queue, for clients that ask what became of theirs


class State:
    """All of it. Order: none. Concurrency: for one thread of one process, the controller's.

    Errors: `UnavailableError` where the file cannot be used; then nothing of the call was written.
    """

    def __init__(self, path: Path) -> None:
        # Not durable: waiting for the disk, several times a build, would take longer than short builds do. Nothing is
        # lost with a killed process; a power failure can take the last moments with it, as it does the builds' own.
        self._database = open_database(path, MIGRATIONS, kind=KIND, cache=False)
        self._waiting = self._read_waiting()  # nobody else writes, and it is asked for at every turn
        self.sessions = Sessions(self._database)
        self.recent = Recent(self._database)

    @property
    def changes(self) -> int:
        """Another number after whatever was written."""
        return self._database.total_changes

    def close(self) -> None:
        """Close the file. Nothing else may be called after that."""
        self._database.close()

    def hand_over_tokens(self, add: Callable[[str, str, str], None]) -> None:
        """Give away the API tokens (digest, person, label) that an earlier version kept here."""
        for token in self._database.execute("SELECT digest, person, label FROM token").fetchall():
            add(*token)
        self._database.execute("DELETE FROM token")

    def own(self, name: str) -> str:
        """A random value of this controller's, made when it is first asked for."""
        with self._database.writing():
            self._database.execute("INSERT OR IGNORE INTO own VALUES (?, ?)", (name, secrets.token_hex(16)))
            (value,) = self._database.execute("SELECT value FROM own WHERE name = ?", (name,)).fetchone()
        return str(value)

    # Jobs and folders

    def items(self) -> list[Item]:
        """All of them, by path."""
        rows = self._database.execute("SELECT path, folder, config, following FROM item ORDER BY path")
        return [Item(path, bool(folder), config, following) for path, folder, config, following in rows]

    def save_item(self, item: Item) -> None:
        """Make it, or change its configuration; its builds' numbers go on."""
        with self._database.writing():
            self._database.execute(
                "INSERT INTO item VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET config = excluded.config",
                (item.path, item.folder, item.config, item.following),
            )

    def move_item(self, path: str, target: str) -> None:
        """Give an item another path, with all that is below it, its builds and what is queued."""
        self.recent.forget_all()
        with self._database.writing():
            for table, column in (("item", "path"), ("view", "path"), ("queued", "job"), ("build", "job")):
                self._database.execute(
                    f"UPDATE {table} SET {column} = ?2 || substr({column}, length(?1) + 1)"  # noqa: S608
                    f" WHERE {column} = ?1 OR substr({column}, 1, length(?1) + 1) = ?1 || '/'",
                    (path, target),
                )
        self._waiting = self._read_waiting()

    def drop_item(self, path: str) -> None:
        """Remove an item, with all that is below it, its builds and what is queued."""
        self.recent.forget_all()
        with self._database.writing():
            for table, column in (("item", "path"), ("view", "path"), ("queued", "job"), ("build", "job")):
                self._database.execute(
                    f"DELETE FROM {table} WHERE {column} = ?1 OR substr({column}, 1, length(?1) + 1) = ?1 || '/'",  # noqa: S608
                    (path,),
                )
        self._waiting = self._read_waiting()

    # Views and nodes

    def views(self) -> dict[str, bytes]:
        """Path → config.xml."""
        return dict(self._database.execute("SELECT path, config FROM view ORDER BY path").fetchall())

    def save_view(self, path: str, config: bytes) -> None:
        """Make or change a view."""
        with self._database.writing():
            self._database.execute("INSERT OR REPLACE INTO view VALUES (?, ?)", (path, config))

    def drop_view(self, path: str) -> None:
        """Remove a view."""
        with self._database.writing():
            self._database.execute("DELETE FROM view WHERE path = ?", (path,))

    def nodes(self) -> list[NodeRow]:
        """All of them, by name."""
        rows = self._database.execute("SELECT name, config, offline FROM node ORDER BY name")
        return [NodeRow(*row) for row in rows]

    def save_node(self, node: NodeRow) -> None:
        """Make or change a node."""
        with self._database.writing():
            self._database.execute(
                "INSERT OR REPLACE INTO node VALUES (?, ?, ?)", (node.name, node.config, node.offline)
            )

    def drop_node(self, name: str) -> None:
        """Remove a node."""
        with self._database.writing():
            self._database.execute("DELETE FROM node WHERE name = ?", (name,))

    # The queue

    def enqueue(self, job: str, request: Request, due: float, *, asked: tuple[int, int, int] | None = None) -> Queued:
        """Add a wish; it is the same one that waits already, where that asks for the same.

        asked  the build, the step and the place in that of who wants it, which gets what it got before
        """
        with self._database.writing():
            made = self._enqueue_asked(job, request, due, asked) if asked else self._enqueue(job, request, due)
        if made.build is None and not made.cancelled:
            self._waiting[made.id] = made
        return made

    def _enqueue_asked(self, job: str, request: Request, due: float, asked: tuple[int, int, int]) -> Queued:
        row = self._database.execute(
            "SELECT queued FROM asked WHERE build = ? AND step = ? AND place = ?", asked
        ).fetchone()
        before = self.queued(row[0]) if row else None
        if before is not None:
            return before
        made = self._enqueue(job, request, due)
        self._database.execute("INSERT OR REPLACE INTO asked VALUES (?, ?, ?, ?)", (*asked, made.id))
        return made

    def ask_instead(self, queued: int, other: int) -> None:
        """Whoever asked for one wish gets another one: its build was lost."""
        with self._database.writing():
            self._database.execute("UPDATE asked SET queued = ? WHERE queued = ?", (other, queued))

    def asked(self, build: int, step: int) -> list[Queued]:
        """What a step of a build had started, in the order of its jobs."""
        query = "SELECT queued FROM asked WHERE build = ? AND step = ? ORDER BY place"
        found = (self.queued(id_) for (id_,) in self._database.execute(query, (build, step)).fetchall())
        return [queued for queued in found if queued is not None]

    def _enqueue(self, job: str, request: Request, due: float) -> Queued:
        for found in self._waiting.values():
            if found.job == job and dict(found.request.parameters) == dict(request.parameters):
                return found
        now = time.time()
        cursor = self._database.execute(
            "INSERT INTO queued (job, request, since, due) VALUES (?, ?, ?, ?)", (job, request.as_json(), now, due)
        )
        assert cursor.lastrowid is not None
        self._database.execute("DELETE FROM queued WHERE id < ?", (cursor.lastrowid - _QUEUED_KEPT,))
        return Queued(cursor.lastrowid, job, request, now, due)

    def waiting(self) -> list[Queued]:
        """What waits, the oldest first."""
        return list(self._waiting.values())

    def waiting_count(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def waiting_for(self, job: str) -> Queued | None:
        """The oldest that waits of a job."""
        return next((queued for queued in self._waiting.values() if queued.job == job), None)

    def _read_waiting(self) -> dict[int, Queued]:
        query = "SELECT id, job, request, since, due FROM queued WHERE build IS NULL AND NOT cancelled ORDER BY id"
        rows = self._database.execute(query).fetchall()
        return {row[0]: Queued(row[0], row[1], Request.from_json(row[2]), row[3], row[4]) for row in rows}

    def queued(self, id_: int) -> Queued | None:
        """A wish that waits, or that left the queue not long ago."""
        query = "SELECT id, job, request, since, due, build, cancelled FROM queued WHERE id = ?"
        row = self._database.execute(query, (id_,)).fetchone()
        return row and Queued(row[0], row[1], Request.from_json(row[2]), row[3], row[4], row[5], bool(row[6]))

    def cancel(self, id_: int) -> bool:
        """Take a wish out of the queue; whether it was there."""
        with self._database.writing():
            query = "UPDATE queued SET cancelled = 1 WHERE id = ? AND build IS NULL AND NOT cancelled"
            done = self._database.execute(query, (id_,)).rowcount > 0
        self._waiting.pop(id_, None)
        return done

    # Builds

    def begin(self, queued: Queued, node: str, executor: int, plan: PlanOf = lambda _: None) -> BuildRow:
        """Turn a wish into a build, which is running from now on; `plan` tells what `save_plan` would be told."""
        with self._database.writing():
            query = "UPDATE item SET following = following + 1 WHERE path = ? RETURNING following - 1"
            (number,) = self._database.execute(query, (queued.job,)).fetchone()
            now = time.time()
            cursor = self._database.execute(
                "INSERT INTO build (job, number, queued, request, node, executor, began) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (queued.job, number, queued.id, queued.request.as_json(), node, executor, now),
            )
            assert cursor.lastrowid is not None
            self._database.execute("UPDATE queued SET build = ? WHERE id = ?", (cursor.lastrowid, queued.id))
            row = BuildRow(cursor.lastrowid, queued.job, number, queued.id, queued.request, node, executor, now)
            self.save_plan(row.id, plan(row))
        self.recent.forget(queued.job)
        self._waiting.pop(queued.id, None)
        return row

    def save_plan(self, build: int, plan: Mapping[str, Any] | None) -> None:
        """What the build does, so that another process of the controller can go on with it."""
        if plan is not None:
            self._database.execute("UPDATE build SET plan = ? WHERE id = ?", (json.dumps(plan), build))

    def plan(self, build: int) -> dict[str, Any] | None:
        """What `save_plan` saved."""
        row = self._database.execute("SELECT plan FROM build WHERE id = ?", (build,)).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def finish(self, build: BuildRow, result: Result, facts: Mapping[str, Any]) -> BuildRow:
        """The build has ended."""
        ended = max(time.time(), build.began)
        with self._database.writing():
            self._database.execute(
                "UPDATE build SET ended = ?, result = ?, facts = ?, artifacts = ?, plan = NULL WHERE id = ?",
                (ended, result.value, json.dumps(facts), len(facts.get("artifacts", ())), build.id),
            )
            self._database.execute("DELETE FROM asked WHERE build = ?", (build.id,))
        self.recent.forget(build.job)
        return replace(build, ended=ended, result=result, facts=facts)

    def describe(self, build: int, text: str) -> None:
        """What a person says of a build."""
        with self._database.writing():
            self._database.execute("UPDATE build SET description = ? WHERE id = ?", (text, build))

    def abandon(self, build: BuildRow) -> None:
        """The build's agent is to forget it, when it comes back."""
        with self._database.writing():
            self._database.execute("INSERT OR REPLACE INTO abandoned VALUES (?, ?)", (build.id, build.node))

    def take_abandoned(self, node: str) -> list[int]:
        """The builds that a node's agent is to forget, which is asked once."""
        with self._database.writing():
            query = "DELETE FROM abandoned WHERE node = ? RETURNING build"
            return [id_ for (id_,) in self._database.execute(query, (node,)).fetchall()]

    def save_facts(self, build: int, facts: Mapping[str, Any]) -> None:
        """Something became known of a build, or is there no more."""
        with self._database.writing():
            query = "UPDATE build SET facts = ?, artifacts = ? WHERE id = ?"
            self._database.execute(query, (json.dumps(facts), len(facts.get("artifacts", ())), build))

    def running(self) -> list[BuildRow]:
        """The builds that have not ended."""
        return self._builds("ended IS NULL ORDER BY id")

    def build(self, job: str, number: int) -> BuildRow | None:
        """One build."""
        return next(iter(self._builds("job = ? AND number = ?", job, number)), None)

    def build_by_id(self, id_: int) -> BuildRow | None:
        """One build."""
        return next(iter(self._builds("id = ?", id_)), None)

    def builds(self, job: str, most: int = -1) -> list[BuildRow]:
        """A job's builds, the newest first."""
        return self._builds("job = ? ORDER BY number DESC LIMIT ?", job, most)

    def numbers(self, job: str, most: int = -1) -> list[int]:
        """The numbers of a job's builds, the newest first; cheap, where nothing else of them is wanted."""
        query = "SELECT number FROM build WHERE job = ? ORDER BY number DESC LIMIT ?"
        return [number for (number,) in self._database.execute(query, (job, most))]

    def last(self, job: str, which: str) -> BuildRow | None:
        """The newest build of those that `LAST` names so; None where there is none."""
        results = LAST[which]
        if results is None:
            return next(iter(self._builds("job = ? ORDER BY number DESC LIMIT 1", job)), None)
        query = "SELECT max(number) FROM build WHERE job = ? AND result = ?"  # one look into the index each
        found = (self._database.execute(query, (job, result.value)).fetchone()[0] for result in results)
        newest = max((number for number in found if number is not None), default=None)
        return None if newest is None else self.build(job, newest)

    def revisions(self, job: str) -> list[str]:
        """What the job's last builds had checked out, the newest first, each once."""
        query = (
            "SELECT json_extract(facts, '$.revision') FROM build WHERE job = ? AND facts IS NOT NULL"
            " ORDER BY number DESC LIMIT ?"
        )
        found = (revision for (revision,) in self._database.execute(query, (job, _REVISIONS)))
        return list(dict.fromkeys(revision for revision in found if revision))

    def oldest(self, job: str, *, with_artifacts: bool = False) -> Iterator[BuildRow]:
        """A job's builds, the oldest first, read as they are asked for; nothing may be written meanwhile."""
        only = " AND artifacts > 0" if with_artifacts else ""
        query = f"SELECT {BUILD_COLUMNS} FROM build WHERE job = ?{only} ORDER BY number"  # noqa: S608 - words of ours
        return map(build_row, self._database.execute(query, (job,)))

    def nth(self, job: str, count: int) -> int:
        """The number of the oldest of a job's `count` newest builds; 0 where there are not so many."""
        query = "SELECT number FROM build WHERE job = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
        row = self._database.execute(query, (job, max(0, count - 1))).fetchone()
        return int(row[0]) + (count == 0) if row else 0

    def first(self, job: str) -> BuildRow | None:
        """The oldest build."""
        return next(iter(self._builds("job = ? ORDER BY number LIMIT 1", job)), None)

    def beside(self, build: BuildRow, *, later: bool) -> int | None:
        """The number of the job's next build, or of the one before."""
        what, than = ("min", ">") if later else ("max", "<")
        query = f"SELECT {what}(number) FROM build WHERE job = ? AND number {than} ?"  # noqa: S608 - words of ours
        found = self._database.execute(query, (build.job, build.number)).fetchone()[0]
        return None if found is None else int(found)

    def usual_seconds(self, job: str, builds: int) -> float | None:
        """How long the job's last builds took on average, but for aborted ones; None where there are none."""
        query = (
            "SELECT avg(ended - began) FROM (SELECT ended, began FROM build WHERE job = ? AND result <> 'ABORTED'"
            " ORDER BY number DESC LIMIT ?)"
        )
        found = self._database.execute(query, (job, builds)).fetchone()[0]
        return None if found is None else float(found)

    def before(self, build: BuildRow, results: tuple[Result, ...]) -> BuildRow | None:
        """The newest build before that one which ended in one of those ways."""
        query = "SELECT max(number) FROM build WHERE job = ? AND result = ? AND number < ?"
        found = (self._database.execute(query, (build.job, result, build.number)).fetchone()[0] for result in results)
        newest = max((number for number in found if number is not None), default=None)
        return None if newest is None else self.build(build.job, newest)

    def previous(self, build: BuildRow) -> BuildRow | None:
        """The newest build before that one which ended, however it did."""
        where = "job = ? AND number < ? AND ended IS NOT NULL ORDER BY number DESC LIMIT 1"
        return next(iter(self._builds(where, build.job, build.number)), None)

    def following(self, job: str) -> int:
        """The number of the job's next build."""
        row = self._database.execute("SELECT following FROM item WHERE path = ?", (job,)).fetchone()
        return int(row[0]) if row else 1

    def set_following(self, job: str, number: int) -> None:
        """The number of the job's next build; nothing happens where it had that number, or a higher one."""
        with self._database.writing():
            self._database.execute(
                "UPDATE item SET following = ?2 WHERE path = ?1"
                " AND ?2 > (SELECT coalesce(max(number), 0) FROM build WHERE job = ?1)",
                (job, number),
            )

    def results(self, job: str, most: int) -> list[Result]:
        """How the job's last builds ended, the newest first."""
        query = "SELECT result FROM build WHERE job = ? AND result IS NOT NULL ORDER BY number DESC LIMIT ?"
        return [Result(result) for (result,) in self._database.execute(query, (job, most))]

    def drop_build(self, build: BuildRow) -> None:
        """Forget a build."""
        with self._database.writing():
            self._database.execute("DELETE FROM build WHERE id = ?", (build.id,))
        self.recent.forget(build.job)

    def _builds(self, where: str, *values: object) -> list[BuildRow]:
        rows = self._database.execute(f"SELECT {BUILD_COLUMNS} FROM build WHERE {where}", values)  # noqa: S608
        return [build_row(row) for row in rows]
