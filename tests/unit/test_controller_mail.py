"""When mail is sent about a build, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from byoci.controller.job import Mailing, Result
from byoci.controller.mail import compose, occasion
from byoci.controller.rows import BuildRow, Request
from byoci.web.mail import Mail

pytestmark = pytest.mark.controller

GOOD, FAIR, BAD = Result.SUCCESS, Result.UNSTABLE, Result.FAILURE


@pytest.mark.parametrize(
    ("result", "before", "every", "first_only"),
    [
        (GOOD, None, "", ""),
        (GOOD, GOOD, "", ""),
        (GOOD, FAIR, "Build is back to stable", "Build is back to stable"),
        (GOOD, BAD, "Build is back to normal", "Build is back to normal"),
        (FAIR, GOOD, "Build became unstable", "Build became unstable"),
        (FAIR, None, "Build became unstable", "Build became unstable"),
        (FAIR, FAIR, "Build is unstable", ""),
        (BAD, BAD, "Build failed", "Build failed"),
        (Result.ABORTED, BAD, "", ""),
    ],
)
def test_what_there_is_to_tell(result: Result, before: Result | None, every: str, first_only: str) -> None:
    assert occasion(Mailing(("a@example.com",)), result, before) == every
    assert occasion(Mailing(("a@example.com",), every_unstable=False), result, before) == first_only


def test_a_message_has_the_end_of_the_log() -> None:
    row = BuildRow(1, "f/j", 7, 1, Request({}, ""), "", 0, 0.0, 1.0, BAD)
    log = b"".join(b"line %d\n" % number for number in range(1000)) + b"\xff\n"
    mail = compose(Mailing(("a@example.com",)), row, None, "http://x/", log)
    assert mail is not None
    assert (mail.to, mail.subject) == (("a@example.com",), "Build failed: f/j #7")
    assert mail.text.splitlines()[:3] == ["See <http://x/>", "", "line 751"]
    assert mail.text.endswith("line 999\n\N{REPLACEMENT CHARACTER}\n")
    assert compose(Mailing(("a@example.com",)), replace(row, result=GOOD), None, "http://x/", log) is None
    assert isinstance(mail, Mail)
