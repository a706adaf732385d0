"""What the dashboard foretells and follows: when those that wait will have landed, and the end of a running log."""

from __future__ import annotations

import http.server
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.jenkins.client import Jenkins
from byoci.model import Location, Outcome, Proposal, Status
from byoci.monitor import live
from byoci.monitor.board import Seen, Tile
from byoci.monitor.forecast import expected, record
from byoci.monitor.values import Freeze, Record, Started
from loopback import served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.monitor

START = datetime(2026, 1, 1, tzinfo=UTC)
AT = Location("/srv/x")
ENDED = Started(1, "t", "hello", "0", "x", "a", 0.0, 1, "", 10.0, 40.0, Outcome.LANDED, "abc", ())


def seen(id_: str, *, hotfix: bool = False) -> Seen:
    return Seen(Proposal("local", "hello", id_, id_, "bob", AT, AT, Status.APPROVED, START), (), "", hotfix)


def test_the_record_counts_what_was_decided() -> None:
    outcomes = (Outcome.LANDED, Outcome.TESTS_FAILED, Outcome.WAITING, Outcome.ERROR, Outcome.CONFLICT)
    landings = [replace(ENDED, outcome=outcome, ended=10.0 + 10 * took) for took, outcome in enumerate(outcomes, 1)]
    assert record(landings) == Record(4, 1, 15.0)
    assert record([replace(ENDED, ended=None, outcome=None)]) == Record()


def test_each_waits_for_those_before_it_and_for_what_lands_now() -> None:
    tile = Tile("hello", "/srv/trunk", "local", seen=(seen("1"), seen("2")), record=Record(1, 1, 30.0))
    assert expected(tile, 1000.0) == [1030.0, 1060.0]
    landing = replace(ENDED, started=990.0, ended=None, outcome=None)
    assert expected(replace(tile, landing=landing), 1000.0) == [1050.0, 1080.0]
    late = replace(landing, started=100.0)
    assert expected(replace(tile, landing=late), 1000.0) == [1030.0, 1060.0]
    frozen = replace(tile, seen=(seen("1", hotfix=True), seen("2")), freeze=Freeze("x", "alice", 1.0))
    assert expected(frozen, 1000.0) == [1030.0, None]
    assert (
        expected(replace(tile, trouble="away"), 1000.0) == expected(replace(tile, record=Record()), 1.0) == [None] * 2
    )


class Logging(http.server.BaseHTTPRequestHandler):
    """A controller with one running build."""

    log = b""
    status = 200

    def do_GET(self) -> None:
        start = int(parse_qs(urlsplit(self.path).query)["start"][0])
        self.send_response(self.status)
        self.send_header("X-Text-Size", str(len(self.log)))
        self.send_header("X-More-Data", "true")
        self.end_headers()
        self.wfile.write(self.log[start:])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def controller() -> Iterator[str]:
    with served(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Logging)) as url:
        yield url


def test_the_end_of_a_growing_log_is_kept_and_stays_while_the_controller_is_away(
    controller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PAUSE", 0.0)
    followed, landing, jenkins = live.LiveLog(), replace(ENDED, ended=None), Jenkins(controller)

    def read(log: bytes, status: int = 200) -> live.Tail:
        monkeypatch.setattr(Logging, "log", log)
        monkeypatch.setattr(Logging, "status", status)
        followed.read(jenkins, "land-hello", landing)
        assert followed.tail is not None
        return followed.tail

    assert read(b"one\ntwo").text() == "one\ntwo"
    assert read(b"one\ntwo\n\x1b[1mthree\x1b[2J\n").text() == "one\ntwo\nthree"
    away = read(b"one\ntwo\n\x1b[1mthree\x1b[2J\nfour", 500)
    assert (away.away, away.text()) == (True, "one\ntwo\nthree")
    again = read(b"one\ntwo\n\x1b[1mthree\x1b[2J\nfour")
    assert (again.away, again.text()) == (False, "one\ntwo\nthree\nfour")
    long = b"".join(b"line %d\n" % number for number in range(20_000))
    tail = read(long)
    assert (tail.data.count(b"\n"), tail.cut) == (live.LINES - 1, True)
    assert tail.text().endswith("line 19999")
    assert tail.text().startswith("line ")
    wide = read(long + b"x" * 40_000)
    assert (len(wide.data), wide.cut) == (live.KEPT, True)
    huge = long + b"x" * (5 << 20)
    assert (read(huge).data, read(huge + b"\nthe end").text()) == (b"", "the end")
    another = replace(landing, id=2)
    followed.read(jenkins, "land-hello", another)
    assert followed.tail is not None
    followed.end()
    assert followed.tail is None


@given(st.binary(max_size=200), st.booleans())
def test_whatever_a_build_prints_is_harmless_text(data: bytes, cut: bool) -> None:
    text = live.Tail(data, cut).text()
    assert not set(text) & set("\x1b\x00\x07\x08\u202e")
