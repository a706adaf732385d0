"""Mail about builds: whom, when and what, as Jenkins' mailer does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.controller.job import Result
from byoci.web.mail import Mail

if TYPE_CHECKING:
    from byoci.controller.job import Mailing
    from byoci.controller.rows import BuildRow

_LINES: Final = 250  # of the log's end, in the message
_TAIL: Final = 100_000  # bytes of the log that these are looked for in


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
