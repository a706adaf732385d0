"""Who may talk to the controller: people with API tokens, which are kept as digests; and crumbs, which clients ask for.

Everybody who is known may do everything; nobody else may do anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.controller.state import State

CRUMB_FIELD: Final = "Jenkins-Crumb"
_TOKEN_BYTES: Final = 17
SESSION: Final = 14 * 86400  # seconds until who signed in with a browser has to do so again


class Access:
    """See the module. Concurrency: as the state's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = state.own("crumb").encode()
        # Cookies do not tell ports apart: two controllers of one host must not sign each other's people out.
        self.cookie = f"byoci-{state.own('cookie')[:8]}"

    def caller(self, authorization: str) -> str | None:
        """The name of who sends that header; None for nobody, or nobody who is known."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return name if name and self.is_token(name, token) else None

    def is_token(self, name: str, token: str) -> bool:
        """Whether it is that person's. It is looked up by its digest, so how long that takes tells nothing of it."""
        return self._state.person_of_token(_digest(token)) == name

    def crumb(self, name: str) -> str:
        """What a person's posts must carry."""
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()

    def is_crumb(self, name: str, crumb: str) -> bool:
        """Whether it is that person's."""
        return hmac.compare_digest(self.crumb(name).encode(), crumb.encode("utf-8", "surrogateescape"))

    def make_token(self, name: str, label: str) -> tuple[str, str]:
        """A new API token of a person, who is known from now on, and the id that it is revoked by."""
        token = secrets.token_hex(_TOKEN_BYTES)
        id_ = _digest(token)[:32]
        self._state.save_token(_digest(token), name, label[:200])
        return token, id_

    def revoke_token(self, name: str, id_: str) -> None:
        """Make a person's token worthless, and end what he does in browsers where he signed in with it."""
        self._state.drop_token(name, id_)
        self._state.sessions.end_of(name, id_)

    # Browsers

    def sign_in(self, name: str, secret: str) -> str | None:
        """A new word for a person's browser to keep; None where the secret is not that person's."""
        if not (name and self.is_token(name, secret)):
            return None
        word = secrets.token_urlsafe(32)
        self._state.sessions.add(_digest(word), name, _digest(secret), time.time() + SESSION)
        return word

    def session(self, word: str) -> tuple[str, str] | None:
        """Whose word it is, and the session's id; None for nobody's."""
        id_ = _digest(word)
        person = self._state.sessions.person(id_) if word else None
        return None if person is None else (person, id_)

    def sign_out(self, id_: str) -> None:
        """End a session."""
        self._state.sessions.end(id_)

    def crumb_of_session(self, id_: str) -> str:
        """What posts from the session's pages must carry. No person's name has a NUL in it."""
        return self.crumb(f"\0{id_}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
