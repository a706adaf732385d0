"""Logging for people on standard error, with secrets masked and control characters made harmless."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")
MASK: Final = "********"


def printable(text: str) -> str:
    """Text from outside made safe to show on a terminal: escape sequences and direction overrides become visible."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def shown(text: str) -> str:
    """`printable`, and without the passwords of URLs."""
    return printable(_URL_PASSWORD.sub(rf"\1:{MASK}@", text))


class SecretFilter(logging.Filter):
    """Masks given secrets, and passwords within URLs, in every record that passes."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._secrets = tuple(sorted((s for s in secrets if s), key=len, reverse=True))

    def clean(self, text: str) -> str:
        """`text` without any of the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return shown(text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; it is always let through."""
        record.msg, record.args = self.clean(record.getMessage()), None
        return True


def configure(verbosity: int, secrets: tuple[str, ...] = ()) -> None:
    """Send byoci's log to standard error: warnings, with 1 what is done, with 2 every program that is started."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
    handler.addFilter(SecretFilter(secrets))
    root = logging.getLogger("byoci")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
