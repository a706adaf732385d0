"""Who may talk to the controller: people with passwords and API tokens, and crumbs against cross-site posts.

Passwords are kept as salted scrypt hashes, tokens as digests of random values. Everybody who is known may do
everything; nobody else may do anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.controller.places import check_name
from byoci.errors import UsageError

if TYPE_CHECKING:
    from byoci.controller.state import State

CRUMB_FIELD: Final = "Jenkins-Crumb"
_COST: Final = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB and some 50 ms a try
_TOKEN_BYTES: Final = 17
_MOST_CACHED: Final = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. `by_token`: with an API token, which no browser sends by itself."""

    name: str
    by_token: bool


class Access:
    """See the module. Concurrency: as the state's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = state.own("crumb").encode()
        self._known: dict[bytes, Caller] = {}  # what was checked already; scrypt is slow on purpose

    def caller(self, authorization: str) -> Caller | None:
        """Who sends that header; None for nobody, or nobody who is known."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, word = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not (name and colon and word):
            return None
        digest = hashlib.sha256(authorization.encode()).digest()
        known = self._known.get(digest)
        if known is None and (known := self._check(name, word)):
            if len(self._known) > _MOST_CACHED:
                self._known.clear()
            self._known[digest] = known
        return known

    def _check(self, name: str, word: str) -> Caller | None:
        if self._state.person_of_token(_digest(word)) == name:
            return Caller(name, by_token=True)
        stored = self._state.password(name)
        salt, _, expected = (stored or f"{'0' * 32}:").partition(":")  # as long for people who are not known
        right = hmac.compare_digest(_scrypt(word, salt), expected)
        return Caller(name, by_token=False) if right else None

    def crumb(self, name: str) -> str:
        """What a person's posts must carry."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def is_crumb(self, name: str, crumb: str) -> bool:
        """Whether it is that person's."""
        return hmac.compare_digest(self.crumb(name).encode(), crumb.encode("utf-8", "surrogateescape"))

    def add_person(self, name: str, password: str | None = None) -> None:
        """Make a person known; without a password only tokens let him in."""
        check_name(name, "person")
        if ":" in name:
            raise UsageError("a person's name must not hold a colon")
        salt = secrets.token_hex(16)
        self._state.save_person(name, f"{salt}:{_scrypt(password, salt)}" if password else "")
        self._known.clear()

    def make_token(self, name: str, label: str) -> tuple[str, str]:
        """A new API token of a person, and the id that it is revoked by."""
        token = secrets.token_hex(_TOKEN_BYTES)
        id_ = _digest(token)[:32]
        self._state.save_token(_digest(token), name, label[:200])
        return token, id_

    def revoke_token(self, name: str, id_: str) -> None:
        """Make a person's token worthless."""
        self._state.drop_token(name, id_)
        self._known.clear()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _scrypt(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), maxmem=2**26, **_COST).hex()
