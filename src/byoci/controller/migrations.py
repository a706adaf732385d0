"""The tables of the controller's state, as they came about; see `state`."""

from __future__ import annotations

from typing import Final

from byoci.identity import sessions

MIGRATIONS: Final = (
    """
    CREATE TABLE item (
        path TEXT PRIMARY KEY,           -- names from the root, with slashes between them
        folder INTEGER NOT NULL,         -- whether it holds others; otherwise it is a job
        config BLOB NOT NULL,            -- config.xml
        following INTEGER NOT NULL       -- the next build's number
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE view (path TEXT PRIMARY KEY, config BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE node (
        name TEXT PRIMARY KEY,           -- "" is the controller's own host
        config BLOB NOT NULL,
        offline TEXT                     -- why a person took it offline; NULL where nobody did
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE queued (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL,
        request TEXT NOT NULL,           -- JSON of a Request
        since REAL NOT NULL,
        due REAL NOT NULL,
        build INTEGER,                   -- id of the build that it became
        cancelled INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX queued_waiting ON queued (id) WHERE build IS NULL AND NOT cancelled;
    CREATE TABLE build (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        job TEXT NOT NULL,
        number INTEGER NOT NULL,
        queued INTEGER NOT NULL,
        request TEXT NOT NULL,
        node TEXT NOT NULL,
        executor INTEGER NOT NULL,
        began REAL NOT NULL,
        plan TEXT,                       -- JSON, until it has ended
        ended REAL,
        result TEXT,
        facts TEXT                       -- JSON of what is known since its end
    ) STRICT;
    CREATE UNIQUE INDEX build_number ON build (job, number);
    CREATE INDEX build_running ON build (id) WHERE ended IS NULL;
    CREATE INDEX build_result ON build (job, result, number);
    CREATE TABLE token (
        digest TEXT PRIMARY KEY,
        person TEXT NOT NULL,
        label TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE own (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE asked (                 -- what steps of builds had started, so that it is once
        build INTEGER NOT NULL,
        step INTEGER NOT NULL,
        place INTEGER NOT NULL,          -- of the job among those of the step
        queued INTEGER NOT NULL,
        PRIMARY KEY (build, step, place)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX asked_queued ON asked (queued);
    ALTER TABLE build ADD COLUMN description TEXT;
    ALTER TABLE build ADD COLUMN artifacts INTEGER NOT NULL DEFAULT 0;  -- how many there are in its facts
    UPDATE build SET artifacts = coalesce(json_array_length(facts, '$.artifacts'), 0);
    CREATE INDEX build_artifacts ON build (job, number) WHERE artifacts > 0;
    CREATE TABLE abandoned (             -- builds that were given up while their agents were away
        build INTEGER PRIMARY KEY,
        node TEXT NOT NULL
    ) STRICT;
    """,
    sessions.TABLE,
)
