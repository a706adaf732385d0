"""The model that landings are compared with: how it merges, and what a round of it does."""

from __future__ import annotations

import pytest

from landing_model import (
    Approval,
    Model,
    Node,
    Point,
    Proposal,
    Unforeseen,
    bases,
    brought_by,
    merge,
    passes,
    taken_out,
)

ROOT = Node((), {"left": "1", "right": "2"})


def on(*parents: Node, **files: str | None) -> Node:
    """A revision with some files changed, or None: gone."""
    changed = {**parents[0].files, **files}
    return Node(parents, {path: text for path, text in changed.items() if text is not None})


def test_each_side_of_a_merge_brings_what_it_changed() -> None:
    ours, theirs = on(ROOT, left="ours", new="n"), on(ROOT, right=None)
    assert merge(ours, theirs) == {"left": "ours", "new": "n"}


@pytest.mark.parametrize("text", ["theirs", None])
def test_what_both_sides_changed_conflicts_unless_they_agree(text: str | None) -> None:
    ours, theirs = on(ROOT, left="ours"), on(ROOT, left=text)
    assert merge(ours, theirs) == ["left"]
    assert merge(ours, on(ROOT, left="ours", right="r")) == {"left": "ours", "right": "r"}


def test_histories_that_criss_cross_are_not_foreseen() -> None:
    one, other = on(ROOT, left="one"), on(ROOT, right="other")
    ours, theirs = on(one, other, right="other"), on(other, one, left="one")
    assert set(bases(ours, theirs)) == {one, other}
    with pytest.raises(Unforeseen):
        merge(ours, theirs)


def test_a_revert_takes_out_what_a_merge_brought() -> None:
    topic = on(ROOT, left="new")
    trunk = on(on(ROOT, right="r"), topic, left="new")
    later = on(trunk, other="x")
    reverted = on(later, left="1")
    assert brought_by(reverted, topic) is trunk
    assert not taken_out(later, trunk)
    assert taken_out(reverted, trunk)


def test_two_odd_sides_fail_together_only() -> None:
    assert passes({"left": "odd 1", "right": "2"})
    assert not passes({"left": "odd 1", "right": "odd 2"})
    assert not passes({"other": "bad 1"})


def approved(model: Model, name: str, tip: Node, after: str | None = None) -> Proposal:
    model.branches[name] = tip
    made = Proposal(name, "bob", name, after, "Approved", Approval(tip, 1, "alice"))
    made.votes["alice"] = ("Approve", tip)
    model.proposals[name] = made
    return made


def test_a_round_lands_each_on_top_of_the_one_before_it() -> None:
    model = Model(ROOT)
    first = approved(model, "a", on(ROOT, left="l"), after="b")
    second = approved(model, "b", on(ROOT, right="r"))
    points = [step for step in model.round() if isinstance(step, Point)]
    assert [point.proposal for point in points] == ["b"] * 4 + ["a"] * 4
    assert [node.landing and node.landing.proposal for node in model.trunk.line()] == ["a", "b", None]
    assert model.trunk.files == {"left": "l", "right": "r"}
    assert {first.status, second.status} == {"Merged"}
    assert [step for step in model.round() if isinstance(step, Point)] == []


def test_trunk_that_moves_while_a_candidate_is_tested_makes_it_anew() -> None:
    model = Model(ROOT)
    proposal = approved(model, "a", on(ROOT, left="l"))
    steps = model.round()
    assert next(step for step in steps if isinstance(step, Point)).stage == "testing"
    model.trunk = on(ROOT, right="moved")
    stages = [step.stage for step in steps if isinstance(step, Point)]
    assert stages == ["checking again", "testing", "checking again", "publishing", "reporting"]
    assert model.trunk.files == {"left": "l", "right": "moved"}
    assert [note.what for note in proposal.notes] == ["landed"]


def test_what_a_dead_lander_published_is_told_once() -> None:
    model = Model(ROOT)
    proposal = approved(model, "a", on(ROOT, left="l"))
    for _ in model.round():
        if model.trunk is not ROOT:
            break
    assert proposal.notes == []
    for _ in range(2):
        assert [step for step in model.round() if isinstance(step, Point)] == []
    assert (proposal.status, [note.what for note in proposal.notes]) == ("Merged", ["landed"])


def test_a_refusal_keeps_a_proposal_from_landing() -> None:
    model = Model(ROOT)
    proposal = approved(model, "a", on(ROOT, left="l"))
    proposal.votes["carol"] = ("Needs Fixing", ROOT)
    assert not model.landable(proposal)
    proposal.votes["carol"] = ("Abstain", ROOT)
    assert model.landable(proposal)
