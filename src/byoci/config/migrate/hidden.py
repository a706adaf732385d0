"""Passwords where they should not be: within URLs and commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# user:password@ and, in a URL of the web, a word that is too long for a user's name: a token. No references in either.
_LOGIN: Final = re.compile(r"(?<=://)(?P<user>[^/@\s:{}\"']*):(?P<password>[^/@\s{}\"']*)@")
_TOKEN: Final = re.compile(r"(?<=https://)(?P<token>[^/@\s:{}\"']{16,})@|(?<=http://)(?P<other>[^/@\s:{}\"']{16,})@")
_ANY_LOGIN: Final = re.compile(r"(?<=://)[^/@\s]*@")
_ASSIGNED: Final = re.compile(r"(passw(or)?d|passphrase|secret|token|api_?key)[=]['\"]?(?![$/'\"\s]|$)", re.IGNORECASE)
_AFTER_SCHEME: Final = re.compile(r"://[^\s,;'\"#<>|]+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_LONGEST_SCHEME: Final = 20


def without_passwords(text: str) -> str:
    """`text` with the passwords and tokens of its URLs left out; users' names stay."""
    return _TOKEN.sub("", _LOGIN.sub(lambda found: f"{found['user']}@" if found["user"] else "", text))


def without_login(text: str) -> str:
    """`text` with all that stands before the hosts of its URLs left out."""
    return _ANY_LOGIN.sub("", text)


def has_password(command: str) -> bool:
    """Whether a command holds what looks like a password: in a URL, or set as a variable or an argument."""
    return without_passwords(command) != command or bool(_ASSIGNED.search(command))


def urls_with_passwords(text: str) -> Iterator[tuple[int, int, str]]:
    """Where URLs with a password or a token stand in `text`: start, end and the URL."""
    for found in _AFTER_SCHEME.finditer(text):
        before = text[max(0, found.start() - _LONGEST_SCHEME) : found.start()]
        scheme = _SCHEME.search(before)
        url = (scheme[0] if scheme else "") + found[0]
        if without_passwords(url) != url:
            yield found.end() - len(url), found.end(), url
