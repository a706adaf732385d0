"""Who may talk to the controller: people with API tokens, which are kept as digests; and crumbs, which clients ask for.

Everybody who is known may do everything; nobody else may do anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.controller.state import State

CRUMB_FIELD: Final = "Jenkins-Crumb"
_TOKEN_BYTES: Final = 17


class Access:
    """See the module. Concurrency: as the state's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._secret = state.own("crumb").encode()

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
        """Make a person's token worthless."""
        self._state.drop_token(name, id_)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
