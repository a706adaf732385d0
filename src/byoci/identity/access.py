"""Who may talk to a server: people with API tokens, which are kept as digests, or with passwords (see `people`); and
crumbs, which clients ask for.

A server lets in people of certain roles. To it all others are as unknown as who is nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.identity.people import OPERATOR, fits
from byoci.identity.throttle import Throttle, TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Collection

    from byoci.identity.people import People
    from byoci.identity.sessions import Sessions

CRUMB_FIELD: Final = "Jenkins-Crumb"
OWN_TOKEN: Final = "made by the controller at its start"  # noqa: S105 - what such a token is called
_TOKEN_BYTES: Final = 17
SESSION: Final = 14 * 86400  # seconds until who signed in with a browser has to do so again


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signed in."""

    name: str


class Access:
    """See the module. Concurrency: as the databases'; for one event loop.

    secret  what crumbs are made with
    cookie  the cookie's name. Cookies do not tell ports apart: two servers of one host must not sign each other's
            people out
    roles   whom the server lets in
    """

    def __init__(
        self, people: People, sessions: Sessions, secret: str, cookie: str, roles: Collection[str] = (OPERATOR,)
    ) -> None:
        self._people = people
        self._sessions = sessions
        self._secret = secret.encode()
        self.cookie = cookie
        self._roles = roles
        self._throttle = Throttle()
        self._seen: dict[str, tuple[str, bytes]] = {}  # name → what was kept of the password, and a code of it
        self._own = secrets.token_bytes(32)
        self._one = asyncio.Semaphore(1)

    async def caller(self, authorization: str, address: str = "") -> str | None:
        """The name of who sends that header from that address; None for nobody, or nobody who is known.

        Raises `TooManyTriesError`.
        """
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, word = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not name or not word:
            return None
        if self.is_token(name, word):
            return name
        user = await self.authenticate(name, word, address)
        return user.name if user else None

    async def authenticate(self, name: str, password: str, address: str = "") -> User | None:
        """Who has that name and password; None for nobody. `address` is from where he tries.

        It takes as long for a name that nobody has. A password that was right a moment ago is not looked at for long.
        Raises `TooManyTriesError` for who was wrong too often, though not where the password is such a one.
        """
        stored = self._people.stored(name)
        code = hmac.new(self._own, f"{name}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        known = self._seen.get(name)
        if known and known[0] == stored and hmac.compare_digest(known[1], code):
            return self._let_in(name)
        who = (address, name)
        self._throttle.check(who)
        if not self._people.any():
            return None
        async with self._one:  # one at a time: a try takes a processor, and memory
            self._throttle.check(who)  # he may have tried several at once
            if not await asyncio.to_thread(fits, password, stored):
                self._throttle.was_wrong(who)
                return None
        self._throttle.was_right(who)
        self._seen[name] = (stored, code)
        return self._let_in(name)

    def _let_in(self, name: str) -> User | None:
        return User(name) if self._people.role(name) in self._roles else None

    async def may_go_on(self, name: str | None, session: str, authorization: str) -> bool:
        """Whether somebody whom we let in a while ago, by a session or by that header, would be let in now."""
        try:
            return name == (self.of_session(session) if session else await self.caller(authorization))
        except TooManyTriesError:  # it was right when he came: it is not any more
            return False

    def is_known(self, name: str) -> bool:
        """Whether somebody has that name."""
        return name in self._people.names() or name in self._people.tokens.people()

    def is_token(self, name: str, token: str) -> bool:
        """Whether it is that person's. It is looked up by its digest, so how long that takes tells nothing of it."""
        return self._people.tokens.person_of(_digest(token)) == name and self._let_in(name) is not None

    def crumb(self, name: str) -> str:
        """What a person's posts must carry."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def is_crumb(self, name: str, crumb: str) -> bool:
        """Whether it is that person's."""
        return hmac.compare_digest(self.crumb(name).encode(), crumb.encode("utf-8", "surrogateescape"))

    def make_token(self, name: str, label: str) -> tuple[str, str]:
        """A new API token of a person, who is known from now on, and the id that it is revoked by."""
        return new_token(self._people, name, label)

    def revoke_token(self, name: str, id_: str) -> None:
        """Make a person's token worthless."""
        self._people.tokens.drop(name, id_)

    # Browsers

    async def sign_in(self, name: str, secret: str, address: str = "") -> str | None:
        """A new word for a person's browser to keep, where the secret is his token or password; None where it is not.

        Raises `TooManyTriesError`.
        """
        if not name or not secret:
            return None
        if self.is_token(name, secret):
            proof = _digest(secret)
        elif await self.authenticate(name, secret, address):
            proof = self._proof_of_password(name)
        else:
            return None
        word = secrets.token_urlsafe(32)
        self._sessions.add(_digest(word), name, proof, time.time() + SESSION)
        return word

    def _proof_of_password(self, name: str) -> str:
        """Another one after every change of a person's password, which others may make while we run."""
        return f"password {_digest(self._people.stored(name))}"

    def session(self, word: str) -> tuple[str, str] | None:
        """Whose word it is, and the session's id; None for nobody's.

        A session ends with the token, or the password, that its person signed in with.
        """
        id_ = _digest(word)
        person = self.of_session(id_) if word else None
        return (person, id_) if person else None

    def of_session(self, id_: str) -> str | None:
        """Whose session has that id, while it lasts."""
        person, proof = self._sessions.find(id_)
        if not person or (person != self._people.tokens.person_of(proof) and proof != self._proof_of_password(person)):
            return None
        return person if self._let_in(person) else None

    def sign_out(self, id_: str) -> None:
        """End a session."""
        self._sessions.end(id_)

    def crumb_of_session(self, id_: str) -> str:
        """What posts from the session's pages must carry. No person's name has a NUL in it."""
        return self.crumb(f"\0{id_}")


def new_token(people: People, name: str, label: str) -> tuple[str, str]:
    """See `Access.make_token`."""
    token = secrets.token_hex(_TOKEN_BYTES)
    people.tokens.add(_digest(token), name, label[:200])
    return token, _digest(token)[:32]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
