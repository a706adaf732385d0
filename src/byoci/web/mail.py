"""Mail, handed to this host's `sendmail`. Its texts come from people and from code under test."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from byoci import proc

_PATIENCE: Final = 60.0  # seconds for sendmail to take a message
_SUBJECT: Final = 250  # characters


@dataclass(frozen=True, slots=True)
class Mail:
    """What is sent, and to whom.

    id  the same for the same message, so that its readers' programs see one that was sent twice as one; "": any
    """

    to: tuple[str, ...]
    subject: str
    text: str
    id: str = ""


def encoded(mail: Mail) -> bytes:
    """The message as `sendmail` takes it."""
    message = EmailMessage()
    message["Subject"] = _one_line(mail.subject)
    message["To"] = ", ".join(mail.to)
    message["Date"] = formatdate(localtime=True)
    message["Auto-Submitted"] = "auto-generated"
    if mail.id:
        message["Message-ID"] = f"<{mail.id}@byoci.invalid>"
    message.set_content(mail.text.encode("utf-8", "replace").decode(), cte="base64")
    return bytes(message)


def _one_line(text: str) -> str:
    """As a header can have it. What looks like an encoded word would be decoded, with the line ends that are in it."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[:_SUBJECT])
    return plain.replace("=?", "= ?")


def send(mail: Mail) -> None:
    """Hand the message to `sendmail`. Raises `ByociError` where there is none, or it does not take it."""
    environment = proc.base_environment()
    environment["PATH"] += ":/usr/sbin:/usr/lib"  # where it is, which is not on everybody's path
    proc.run(["sendmail", "-i", "--", *mail.to], env=environment, stdin=encoded(mail), timeout=_PATIENCE)
