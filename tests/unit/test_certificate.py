"""Certificates: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.errors import UsageError
from byoci.gate.certificate import PREDICATE, STATEMENT, Certificate, TestRecord, decode, encode, split
from byoci.model import Candidate, MergeMeta, TestSummary, Verdict, Vote, VoteValue

AT = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
texts = st.text(alphabet=st.characters(), max_size=20)  # lone surrogates too: a message need not be UTF-8
moments = st.datetimes(timezones=st.just(UTC))
names = st.dictionaries(texts, texts, max_size=3)

votes = st.builds(Vote, texts, st.sampled_from(VoteValue), moments, texts, st.none() | texts, st.none() | texts)
summaries = st.builds(
    TestSummary, st.integers(0, 10), st.lists(texts, max_size=2).map(tuple), st.integers(0, 3), st.integers(0, 3)
)
seconds = st.floats(0, 1e6)
verdicts = st.builds(
    Verdict, st.booleans(), texts, seconds, st.none() | summaries, texts, texts, st.none() | moments, names
)
records = st.builds(
    TestRecord, st.lists(texts, max_size=3).map(tuple), texts, names, st.booleans(),
    st.dictionaries(texts, seconds, max_size=2), st.lists(texts, max_size=2).map(tuple), texts, names, st.booleans(),
    texts, st.lists(texts, max_size=2).map(tuple),
)  # fmt: skip


@st.composite
def certificates(draw: st.DrawFn) -> Certificate:
    candidate = Candidate(draw(st.sampled_from(["git", "bzr"])), *(draw(texts) for _ in range(7)))
    project, proposal = draw(texts), draw(texts)
    meta = MergeMeta(draw(texts), draw(texts), draw(moments), project, proposal, candidate.landing_id)
    return Certificate(
        project, draw(texts), draw(texts), proposal, *(draw(texts) for _ in range(4)), candidate, meta, draw(texts),
        draw(st.none() | texts), tuple(draw(st.lists(votes, max_size=3))), draw(st.integers(0, 5)),
        draw(records), draw(verdicts),
    )  # fmt: skip


SAMPLE = Certificate(
    "hello", "/srv/hello", "local", "7", "Greet", "bob", "/srv/bob", "", Candidate(
        "git", "c" * 40, "d" * 40, "a" * 40, "b" * 40, "0" * 32, "Greet\n\nLanding-Id: …\n", "git 2.39.5",
    ),
    MergeMeta("Bot", "bot@example.com", AT, "hello", "7", "0" * 32), "Greet", "alice",
    (Vote("alice", VoteValue.APPROVE, AT, "", "b" * 40, "alice"),), 1, TestRecord(("make check",)),
    Verdict(True, "the tests passed", 1.5, None, "/log", "e" * 64, AT, {"backend": "bubblewrap"}),
)  # fmt: skip


@given(certificates())
def test_what_goes_in_comes_out(certificate: Certificate) -> None:
    line = encode(certificate)
    assert b"\n" not in line
    assert line.isascii()
    assert decode(line) == certificate


def test_it_is_an_in_toto_statement_with_slsa_provenance() -> None:
    told = json.loads(encode(SAMPLE))
    assert (told["_type"], told["predicateType"]) == (STATEMENT, PREDICATE)
    assert told["subject"] == [{"name": "/srv/hello", "digest": {"gitCommit": "c" * 40, "gitTree": "d" * 40}}]
    details = told["predicate"]["runDetails"]
    started, finished = (datetime.fromisoformat(details["metadata"][name]) for name in ("startedOn", "finishedOn"))
    assert finished - started == timedelta(seconds=1.5)
    digests = {item["name"]: item["digest"] for item in told["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert digests == {"base": {"gitCommit": "a" * 40}, "approved": {"gitCommit": "b" * 40}}


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The way to every text, number and null of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [deeper for key, inner in items for deeper in paths(inner, (*path, key))]
    return found or [path]


@pytest.mark.parametrize("path", paths(json.loads(encode(SAMPLE))), ids=str)
@pytest.mark.parametrize("change", ["x", 99, None, ["x"], "leave out"])
def test_a_field_that_is_changed_says_something_else_or_is_refused(path: tuple[str, ...], change: object) -> None:
    told = json.loads(encode(SAMPLE))
    holder = told
    for key in path[:-1]:
        holder = holder[key]
    if change == "leave out":
        del holder[path[-1]]
    elif holder[path[-1]] == change:
        return
    else:
        holder[path[-1]] = change
    line = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    found = None
    with contextlib.suppress(UsageError):
        found = decode(line)
    assert found != SAMPLE


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, encode(SAMPLE) + b" ", encode(SAMPLE)[:-1]]
)
def test_what_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(UsageError):
        decode(line)


@pytest.mark.parametrize("raw", [b"", b"{}", b"{}\n", b"{}\nno signature", b"-----BEGIN SSH SIGNATURE-----"])
def test_what_is_not_signed_is_refused(raw: bytes) -> None:
    with pytest.raises(UsageError):
        split(raw)
