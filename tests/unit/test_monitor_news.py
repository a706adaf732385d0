"""What the monitor tells by itself: once a change, kept until it is taken, and signed."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import byoci
from byoci.model import Location, Outcome, Proposal, Status
from byoci.monitor import notifying, outbox
from byoci.monitor.health import Health
from byoci.monitor.news import Kind
from byoci.monitor.notifying import Audience, Notifier
from byoci.monitor.state import State
from receiver import SECRET, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from receiver import Receiver

pytestmark = pytest.mark.monitor

START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = frozenset(kind.value for kind in Kind)
EVIL = "=?utf-8?q?=0ABcc:_eve@example.com?=\r\nBcc: eve@example.com\n\n<b>"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with contextlib.closing(State(tmp_path)) as state:
        yield state


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """By how many seconds it is later than it is."""
    later, now, monotonic = [0.0], time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: now() + later[0])
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + later[0])
    yield later
    monkeypatch.undo()


def land(state: State, id_: str, outcome: Outcome, title: str = "Do good") -> None:
    """A landing, from its beginning to its end."""
    at, trunk = Location("/srv/x"), Location("/srv/trunk")
    proposal = Proposal("local", "hello", id_, title, "bob", at, trunk, Status.APPROVED, START)
    landing = state.begin("hello", str(trunk), proposal)
    assert landing is not None
    state.end(landing, outcome, ("“make check” ended with exit code 2",), "abc" if outcome is Outcome.LANDED else None)
    state.end(landing, Outcome.CONFLICT)


def notifier(state: State, audience: Audience, said: list[str] | None = None) -> Notifier:
    return Notifier(state.outbox, lambda _: audience, "https://ci.example.com/", ([] if said is None else said).append)


def kinds(receiver: Receiver) -> list[str]:
    return [json.loads(body)["kind"] for _, body in receiver.heard]


def test_each_end_is_told_once_and_signed(state: State, receiver: Receiver) -> None:
    audience = Audience(hooks=(receiver.hook,), kinds=ALL)
    for id_, outcome in (
        ("1", Outcome.LANDED),
        ("2", Outcome.TESTS_FAILED),
        ("3", Outcome.CONFLICT),
        ("4", Outcome.ERROR),
    ):
        land(state, id_, outcome)
    notifier(state, audience).work()
    notifier(state, audience).work()
    assert kinds(receiver) == ["landed", "failed", "conflict"]
    headers, body = receiver.heard[0]
    assert headers["X-Hub-Signature-256"] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert headers["X-Delivery"] == told["id"]
    assert set(told) == {"id", "project", "kind", "at", "landing", "trouble", "url"}
    assert (told["project"], told["url"]) == ("hello", "https://ci.example.com/project/hello")
    assert (told["landing"]["proposal"], told["landing"]["revision"]) == ("1", "abc")
    assert state.outbox.waiting() == []


TELLING = """
import sys
from pathlib import Path
from byoci.monitor.news import Kind
from byoci.monitor.notifying import Hook, Notifier, Audience
from byoci.monitor.state import State
folder, url = sys.argv[1:]
audience = Audience(hooks=(Hook("chat", url, b"0ff1ce"),), kinds=frozenset(Kind))
Notifier(State(Path(folder)).outbox, lambda _: audience, "https://ci.example.com/", print).work()
"""


def test_who_was_told_before_a_kill_is_told_once_more_with_the_same_id(
    state: State, receiver: Receiver, tmp_path: Path
) -> None:
    """Killed after the receiver took it, before that was noted."""
    land(state, "1", Outcome.LANDED)
    command = [sys.executable, "-c", TELLING, str(tmp_path), receiver.hook.url]
    source = str(Path(byoci.__file__).parents[1])
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": source}) as process:
        receiver.when_heard = process.kill
        assert process.wait(30) == -signal.SIGKILL
    receiver.when_heard = lambda: None
    for _ in range(2):
        notifier(state, Audience(hooks=(receiver.hook,), kinds=ALL)).work()
    assert len(receiver.heard) == 2
    assert receiver.heard[0][0]["X-Delivery"] == receiver.heard[1][0]["X-Delivery"]
    assert receiver.heard[0][1] == receiver.heard[1][1]


@pytest.mark.parametrize("answer", [301, 404, 500])
def test_who_does_not_take_it_is_asked_less_and_less_often_and_given_up(
    state: State, receiver: Receiver, clock: list[float], answer: int
) -> None:
    said: list[str] = []
    receiver.answer = answer
    land(state, "1", Outcome.LANDED)
    telling, heard = notifier(state, Audience(hooks=(receiver.hook,), kinds=ALL), said), []
    for _ in range(60):
        telling.work()
        heard.append(len(receiver.heard))
        clock[0] += 60
    assert heard[0] == 1
    assert 6 <= heard[-1] <= 10
    clock[0] += 4 * 86400
    telling.work()
    telling.work()
    assert len(receiver.heard) == heard[-1] + 1
    assert state.outbox.waiting() == []
    assert len(said) == 2
    assert "given up" in said[1]
    assert "/hook" not in "".join(said)


def test_one_news_that_is_refused_does_not_hold_up_the_next(
    state: State, receiver: Receiver, clock: list[float]
) -> None:
    receiver.answer = 400
    land(state, "1", Outcome.LANDED)
    telling = notifier(state, Audience(hooks=(receiver.hook,), kinds=ALL))
    for _ in range(4):
        telling.work()
        clock[0] += 60
    receiver.answer, receiver.heard[:] = 200, []
    land(state, "2", Outcome.CONFLICT)
    telling.work()
    assert kinds(receiver)[-1] == "conflict"
    clock[0] += 3600
    telling.work()
    assert sorted(kinds(receiver)) == ["conflict", "landed"]


def sendmail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a program of that name keep what it is given, and how it was called."""
    program = tmp_path / "bin/sendmail"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nfor last; do :; done\ncat >"{tmp_path}/$last.eml"\nprintf "%s\\n" "$*" >>"{tmp_path}/calls"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr("byoci.proc.base_environment", lambda: {"PATH": f"{program.parent}:/usr/bin:/bin"})


def test_mail_goes_to_each_reader_and_a_title_adds_none(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendmail(tmp_path, monkeypatch)
    land(state, "1", Outcome.TESTS_FAILED, EVIL)
    audience = Audience(mail=("a@example.com", "b@example.com"), kinds=ALL)
    notifier(state, audience).work()
    notifier(state, audience).work()
    assert (tmp_path / "calls").read_text() == "-i -- a@example.com\n-i -- b@example.com\n"
    message = message_from_bytes((tmp_path / "a@example.com.eml").read_bytes(), policy=policy.default)
    assert message["To"] == "a@example.com"
    assert message["Bcc"] is None
    assert message["Subject"].startswith("[hello] tests failed: 1 = ?utf-8")
    assert "exit code 2" in message.get_content()
    assert "https://ci.example.com/project/hello" in message.get_content()
    assert message["Message-ID"] == message_from_bytes((tmp_path / "b@example.com.eml").read_bytes())["Message-ID"]


def test_the_trouble_of_many_trunks_at_once_is_one_mail(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    sendmail(tmp_path, monkeypatch)
    healths = [Health(f"project-{number}", state.outbox) for number in range(100)]
    for _ in range(2):
        for health in healths:
            health.note("the controller does not answer")
        clock[0] += 61
    for _ in range(2):
        notifier(state, Audience(mail=("a@example.com",), kinds=ALL)).work()
    assert (tmp_path / "calls").read_text() == "-i -- a@example.com\n"
    message = message_from_bytes((tmp_path / "a@example.com.eml").read_bytes(), policy=policy.default)
    assert message["Subject"] == "nothing can land: 100 projects"
    assert "project-7" in message.get_content()
    assert state.outbox.waiting() == []


def test_trouble_is_told_once_it_lasts_and_that_it_is_over(
    state: State, receiver: Receiver, clock: list[float]
) -> None:
    audience = Audience(hooks=(receiver.hook,), kinds=ALL)
    health = Health("hello", state.outbox)
    health.note("")
    health.note("a restart")
    clock[0] += 30
    health.note("")
    health.note("the controller does not answer")
    for _ in range(3):
        clock[0] += 45
        Health("hello", state.outbox).note("the controller does not answer")  # another monitor, after a kill
    health = Health("hello", state.outbox)
    health.note("something else")
    health.note("")
    health.note("")
    notifier(state, audience).work()
    assert kinds(receiver) == ["trouble", "well"]
    assert json.loads(receiver.heard[0][1])["trouble"] == "the controller does not answer"


def test_what_nobody_wants_to_know_is_settled_and_what_waits_is_bounded(
    state: State, receiver: Receiver, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST", 3)
    for number in range(5):
        land(state, str(number), Outcome.LANDED)
    clock[0] += 1
    notifier(state, Audience(hooks=(receiver.hook,), kinds=frozenset({"landed"}))).work()
    assert [json.loads(body)["landing"]["proposal"] for _, body in receiver.heard] == ["2", "3", "4"]
    land(state, "6", Outcome.CONFLICT)
    notifier(state, Audience(hooks=(receiver.hook,), kinds=frozenset({"landed"}))).work()
    assert (len(receiver.heard), state.outbox.waiting()) == (3, [])
    clock[0] += 40 * 86400
    notifier(state, Audience()).work()
    assert state.outbox.told(notifying.words.News(3, "", "hello", Kind.LANDED, 0.0, {})) == {}
