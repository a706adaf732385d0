"""Who signs in with a password: what is kept of it, who is let in, and how often one may try."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING

import pytest

from byoci.controller.state import State
from byoci.errors import UsageError
from byoci.identity import throttle
from byoci.identity.access import Access, User
from byoci.identity.people import People, fits, hashed
from byoci.identity.throttle import Throttle, TooManyTriesError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.controller

WORD = "correct horse ß"


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    people = People(tmp_path)
    yield people
    people.close()


@pytest.fixture
def access(tmp_path: Path, people: People) -> Iterator[Access]:
    state = State(tmp_path / "controller.sqlite")
    yield Access(people, state.sessions, "secret", "cookie")
    state.close()


def basic(name: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{word}".encode()).decode()


@pytest.mark.slow
def test_a_password_is_kept_as_what_cannot_be_turned_back(people: People, tmp_path: Path) -> None:
    people.add("ann", WORD)
    people.add("robot", None)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert WORD.encode() not in kept
    assert b"scrypt$14$8$5$" in kept
    assert (tmp_path / "people.sqlite").stat().st_mode & 0o077 == 0
    assert people.names() == {"ann": True, "robot": False}
    assert hashed(WORD) != hashed(WORD)
    assert fits(WORD, people.stored("ann"))
    assert fits("correct horse ß", people.stored("ann"))  # typed another way
    assert not fits(WORD + "x", people.stored("ann"))
    assert people.stored("robot") == people.stored("nobody")
    assert not fits("", people.stored("nobody"))


@pytest.mark.slow
def test_names_and_passwords_that_cannot_be(people: People) -> None:
    people.add("ann", WORD)
    for name in ("", "a:b", "../x", "a b", "-x", "x" * 101, "ann"):
        with pytest.raises(UsageError):
            people.add(name, WORD)
    for word in ("", "short", "x" * 1025):
        with pytest.raises(UsageError, match="8 to 1024"):
            people.add("bob", word)
    for change in (lambda: people.remove("bob"), lambda: people.set_password("bob", WORD)):
        with pytest.raises(UsageError, match="no person"):
            change()


@pytest.mark.slow
def test_who_is_let_in(access: Access, people: People) -> None:
    async def caller(name: str, word: str) -> str | None:
        return await access.caller(basic(name, word), "127.0.0.1")

    async def story() -> None:
        assert await caller("ann", WORD) is None
        people.add("ann", WORD)
        assert await caller("ann", WORD) == "ann"
        assert await access.authenticate("ann", WORD) == User("ann")
        assert await caller("ann", "wrong") is None
        assert await caller("bob", WORD) is None
        assert await caller("ann", "") is None
        token, id_ = access.make_token("ann", "of a test")
        assert await caller("ann", token) == "ann"
        assert await access.authenticate("ann", token) is None
        people.set_password("ann", "another one")
        assert await caller("ann", WORD) is None
        assert await caller("ann", "another one") == "ann"
        access.revoke_token("ann", id_)
        assert await caller("ann", token) is None
        people.remove("ann")
        assert await caller("ann", "another one") is None
        assert not access.is_known("ann")

    asyncio.run(story())


@pytest.mark.slow
def test_guessing_is_slowed_down_and_who_knows_is_not(
    access: Access, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add("ann", WORD)

    async def story() -> None:
        assert await access.authenticate("ann", WORD, "here")
        for _ in range(5):
            assert await access.authenticate("ann", "wrong", "here") is None
        with pytest.raises(TooManyTriesError):
            await access.authenticate("ann", "wrong", "here")
        assert await access.authenticate("ann", WORD, "here")  # it was right a moment ago
        assert await access.authenticate("ann", "wrong", "there") is None  # somebody else's guesses do not count
        tries = [access.authenticate("ann", f"guess {n}", "elsewhere") for n in range(20)]
        told = await asyncio.gather(*tries, return_exceptions=True)
        assert told.count(None) == 5
        assert sum(isinstance(one, TooManyTriesError) for one in told) == 15

    asyncio.run(story())


def test_tokens_that_an_earlier_version_kept_elsewhere_are_taken_over_once(people: People, tmp_path: Path) -> None:
    with contextlib.closing(State(tmp_path / "controller.sqlite")) as state:
        state._database.execute("INSERT INTO token VALUES ('digest', 'ann', 'older')")
        state.hand_over_tokens(people.tokens.add)
        assert people.tokens.person_of("digest") == "ann"
        people.tokens.drop_all("ann")
        state.hand_over_tokens(people.tokens.add)
    assert people.tokens.people() == []


def test_waits_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now)
    guard, who, waits = Throttle(), ("here", "ann"), []
    for _ in range(20):
        guard.was_wrong(who)
        try:
            guard.check(who)
        except TooManyTriesError as error:
            waits.append(error.seconds)
            now += error.seconds
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 300
    guard.check(who)
    guard.was_right(who)
    guard.was_wrong(who)
    guard.check(who)
