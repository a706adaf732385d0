"""SQLite files: made privately, migrated step by step, refused when they are not ours, errors in words."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnavailableError
from byoci.sqlite import Database, open_database

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.agent

FIRST = """
CREATE TABLE person (
    name TEXT PRIMARY KEY   -- one; with a semicolon
) STRICT;
CREATE TABLE pet (owner TEXT NOT NULL REFERENCES person (name), name TEXT NOT NULL) STRICT;
"""
SECOND = """
ALTER TABLE pet ADD COLUMN legs INTEGER NOT NULL DEFAULT 4;
CREATE TRIGGER no_more AFTER INSERT ON pet WHEN new.legs > 8 BEGIN
    SELECT raise(ABORT, 'too many; legs');
END;
"""
BROKEN = "CREATE TABLE third (a);\nINSERT INTO nowhere VALUES (1);\n"


def opened(path: Path, *migrations: str, **options: object) -> Database:
    return open_database(path, migrations or (FIRST, SECOND), kind="zoo", **options)  # type: ignore[arg-type]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "b" / "zoo.sqlite"


def test_migrations_are_applied_in_order_and_data_survives(path: Path) -> None:
    database = opened(path, FIRST)
    with database.writing():
        database.execute("INSERT INTO person VALUES ('ann')")
        database.execute("INSERT INTO pet VALUES ('ann', 'rex')")
    database.close()
    for _ in range(2):
        database = opened(path, FIRST, SECOND)
        with database.reading():
            assert database.execute("SELECT * FROM pet").fetchall() == [("ann", "rex", 4)]
        database.close()


def test_it_is_in_wal_mode_with_foreign_keys_and_flushes_as_asked(path: Path) -> None:
    for durable, synchronous in ((True, 2), (False, 1)):
        database = opened(path, durable=durable)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        with pytest.raises(sqlite3.IntegrityError), database.writing():
            database.execute("INSERT INTO pet VALUES ('nobody', 'rex', 4)")
        database.close()


def test_a_failed_migration_leaves_the_schema_before_it(path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        opened(path, FIRST, SECOND, BROKEN)
    database = opened(path)
    assert database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'third'").fetchone() == (0,)
    assert database.execute("PRAGMA user_version").fetchone() == (2,)
    database.close()


def test_an_exception_undoes_all_that_was_written(path: Path) -> None:
    database = opened(path)

    def interrupted() -> None:
        with database.writing():
            database.execute("INSERT INTO person VALUES ('ann')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not database.in_transaction
    assert database.execute("SELECT count(*) FROM person").fetchone() == (0,)
    database.close()


def test_a_reader_sees_one_moment(path: Path) -> None:
    reader, writer = opened(path), opened(path)
    with reader.reading():
        assert reader.execute("SELECT count(*) FROM person").fetchone() == (0,)
        with writer.writing():
            writer.execute("INSERT INTO person VALUES ('ann')")
        assert reader.execute("SELECT count(*) FROM person").fetchone() == (0,)
    assert reader.execute("SELECT count(*) FROM person").fetchone() == (1,)
    reader.close()
    writer.close()


def test_a_writer_keeps_others_from_writing_from_its_beginning(path: Path) -> None:
    """Else what it read could be outdated when it writes."""
    database, other = opened(path), sqlite3.connect(path, timeout=0, isolation_level=None)
    with database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO person VALUES ('ann')")
    other.execute("INSERT INTO person VALUES ('ann')")
    other.close()
    database.close()


def test_files_and_folders_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        database = opened(path)
        with database.writing():
            database.execute("INSERT INTO person VALUES ('ann')")
        assert [mode(made) for made in (path.parent.parent, path.parent, path)] == [0o700, 0o700, 0o600]
        assert {mode(made) for made in path.parent.iterdir()} == {0o600}
        database.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("umask", "folder", "file"), [(0o002, 0o770, 0o660), (0o022, 0o750, 0o640), (0o077, 0o700, 0o600)]
)
def test_a_group_may_share_it_if_the_umask_says_so(path: Path, umask: int, folder: int, file: int) -> None:
    before = os.umask(umask)
    try:
        database = opened(path, mode=0o660)
        with database.writing():
            database.execute("INSERT INTO person VALUES ('ann')")
        assert (mode(path.parent.parent), mode(path.parent)) == (0o700, folder)
        assert {mode(made) for made in path.parent.iterdir()} == {file}
        database.close()
    finally:
        os.umask(before)


def test_an_existing_file_keeps_its_permissions(path: Path) -> None:
    opened(path).close()
    path.chmod(0o660)
    opened(path).close()
    assert mode(path) == 0o660


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    opened(path).close()
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match="written by a newer byoci") as caught:
        opened(path, FIRST)
    assert caught.value.resolution == "Update byoci."
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, 1])
def test_a_file_of_another_program_is_refused_and_left_alone(path: Path, version: int) -> None:
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path)
    other.executescript(f"CREATE TABLE theirs (a); PRAGMA user_version = {version};")
    other.close()
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match="is not a zoo database"):
        opened(path)
    assert path.read_bytes() == before


def test_a_database_of_another_kind_is_refused(path: Path) -> None:
    open_database(path, (FIRST,), kind="menagerie").close()
    with pytest.raises(UnavailableError, match="is not a zoo database"):
        opened(path)


@pytest.mark.parametrize("how", [{"durable": True}, {"cache": False}])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, how: dict[str, bool]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("dear diary\n" * 100)
    with pytest.raises(UnavailableError, match="does not work") as caught:
        opened(path, **how)
    assert "backup" in caught.value.resolution
    assert path.read_text() == "dear diary\n" * 100


def test_a_damaged_cache_says_that_it_may_be_removed(path: Path) -> None:
    database = opened(path)
    with database.writing():
        database.executemany("INSERT INTO person VALUES (?)", ((f"person {number}",) for number in range(5000)))
    database.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)
    database = opened(path)
    with pytest.raises(UnavailableError) as caught, database.reading():
        database.execute("SELECT count(*) FROM person WHERE name > 'person 2'").fetchall()
    assert caught.value.resolution == "Remove it: it is a cache, and will be made anew."
    database.close()


def test_a_full_disk_is_told_and_nothing_is_half_done(path: Path) -> None:
    database = opened(path)
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite itself then answers SQLITE_FULL
    with pytest.raises(UnavailableError, match="full") as caught, database.writing():
        database.executemany("INSERT INTO person VALUES (?)", ((f"{number}" * 1000,) for number in range(100)))
    assert "nothing was changed" in caught.value.resolution
    assert database.execute("SELECT count(*) FROM person").fetchone() == (0,)
    with database.writing():
        database.execute("INSERT INTO person VALUES ('ann')")
    database.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match="cannot be made"):
        opened(tmp_path / "file" / "zoo.sqlite")
    with pytest.raises(UnavailableError, match="does not work"):
        opened(tmp_path)


def test_opening_again_does_not_drop_the_locks_of_an_open_connection(path: Path) -> None:
    """POSIX locks go when a process closes any descriptor of the file; SQLite's must not go by our doing.

    Without them another process would take itself for the last one, and delete the log that this one writes to.
    """
    database = opened(path)
    opened(path).close()
    child = os.fork()
    if child == 0:  # another process: must see that the file is in use
        try:
            other = sqlite3.connect(path, timeout=0, isolation_level=None)
            other.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    database.close()
