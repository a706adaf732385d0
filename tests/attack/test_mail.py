"""Mail whose subject and text a stranger has a hand in: it says what it says, and to nobody else."""

from __future__ import annotations

import base64
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byoci.web.mail import Mail, encoded

pytestmark = pytest.mark.monitor

HEADERS = set(
    "Subject To Date Auto-Submitted Message-ID Content-Type Content-Transfer-Encoding MIME-Version".split()  # noqa: SIM905
)
INJECTED = "x\r\nBcc: eve@example.com\r\n\r\nfree text"
HIDDEN = f"=?utf-8?b?{base64.b64encode(INJECTED.encode()).decode()}?="


@pytest.mark.slow
@example("x\nBcc: eve@example.com")
@example("x\r\n\r\nBcc: eve@example.com")
@example(HIDDEN)
@example(f"{HIDDEN} \N{LATIN SMALL LETTER E WITH ACUTE}")
@example(f"=?us-ascii?q?=?==?utf-8?q?=0D=0ABcc:_eve@example.com?= {HIDDEN}")
@example("=?utf-8?q?=0ABcc:_eve@example.com?=")
@example("==?utf-8?q?=0ABcc:_eve@example.com?=")
@example("x\u2028Bcc: eve@example.com\x0bBcc: eve@example.com\x85\x1c")
@example("long " * 10_000)
@example("\ud800 half \udcff")
@example("<script>\u202egnp.exe")
@given(st.text(st.characters(), max_size=80))
def test_no_text_becomes_a_header_or_another_reader(text: str) -> None:
    message = message_from_bytes(encoded(Mail(("alice@example.com",), text, text, "1f")), policy=policy.default)
    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(HEADERS)
    assert message["To"] == "alice@example.com"
    assert len(message["Subject"].splitlines()) <= 1
    assert "=?" not in message["Subject"]
    told = message.get_content()
    assert told.encode("utf-8", "replace").replace(b"\r\n", b"\n").split() == text.encode("utf-8", "replace").split()
