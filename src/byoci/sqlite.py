"""SQLite files: opened, brought up to date by numbered migrations, safe among processes, errors in words.

A database of byoci's says in its header which kind it is (`application_id`) and how many migrations it has seen
(`user_version`), so that neither somebody else's file nor one of a newer byoci is ever written to.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PATIENCE: Final = 30.0  # seconds to wait for another process's transaction

_MAKE = effects.declare("database.make", "an empty file, and the folders above it")
_OPEN = effects.declare(
    "database.open",
    "the tables of a new database, or those that an older byoci did not have",
    half="Each migration is one transaction: it is there whole, or done now.",
)


class Database(sqlite3.Connection):
    """A connection in autocommit mode with explicit transactions; it belongs to one thread, and to no child process."""

    path: Path
    kind: str
    cache: bool

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """One unchanging view of the database for all that is read within."""
        with _explained(self.path, self.kind, cache=self.cache), _transaction(self, "BEGIN"):
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written within, or nothing: it is undone on any exception. Nobody else writes meanwhile."""
        with _explained(self.path, self.kind, cache=self.cache), _transaction(self, "BEGIN IMMEDIATE"):
            yield


def open_database(
    path: Path,
    migrations: Sequence[str],
    *,
    kind: str,
    mode: int = 0o600,
    durable: bool = False,
    cache: bool | None = None,
) -> Database:
    """Open, or make, the database `path`, and bring it up to date.

    migrations  SQL scripts; the first makes an empty database the schema 1, number n makes n of n-1. Only ever add
                to the end. Each is applied in a transaction of its own
    kind        what it is, for error messages, as in "local forge"; another kind's file is refused
    mode        permissions of a new file (its folder's follow from them), less the umask. Folders above are private
    durable     whether what was written last survives a power failure, not only a killed process
    cache       whether it can be made anew where it is lost; by default what is not durable can

    Raises `UnavailableError` where it cannot be opened, is damaged, is no database of this kind, or is a newer byoci's.
    """
    try:
        _make_file(path, mode)
    except OSError as error:
        raise UnavailableError(
            f"the {kind} database {path} cannot be made",
            details=f"{error.filename}: {error.strerror}",
            resolution="Make sure that its folder exists and that you may write to it.",
        ) from error
    cache = not durable if cache is None else cache
    with _OPEN, _explained(path, kind, cache=cache):
        database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, factory=Database)
        database.path, database.kind, database.cache = path, kind, cache
        try:
            _prepare(database, migrations, durable=durable)
        except BaseException:
            database.close()
            raise
    return database


def open_to_read(path: Path, migrations: Sequence[str], *, kind: str) -> Database:
    """Open a database that is there for reading only, which its file's descriptor makes sure of.

    It has to be one that this byoci could write to: see `open_database`, also for the arguments and for errors.
    """
    with _explained(path, kind, cache=False):
        where = f"{path.absolute().as_uri()}?mode=ro"
        database = sqlite3.connect(where, timeout=_PATIENCE, isolation_level=None, factory=Database, uri=True)
        database.path, database.kind, database.cache = path, kind, False
        try:
            _check_is_new(database, len(migrations))
        except BaseException:
            database.close()
            raise
    return database


@contextlib.contextmanager
def _explained(path: Path, kind: str, *, cache: bool) -> Iterator[None]:
    """Turn what SQLite says of the world (not what it says of our SQL) into an `UnavailableError`."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the module's own errors have none
        damaged = "Remove it: it is a cache, and will be made anew." if cache else "Put a backup in its place."
        raise UnavailableError(
            f"the {kind} database {path} does not work",
            details=str(error),
            resolution=damaged if code in _DAMAGED else _RESOLUTIONS.get(code, ""),
        ) from error


_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_RESOLUTIONS: Final = {
    sqlite3.SQLITE_BUSY: f"Another process has been writing for {_PATIENCE:g} seconds. Try again.",
    sqlite3.SQLITE_FULL: "Make room on the disk and try again; nothing was changed.",
    sqlite3.SQLITE_IOERR: "Look at the disk (is it full?) and try again; nothing was changed.",
    sqlite3.SQLITE_CANTOPEN: "Make sure that you may read and write the file and its folder.",
    sqlite3.SQLITE_PERM: "Make sure that you may read and write the file and its folder.",
    sqlite3.SQLITE_READONLY: "Make sure that you may write to the file and its folder.",
}


@_MAKE
def _make_file(path: Path, mode: int) -> None:
    folders = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(folders):
        folder.mkdir(mode | (mode & 0o444) >> 2 if folder == path.parent else 0o700, exist_ok=True)
    # Only ever made, never opened here: closing a descriptor would drop the locks of another connection of ours.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))


def _prepare(database: Database, migrations: Sequence[str], *, durable: bool) -> None:
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA foreign_keys = ON")
    version = _version(database, len(migrations))
    _use_wal(database)
    database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    for number in range(version + 1, len(migrations) + 1):
        _migrate(database, number, migrations[number - 1])


def _use_wal(database: Database) -> None:
    """Readers and a writer at once. SQLite does not wait by itself when several processes switch a new file over."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _version(database: Database, newest: int) -> int:
    """How many migrations the file has seen; refuses a file that is not ours to write to."""
    with _transaction(database, "BEGIN"):  # of one moment: another process may be making it
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (objects,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (version or objects) and application != _application_id(database.kind):
        raise UnavailableError(
            f"{database.path} is not a {database.kind} database",
            details="It is a SQLite file of another program, or of another part of byoci.",
            resolution="Name another path.",
        )
    if version > newest:
        raise UnavailableError(
            f"the {database.kind} database {database.path} was written by a newer byoci",
            details=f"Its schema is number {version}; this byoci knows {newest}.",
            resolution="Update byoci.",
        )
    return int(version)


def _check_is_new(database: Database, newest: int) -> None:
    if _version(database, newest) < newest:
        raise UnavailableError(
            f"the {database.kind} database {database.path} is an older byoci's, or is just being made",
            resolution="Whatever command writes to it brings it up to date.",
        )


def _migrate(database: Database, number: int, script: str) -> None:
    with _transaction(database, "BEGIN IMMEDIATE"):
        if database.execute("PRAGMA user_version").fetchone()[0] >= number:
            return  # another process was faster
        for statement in _statements(script):
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {_application_id(database.kind)}")
        database.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one; `executescript` would commit the transaction that they belong to."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _application_id(kind: str) -> int:
    return zlib.crc32(f"byoci {kind}".encode()) & 0x7FFFFFFF


@contextlib.contextmanager
def _transaction(database: Database, begin: str) -> Iterator[None]:
    database.execute(begin)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite undoes some failures, such as a full disk, by itself
            database.execute("ROLLBACK")
        raise
