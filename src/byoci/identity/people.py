"""People who sign in: their names and roles, what of their passwords may be kept, and digests of their API tokens.

Concurrency: each object belongs to one thread; many processes may have the file open, and what one changes holds
for the others at once. What was written last survives a power failure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
import unicodedata
from typing import TYPE_CHECKING, Final

from byoci.errors import UsageError
from byoci.identity.tokens import Tokens
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "people.sqlite"
_MIGRATIONS: Final = (
    """
    CREATE TABLE person (
        name TEXT PRIMARY KEY,
        password TEXT,                   -- see `hashed`; NULL: signs in with tokens only
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE person ADD COLUMN role TEXT NOT NULL DEFAULT 'operator';
    CREATE TABLE token (
        digest TEXT PRIMARY KEY,         -- of the whole token
        person TEXT NOT NULL,
        label TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    """,
)
OPERATOR: Final = "operator"
"""The role of who may do everything at the controller, and read at the dashboard."""
READER: Final = "reader"
"""The role of who may read at the dashboard, and nothing else."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,99}")
_SHORTEST, _LONGEST = 8, 1024  # characters of a password
# 16 MiB and some tenths of a second a try (OWASP's recommendation for so much memory).
_COST: Final = (14, 8, 5)
_NOBODYS: Final = "scrypt$14$8$5$" + "00" * 16 + "$" + "00" * 32


class People:
    """See the module."""

    def __init__(self, home: Path) -> None:
        self._database = open_database(home / FILE, _MIGRATIONS, kind="controller's people", durable=True)
        self.tokens = Tokens(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def names(self) -> dict[str, bool]:
        """Everybody, and whether he has a password."""
        return {
            name: bool(has) for name, has in self._database.execute("SELECT name, password IS NOT NULL FROM person")
        }

    def any(self) -> bool:
        """Whether anybody has a password."""
        query = "SELECT EXISTS (SELECT 1 FROM person WHERE password IS NOT NULL)"
        return bool(self._database.execute(query).fetchone()[0])

    def role(self, name: str) -> str:
        """What somebody may do; who has tokens only, as the site's own programs, is an operator."""
        row = self._database.execute("SELECT role FROM person WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else OPERATOR

    def add(self, name: str, password: str | None, role: str = OPERATOR) -> None:
        """Let somebody new sign in. Raises `UsageError` for a name or password that cannot be, or is known."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:100]!a} cannot be a person's name", resolution="Use letters, digits and . _ @ + - only."
            )
        stored = None if password is None else hashed(password)
        with self._database.writing():
            query = "INSERT INTO person (name, password, since, role) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            if not self._database.execute(query, (name, stored, time.time(), role)).rowcount:
                raise UsageError(f"there is a person {name} already", resolution="Change the password instead.")

    def set_password(self, name: str, password: str) -> None:
        """Give somebody another password. Raises `UsageError` as `add` does."""
        stored = hashed(password)
        with self._database.writing():
            if not self._database.execute("UPDATE person SET password = ? WHERE name = ?", (stored, name)).rowcount:
                raise _unknown(name)

    def remove(self, name: str) -> None:
        """Let somebody sign in no more. Raises `UsageError` for somebody unknown."""
        with self._database.writing():
            if not self._database.execute("DELETE FROM person WHERE name = ?", (name,)).rowcount:
                raise _unknown(name)

    def stored(self, name: str) -> str:
        """What is kept of somebody's password; of nobody, and of who has none, what no password fits."""
        row = self._database.execute("SELECT password FROM person WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row and row[0] else _NOBODYS


def hashed(password: str) -> str:
    """What may be kept of a password: `scrypt$N$R$P$SALT$HASH`, N as a power of two. Raises `UsageError`."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UsageError(f"a password must have {_SHORTEST} to {_LONGEST} characters", resolution="Choose another one.")
    salt = secrets.token_bytes(16)
    power, size, parallel = _COST
    return f"scrypt${power}${size}${parallel}${salt.hex()}${_derived(password, salt, _COST).hex()}"


def fits(password: str, stored: str) -> bool:
    """Whether that is the password; it takes as long for nobody's. No thread but this one is held up meanwhile."""
    _, power, size, parallel, salt, wanted = stored.split("$")
    cost = (int(power), int(size), int(parallel))
    found = _derived(password[: _LONGEST + 1], bytes.fromhex(salt), cost)
    return hmac.compare_digest(found, bytes.fromhex(wanted)) and stored != _NOBODYS


def _derived(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    power, size, parallel = cost
    words = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    most = 192 * 1024 * size * parallel + 256 * size * 2**power
    return hashlib.scrypt(words, salt=salt, n=2**power, r=size, p=parallel, maxmem=most, dklen=32)


def _unknown(name: str) -> UsageError:
    return UsageError(f"there is no person {name[:100]!a}", resolution="byoci controller user list tells who there is.")
