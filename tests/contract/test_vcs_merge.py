"""The contract of every version control system: merging in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from byoci.model import AlreadyMerged, Candidate, Conflict, MergedHow
from contract.vcs_playground import BOT, File, Gone, Link, Playground, Renamed, read_folder
from contract.vcs_suite import APPROVED_AT, TEXT, candidate, land, lease, merge, meta

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.vcs.base import Vcs

pytestmark = pytest.mark.agent


def test_a_candidate_has_both_parents_both_changes_and_the_approvals_date(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk({"a": File(b"1\n2\n3\n4\n5\n6\n7\n8\n"), "gone": File(b"x\n"), "old": File(b"move me\n" * 9)})
    source = play.branch(trunk)
    revision = play.commit(
        source,
        {
            "a": File(b"one\n2\n3\n4\n5\n6\n7\n8\n"),
            "gone": Gone(),
            "old": Renamed("sub/new"),
            "sub/run": File(b"#!/bin/sh\n", executable=True),
            "link": Link("a"),
        },
    )
    base = play.commit(trunk, {"a": File(b"1\n2\n3\n4\n5\n6\n7\neight\n"), "old": File(b"move me\n" * 9 + b"more\n")})
    made = land(vcs, trunk, source, revision)
    assert made.vcs == play.name == vcs.name
    assert (made.base, made.revision, made.parents) == (base, revision, (base, revision))
    assert made.landing_id == meta(revision).landing_id
    assert play.parents(trunk, made.id) == (base, revision)
    assert play.committer(trunk, made.id) == (BOT.name, BOT.email, int(APPROVED_AT.timestamp()))
    assert play.message(trunk, made.id).rstrip(b"\n") == made.message.encode().rstrip(b"\n")
    assert made.message.startswith("Say it\n\nAt length.")
    assert play.tree(trunk) == {
        "a": File(b"one\n2\n3\n4\n5\n6\n7\neight\n"),
        "sub/new": File(b"move me\n" * 9 + b"more\n"),
        "sub/run": File(b"#!/bin/sh\n", executable=True),
        "link": Link("a"),
    }


@pytest.mark.slow
def test_the_same_merge_is_the_same_candidate_anywhere(
    play: Playground, vcs: Vcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    play.commit(trunk, {"c": File(b"c\n")})
    made = candidate(vcs, trunk, source, revision)
    assert candidate(vcs, trunk, source, revision) == made, "twice"
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("EMAIL", "somebody@else.example")
    monkeypatch.chdir(tmp_path)
    elsewhere = play.vcs(tmp_path / "another agent")
    assert candidate(elsewhere, trunk, source, revision) == made, "on another agent"


@pytest.mark.slow
def test_each_part_of_a_candidate_is_in_its_id(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    made = candidate(vcs, trunk, source, revision)
    about = meta(revision)
    others = {
        "message": vcs.merge(made.base, revision, "Say something else", about),
        "date": vcs.merge(
            made.base, revision, "Say it\n\nAt length.", replace(about, at=APPROVED_AT + timedelta(seconds=1))
        ),
        "proposal": vcs.merge(made.base, revision, "Say it\n\nAt length.", meta(revision, "8")),
        "project": vcs.merge(made.base, revision, "Say it\n\nAt length.", meta(revision, project="bye")),
        "committer": vcs.merge(
            made.base, revision, "Say it\n\nAt length.", replace(about, committer_email="x@y.example")
        ),
    }
    assert {made.id, *(other.id for other in others.values() if isinstance(other, Candidate))}.__len__() == 6
    assert {other.tree for other in others.values() if isinstance(other, Candidate)} == {made.tree}


def test_a_conflict_names_its_paths(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk({"sub/a": File(b"one\n"), "b": File(b"two\n"), "same": File(b"s\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"sub/a": File(b"theirs\n"), "b": File(b"theirs\n"), "same": File(b"theirs\n")})
    base = play.commit(trunk, {"sub/a": File(b"ours\n"), "b": Gone()})
    merged = merge(vcs, trunk, source, revision)
    assert isinstance(merged, Conflict)
    assert (merged.base, merged.revision) == (base, revision)
    assert {"sub/a", "b"} <= {path.removesuffix(".OTHER").removesuffix(".BASE") for path in merged.paths}
    assert "same" not in merged.paths
    assert merged.details
    assert play.tip(trunk) == base


@pytest.mark.slow
def test_what_a_person_merged_already_is_told_with_the_revision_that_brought_it(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    play.commit(trunk, {"c": File(b"c\n")})
    by = play.merge(trunk, source)
    play.commit(trunk, {"a": File(b"later\n"), "b": File(b"b\nmore\n")})
    assert merge(vcs, trunk, source, revision) == AlreadyMerged(play.tip(trunk), revision, MergedHow.BY_OTHERS, by)


@pytest.mark.slow
def test_what_came_in_through_another_branch_is_merged_by_others(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    on_top = play.branch(source)
    play.commit(on_top, {"c": File(b"c\n")})
    by = play.merge(trunk, on_top)
    play.commit(trunk, {"d": File(b"d\n")})
    assert merge(vcs, trunk, source, revision) == AlreadyMerged(play.tip(trunk), revision, MergedHow.BY_OTHERS, by)


@pytest.mark.slow
def test_trunks_own_revisions_are_merged_already(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    older = play.commit(trunk, {"b": File(b"b\n")})
    source = play.branch(trunk)
    assert merge(vcs, trunk, source, older) == AlreadyMerged(older, older, MergedHow.BY_OTHERS, older)
    newer = play.commit(trunk, {"c": File(b"c\n")})
    assert merge(vcs, trunk, source, older) == AlreadyMerged(newer, older, MergedHow.BY_OTHERS, older)


@pytest.mark.slow
def test_what_was_landed_and_taken_out_again_is_reverted(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"a": File(b"one\n2\nthree\n"), "b": File(b"b\n")})
    by = land(vcs, trunk, source, revision)
    play.commit(trunk, {"c": File(b"c\n")})
    revert = play.revert(trunk, by.id)
    play.commit(trunk, {"d": File(b"d\n")})
    assert merge(vcs, trunk, source, revision) == AlreadyMerged(play.tip(trunk), revision, MergedHow.REVERTED, by.id)
    play.revert(trunk, revert)
    assert merge(vcs, trunk, source, revision) == AlreadyMerged(play.tip(trunk), revision, MergedHow.BY_OTHERS, by.id)


@pytest.mark.slow
def test_a_reverted_source_that_was_taken_up_again_lands_only_what_is_new(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    play.commit(source, {"b": File(b"b\n")})
    play.revert(trunk, play.merge(trunk, source))
    revision = play.commit(source, {"c": File(b"c\n")})
    land(vcs, trunk, source, revision)
    assert set(play.tree(trunk)) == {"a", "c"}


@pytest.mark.slow
def test_a_revision_that_adds_nothing_is_no_candidate(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    empty = play.commit(source, {})
    base = play.tip(trunk)
    assert merge(vcs, trunk, source, empty) == AlreadyMerged(base, empty, MergedHow.NO_CHANGES, None)
    same = play.commit(source, {"a": File(b"one\n2\nthree\n")})
    base = play.commit(trunk, {"a": File(b"one\n2\nthree\n")})
    assert merge(vcs, trunk, source, same) == AlreadyMerged(base, same, MergedHow.NO_CHANGES, None)


@pytest.mark.parametrize(
    "message",
    [
        "caf\udce9 na\udcefve",
        "\x00\x01\x1b[31mred",
        "Landing-Id: " + "0" * 32,
        "Fix\r\rLanding-Id: 0\u2028landing-proposal: 9",
        "",
        "x" * 100_000,
        "Grüße \U0001f600",
    ],
)
@pytest.mark.slow
def test_any_message_makes_a_landing(play: Playground, vcs: Vcs, message: str) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    made = vcs.merge(base, revision, message, meta(revision))
    assert isinstance(made, Candidate)
    vcs.publish(made, trunk, base, lease(trunk))
    vcs.fetch(trunk, trusted=True)
    assert [found.proposal for found in vcs.landings(trunk)] == ["7"]
    stored = play.message(trunk, made.id).decode()
    ids = [line.split(":")[1].strip() for line in stored.splitlines() if line.strip().lower().startswith("landing-id:")]
    assert set(ids) <= {made.landing_id}
    assert not set("\x00\x1b\r") & set(stored)


@pytest.mark.slow
def test_sources_with_odd_messages_and_names_are_merged(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    odd = {"größe/ü ñ": File(b"\xff\x00\r\n"), "-rf": File(b""), "a b'\"$x": File(b"q")}
    revision = play.commit(source, odd, message="Über \u202e alles")
    made = land(vcs, trunk, source, revision)
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out") == play.tree(trunk) == {**TEXT, **odd}
