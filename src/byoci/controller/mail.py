"""Mail about builds: whom, when and what, as Jenkins' mailer does it; it goes to this host's `sendmail`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.controller.job import Result

if TYPE_CHECKING:
    from byoci.controller.job import Mailing
    from byoci.controller.rows import BuildRow

ADDRESS: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9][A-Za-z0-9.-]*")
_PATIENCE: Final = 60.0  # seconds for sendmail to take a message
_LINES: Final = 250  # of the log's end, in the message
_TAIL: Final = 100_000  # bytes of the log that these are looked for in


@dataclass(frozen=True, slots=True)
class Mail:
    """What is sent, and to whom."""

    to: tuple[str, ...]
    subject: str
    text: str


def occasion(mailing: Mailing, result: Result, before: Result | None) -> str:
    """What there is to tell of a build, as the subject says it; "" for nothing.

    before  the result of the last build before it that was not aborted
    """
    if result is Result.FAILURE:
        return "Build failed"
    if result is Result.UNSTABLE and (mailing.every_unstable or before is not Result.UNSTABLE):
        return "Build is unstable" if before is Result.UNSTABLE else "Build became unstable"
    if result is Result.SUCCESS and before is Result.FAILURE:
        return "Build is back to normal"
    if result is Result.SUCCESS and before is Result.UNSTABLE:
        return "Build is back to stable"
    return ""


def compose(mailing: Mailing, build: BuildRow, before: Result | None, url: str, log: bytes) -> Mail | None:
    """The message about a build that has ended; None where nothing is to be told.

    url  the build's address
    log  the end of what it printed
    """
    assert build.result is not None
    what = occasion(mailing, build.result, before)
    if not what:
        return None
    lines = log[-_TAIL:].decode("utf-8", "replace").splitlines()[-_LINES:]
    return Mail(mailing.to, f"{what}: {build.job} #{build.number}", "\n".join([f"See <{url}>", "", *lines, ""]))


def send(mail: Mail) -> None:
    """Hand the message to `sendmail`. Raises `ByociError` where there is none, or it does not take it."""
    message = EmailMessage()
    message["Subject"] = "".join(letter if letter.isprintable() else "?" for letter in mail.subject)
    message["To"] = ", ".join(mail.to)
    message["Date"] = formatdate(localtime=True)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="base64")
    environment = proc.base_environment()
    environment["PATH"] += ":/usr/sbin:/usr/lib"  # where it is, which is not on everybody's path
    proc.run(["sendmail", "-i", "--", *mail.to], env=environment, stdin=bytes(message), timeout=_PATIENCE)
