"""The contract of every version control system: publishing, and what trunk then tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci import model
from byoci.errors import (
    ByociError,
    PublishRefusedError,
    RevisionGoneError,
    TrunkMovedError,
    UnreachableError,
)
from byoci.model import Candidate, LandedRevision, Location, TrunkRevision
from contract.vcs_playground import ANN, BOT, File, Gone, Link, Playground, Renamed, read_folder
from contract.vcs_suite import MESSAGE, TEXT, candidate, land, lease, meta

if TYPE_CHECKING:
    from byoci.vcs.base import Vcs

pytestmark = pytest.mark.agent


# publish


def test_publishing_moves_trunk_to_the_candidate(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    assert play.tip(trunk) == vcs.tip(trunk) == vcs.fetch(trunk, trusted=True) == made.id
    assert play.tree(trunk) == {**TEXT, "b": File(b"b\n")}


@pytest.mark.slow
def test_the_default_branch_can_be_published_to(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = land(vcs, Location(trunk.url), source, play.commit(source, {"b": File(b"b\n")}))
    assert play.tip(trunk) == made.id


def test_a_trunk_that_moved_keeps_what_a_person_pushed(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    pushed = play.commit(trunk, {"c": File(b"c\n")})
    with pytest.raises(TrunkMovedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    with pytest.raises(TrunkMovedError):
        vcs.publish(made, trunk, pushed, lease(trunk))  # a candidate that does not stand on that tip
    assert play.tip(trunk) == pushed
    again = land(vcs, trunk, source, made.revision)
    assert play.parents(trunk, again.id) == (pushed, made.revision)


@pytest.mark.slow
def test_another_process_checks_a_candidates_base_too(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    pushed = play.commit(trunk, {"c": File(b"c\n")})
    vcs.fetch(trunk, trusted=True)
    forged = replace(made, base=pushed)
    with pytest.raises(TrunkMovedError):
        play.vcs(tmp_path / "private").publish(forged, trunk, pushed, lease(trunk))
    assert play.tip(trunk) == pushed


@pytest.mark.slow
def test_a_trunk_that_was_rewritten_is_not_put_back(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    first = play.tip(trunk)
    play.commit(trunk, {"oops": File(b"a secret\n")})
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    play.rewrite(trunk, first)
    with pytest.raises(TrunkMovedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == first


@pytest.mark.slow
def test_publishing_twice_is_a_trunk_that_moved(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    for process in (vcs, play.vcs(tmp_path / "private")):
        with pytest.raises(TrunkMovedError):
            process.publish(made, trunk, made.base, lease(trunk))
    later = play.commit(trunk, {"c": File(b"c\n")})
    with pytest.raises(TrunkMovedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == later


def test_another_trunks_lease_proves_nothing(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    with pytest.raises(PublishRefusedError):
        vcs.publish(made, trunk, made.base, lease(source))
    assert play.tip(trunk) == made.base


@pytest.mark.slow
def test_a_trunk_that_is_gone_is_unreachable(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    Path(trunk.url).rename(f"{trunk.url}.away")
    with pytest.raises(UnreachableError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    Path(f"{trunk.url}.away").rename(trunk.url)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id


@pytest.mark.slow
def test_nothing_else_is_published(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source, other = play.branch(trunk), play.branch(trunk)
    unapproved = play.commit(other, {"x": File(b"x\n")})
    vcs.fetch(other, unapproved)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    with pytest.raises(RevisionGoneError):
        vcs.fetch(trunk, unapproved)
    assert play.tip(trunk) == made.id


# a trunk that a person has checked out


@pytest.mark.slow
def test_a_checked_out_trunk_gets_its_files(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk({**TEXT, "gone": File(b"x\n"), "old": File(b"o\n")}, checked_out=True)
    source = play.branch(trunk)
    revision = play.commit(
        source, {"b/c": File(b"b\n", executable=True), "gone": Gone(), "old": Renamed("new"), "l": Link("a")}
    )
    made = land(vcs, trunk, source, revision)
    want = {**TEXT, "b/c": File(b"b\n", executable=True), "new": File(b"o\n"), "l": Link("a")}
    assert play.tip(trunk) == made.id
    assert read_folder(play.folder(trunk)) == play.tree(trunk) == want
    after = play.commit(trunk, {"d": File(b"d\n")})
    assert play.parents(trunk, after) == (made.id,)
    assert play.tree(trunk) == {**want, "d": File(b"d\n")}


@pytest.mark.slow
def test_a_checked_out_trunk_with_changes_is_refused_whole(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk({**TEXT, "b": File(b"b\n")}, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"a": File(b"theirs\n"), "b": File(b"theirs\n")}))
    (play.folder(trunk) / "a").write_bytes(b"half an idea\n")
    with pytest.raises(PublishRefusedError) as caught:
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert "not committed" in caught.value.brief
    assert "a" in caught.value.details
    assert caught.value.resolution
    assert play.tip(trunk) == made.base
    assert read_folder(play.folder(trunk)) == {"a": File(b"half an idea\n"), "b": File(b"b\n")}
    (play.folder(trunk) / "a").write_bytes(TEXT["a"].content)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert read_folder(play.folder(trunk)) == {"a": File(b"theirs\n"), "b": File(b"theirs\n")}


@pytest.mark.slow
def test_a_file_of_the_persons_own_is_not_overwritten(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"a": File(b"theirs\n"), "notes": File(b"theirs\n")}))
    (play.folder(trunk) / "notes").write_bytes(b"mine\n")
    with pytest.raises(PublishRefusedError) as caught:
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert "not committed" in caught.value.brief
    assert "notes" in caught.value.details
    assert play.tip(trunk) == made.base
    assert read_folder(play.folder(trunk)) == {**TEXT, "notes": File(b"mine\n")}


# landings


@pytest.mark.slow
def test_landings_come_newest_first_down_to_a_known_one(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    begin = play.tip(trunk)
    landed = []
    for number in range(3):
        source = play.branch(trunk)
        revision = play.commit(source, {f"new-{number}": File(b"n\n")})
        made = land(vcs, trunk, source, revision)
        landed.insert(0, LandedRevision(made.landing_id, made.id, "hello", "7", revision))
        play.commit(trunk, {"a": File(b"by hand %d\n" % number)})
    by_hand = play.branch(trunk)
    play.commit(by_hand, {"hand": File(b"h\n")})
    play.merge(trunk, by_hand)
    vcs.fetch(trunk, trusted=True)
    assert list(vcs.landings(trunk)) == landed
    assert list(vcs.landings(trunk, after=begin)) == landed
    assert list(vcs.landings(trunk, after=landed[1].revision)) == landed[:1]
    assert list(vcs.landings(trunk, after=play.tip(trunk))) == []
    other = play.vcs(tmp_path / "another agent")
    other.fetch(trunk, trusted=True)
    assert list(other.landings(trunk)) == landed


@pytest.mark.slow
def test_landings_are_as_of_the_last_fetch(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    other = play.vcs(tmp_path / "another agent")
    with pytest.raises(ByociError):
        list(other.landings(trunk))
    other.fetch(trunk, trusted=True)
    land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    assert list(other.landings(trunk)) == []
    other.fetch(trunk, trusted=True)
    assert len(list(other.landings(trunk))) == 1


@pytest.mark.slow
def test_a_generator_of_landings_may_be_left(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    for number in range(2):
        source = play.branch(trunk)
        land(vcs, trunk, source, play.commit(source, {f"n{number}": File(b"n\n")}))
    vcs.fetch(trunk, trusted=True)
    newest = next(vcs.landings(trunk))
    assert newest.revision == play.tip(trunk)
    assert len(list(vcs.landings(trunk))) == 2


@pytest.mark.parametrize("person", [ANN, BOT])
@pytest.mark.slow
def test_a_landing_that_is_imitated_by_a_message_does_not_count(play: Playground, vcs: Vcs, person: object) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    real = vcs.merge(base, revision, "Real", meta(revision))
    assert isinstance(real, Candidate)
    assert isinstance(person, type(ANN))
    play.commit(trunk, {"c": File(b"c\n")}, message=real.message, person=person)
    play.commit(source, {"d": File(b"d\n")}, message=real.message, person=person)
    play.merge(trunk, source)
    vcs.fetch(trunk, trusted=True)
    assert list(vcs.landings(trunk)) == []


@pytest.mark.slow
def test_a_landing_of_an_imitated_committer_stays_out(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    made = vcs.merge(base, revision, "Say it", replace(meta(revision), committer_email="else@example.com"))
    assert isinstance(made, Candidate)
    vcs.publish(made, trunk, base, lease(trunk))
    vcs.fetch(trunk, trusted=True)
    assert list(vcs.landings(trunk)) == []


def test_a_landing_whose_id_is_not_its_digest_does_not_count(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    forged = replace(meta(revision), landing_id=model.landing_id("hello", "8", revision))
    made = vcs.merge(base, revision, "Say it", forged)
    assert isinstance(made, Candidate)
    vcs.publish(made, trunk, base, lease(trunk))
    vcs.fetch(trunk, trusted=True)
    assert list(vcs.landings(trunk)) == []


# history


@pytest.mark.slow
def test_history_is_trunks_own_newest_first_with_parents(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    first = play.tip(trunk)
    source = play.branch(trunk)
    play.commit(source, {"b": File(b"b\n")})
    made = land(vcs, trunk, source, play.commit(source, {"c": File(b"c\n")}))
    own = play.commit(trunk, {"d": File(b"d\n")})
    vcs.fetch(trunk, trusted=True)
    assert list(vcs.history(trunk)) == [
        TrunkRevision(own, (made.id,)),
        TrunkRevision(made.id, (first, made.revision)),
        TrunkRevision(first, ()),
    ]


def test_history_needs_a_fetch(play: Playground, vcs: Vcs) -> None:
    with pytest.raises(UnreachableError):
        vcs.history(play.trunk(TEXT))


@pytest.mark.slow
def test_a_landing_can_be_made_again_from_what_trunk_holds(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    play.commit(trunk, {"c": File(b"c\n")})
    other = play.vcs(tmp_path / "an auditor's")
    other.fetch(trunk, trusted=True)
    assert other.merge(made.base, made.revision, MESSAGE, meta(made.revision)) == made
