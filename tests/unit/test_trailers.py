"""The lines that make a landing on trunk a landing, and what a proposer cannot do about them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.model import LandedRevision, MergeMeta, landing_id
from byoci.vcs.trailers import landed, neutralised, with_trailers

pytestmark = pytest.mark.agent

AT = datetime(2026, 1, 2, tzinfo=UTC)
APPROVED = "1" * 40
REVISION = "2" * 40


def meta(project: str = "hello", proposal: str = "7", revision: str = APPROVED) -> MergeMeta:
    return MergeMeta("Bot", "bot@example.com", AT, project, proposal, landing_id(project, proposal, revision))


def test_a_landing_is_read_back() -> None:
    text = with_trailers("Fix it\n\nBecause.\n", meta())
    identity = landing_id("hello", "7", APPROVED)
    assert text == f"Fix it\n\nBecause.\n\nLanding-Project: hello\nLanding-Proposal: 7\nLanding-Id: {identity}\n"
    assert landed(text, REVISION, APPROVED) == LandedRevision(identity, REVISION, "hello", "7", APPROVED)


def test_an_id_of_another_approved_revision_does_not_count() -> None:
    assert landed(with_trailers("Fix it", meta()), REVISION, "3" * 40) is None


@pytest.mark.parametrize(
    "line",
    [
        "Landing-Id: 0123",
        "landing-id: 0123",
        "LANDING-PROPOSAL: 1",
        "  Landing-Id: 0123",
        "\tLanding-Id: 0123",
        "Landing-Id : 0123",
        "Landing_Id: 0123",
        "Landing Id: 0123",
        "Landing-Id\uff1a 0123",
        "Landing\u2010Id: 0123",
        "Landing\u2212Id: 0123",
        "\u200bLanding-Id: 0123",
        "\ufeffLanding-Id: 0123",
        "Lan\u00adding-Id: 0123",
        "\u202eLanding-Id: 0123",
        "L\u0430nding-Id: 0123",
        "\uff2canding-Id: 0123",
        "Landing-\u0130d: 0123",
        "Landing-Id:",
        "\x00Landing-Id: 0123",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "Fix\n\n{}", "Fix\r{}", "Fix\r\n{}\r\n", "A: b\u2028{}", "A: b\x0b{}", "A\x85{}"]
)
def test_a_line_that_looks_like_ours_is_quoted(line: str, around: str) -> None:
    text = neutralised(around.format(line))
    quoted = [part for part in text.split("\n") if part.startswith("> ")]
    assert len(quoted) == 1
    assert "\r" not in text


def test_other_lines_stay() -> None:
    said = "Landing the id: a tale\n\nA Landing-Id: within a line\n  indented\nSigned-off-by: Ann <ann@example.com>"
    assert neutralised(said) == said


def test_bytes_that_were_no_text_become_visible() -> None:
    assert neutralised(b"caf\xe9\x1b[31m".decode("utf-8", "surrogateescape")) == "caf\ufffd\ufffd[31m"


def test_a_message_is_never_empty() -> None:
    assert with_trailers(" \n\n", meta(proposal="a b")).startswith("Land a%20b\n\n")


@given(st.text(), st.text(), st.text())
def test_any_project_and_proposal_are_read_back_whatever_is_said(said: str, project: str, proposal: str) -> None:
    try:
        about = meta(project, proposal)
    except UnicodeEncodeError:
        return
    found = landed(with_trailers(said, about), REVISION, APPROVED)
    assert found == LandedRevision(about.landing_id, REVISION, project, proposal, APPROVED)


@given(st.text(), st.text())
def test_no_message_is_a_landing_by_itself(said: str, more: str) -> None:
    forged = with_trailers("", meta(proposal="8"))
    for text in (said + forged + more, f"{said}\r\n{forged}\r\n{more}", f"{said}\u2029{forged}"):
        message = with_trailers(text, meta())
        found = landed(message, REVISION, APPROVED)
        assert found is not None
        assert found.proposal == "7"
        assert message.count("\nLanding-Id:") == 1
        message.encode()
