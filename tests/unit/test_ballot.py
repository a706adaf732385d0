"""The ballot's rules, one story each."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from byoci.gate.ballot import Judgement, Policy, explain, judge, what_if
from byoci.model import Ballot, Location, Proposal, ReviewRequest, Status, Vote, VoteValue

pytestmark = pytest.mark.agent

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW, OLD = "b" * 40, "a" * 40
PROPOSAL = Proposal(
    forge="local",
    project="hello",
    id="7",
    title="Greet politely",
    author="carol",
    source=Location("/src/carol", "polite"),
    target=Location("/src/hello", "main"),
    status=Status.APPROVED,
    created_at=START,
    approved_revision=NOW,
    approved_at=START,
    approved_by="alice",
)
TEAMS = {
    "core": frozenset({"alice", "bob", "carol"}),
    "security": frozenset({"alice"}),
    "everybody": frozenset({"alice", "bob", "carol", "dave"}),
}
POLICY = Policy(trusted=frozenset({"core"}))


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def vote(
    voter: str, value: str = "Approve", minute: int = 10, review_type: str = "", revision: str | None = NOW
) -> Vote:
    return Vote(voter, VoteValue(value), at(minute), review_type, revision, voter)


def asked(reviewer: str, minute: int = 1, review_type: str = "") -> ReviewRequest:
    return ReviewRequest(reviewer, at(minute), review_type, reviewer in TEAMS, "carol")


def ballot(*items: Vote | ReviewRequest, trusted: tuple[str, ...] = (), **proposal: object) -> Ballot:
    return Ballot(
        dataclasses.replace(PROPOSAL, **proposal),  # type: ignore[arg-type]
        tuple(item for item in items if isinstance(item, Vote)),
        tuple(item for item in items if isinstance(item, ReviewRequest)),
        TEAMS,
        frozenset(trusted),
    )


def judged(
    *items: Vote | ReviewRequest, policy: Policy = POLICY, tip: str | None = NOW, **proposal: object
) -> Judgement:
    return judge(ballot(*items, **proposal), policy, tip)  # type: ignore[arg-type]


def why(judgement: Judgement) -> str:
    assert not judgement.landable
    return "\n".join(judgement.reasons)


def test_one_trusted_approval_of_the_approved_revision_lands() -> None:
    judgement = judged(vote("alice"))
    assert judgement == Judgement(True, (), (vote("alice"),), (), (), (), ())


def test_nobody_has_voted() -> None:
    judgement = judged()
    assert judgement.reasons == ("it has 0 of the 1 approvals by trusted reviewers that it needs",)
    assert judgement.missing == ("1 more approval by: alice, bob",)


def test_the_minimum_wants_distinct_people() -> None:
    policy = dataclasses.replace(POLICY, minimum=2)
    assert "1 of the 2" in why(judged(vote("alice", minute=2), vote("alice", minute=3), policy=policy))
    assert judged(vote("alice"), vote("bob"), policy=policy).landable


def test_a_minimum_that_nobody_can_reach_says_so() -> None:
    judgement = judged(vote("alice"), policy=Policy(minimum=3, trusted=frozenset({"core"})))
    assert "2 more approvals are needed, but only 1 of the trusted people can still give one" in judgement.missing[0]


def test_the_status_alone_decides_where_the_project_wants_no_approval() -> None:
    assert judged(policy=dataclasses.replace(POLICY, minimum=0)).landable


@pytest.mark.parametrize("value", ["Disapprove", "Needs Fixing", "Needs Information", "Resubmit"])
@pytest.mark.parametrize("revision", [NOW, OLD, None])
def test_a_trusted_refusal_blocks_on_whatever_revision(value: str, revision: str | None) -> None:
    judgement = judged(vote("alice"), vote("bob", value, revision=revision))
    assert f"bob voted {value}" in why(judgement)
    assert judgement.missing == ("bob has to change that vote",)


def test_a_refusal_stands_until_the_same_person_votes_otherwise() -> None:
    assert judged(vote("alice", "Needs Fixing", 2), vote("alice", "Approve", 3)).landable
    assert "alice voted Needs Fixing" in why(judged(vote("alice", "Approve", 2), vote("alice", "Needs Fixing", 3)))


def test_of_two_votes_at_the_same_moment_the_refusal_counts() -> None:
    assert "alice voted Resubmit" in why(judged(vote("alice", "Resubmit", 2), vote("alice", "Approve", 2)))


def test_a_replaced_vote_is_told_as_ignored() -> None:
    judgement = judged(vote("alice", "Needs Fixing", 2), vote("alice", "Approve", 3))
    assert judgement.ignored == ((vote("alice", "Needs Fixing", 2), "the same person voted again later"),)


def test_an_approval_of_another_revision_does_not_count() -> None:
    judgement = judged(vote("alice", revision=OLD))
    assert "0 of the 1" in why(judgement)
    assert judgement.ignored[0][1] == f"it was given on revision {OLD[:12]}, not on {NOW[:12]}"


def test_a_vote_of_a_forge_that_keeps_no_revision_counts() -> None:
    assert judged(vote("alice", revision=None)).landable


def test_the_authors_own_approval_counts_only_where_allowed() -> None:
    judgement = judged(vote("carol"), trusted=("carol",), policy=Policy())
    assert "0 of the 1" in why(judgement)
    assert judgement.ignored == ((vote("carol"), "it is the author's own approval"),)
    assert judged(vote("carol"), trusted=("carol",), policy=Policy(allow_self=True), approved_by=None).landable


def test_allowing_self_approval_does_not_make_the_author_trusted() -> None:
    assert "0 of the 1" in why(judged(vote("dave"), author="dave", policy=dataclasses.replace(POLICY, allow_self=True)))


def test_the_authors_own_refusal_blocks_if_he_is_trusted() -> None:
    assert "carol voted Resubmit" in why(judged(vote("alice"), vote("carol", "Resubmit")))
    assert judged(vote("alice"), vote("dave", "Resubmit"), author="dave").landable


def test_the_authors_own_refusal_answers_for_his_team() -> None:
    assert judged(asked("core"), vote("carol", "Resubmit")).pending == ()


def test_a_refusal_is_no_approval() -> None:
    assert judged(vote("bob", "Resubmit")).reasons == (
        "bob voted Resubmit",
        "it has 0 of the 1 approvals by trusted reviewers that it needs",
    )


def test_before_the_approval_votes_are_about_the_sources_tip() -> None:
    judgement = judged(vote("alice", revision=OLD), vote("bob"), status=Status.NEEDS_REVIEW, approved_revision=None)
    assert judgement.approvals == (vote("bob"),)
    assert judgement.reasons == ("its status is Needs review, not Approved",)


def test_the_authors_own_approval_does_not_answer_for_his_team() -> None:
    judgement = judged(asked("core"), vote("carol"), vote("zoe"))
    assert judgement.pending == (asked("core"),)


def test_without_a_list_the_forges_own_trust_holds() -> None:
    policy = Policy()
    assert "0 of the 1" in why(judged(vote("bob"), trusted=("alice",), policy=policy))
    assert judged(vote("alice"), trusted=("alice",), policy=policy).landable


def test_a_person_called_like_a_trusted_team_is_not_trusted() -> None:
    judgement = judged(vote("core"))
    assert "0 of the 1" in why(judgement)
    assert judgement.ignored == ((vote("core"), "core is not a trusted reviewer of this project"),)


def test_names_compare_exactly() -> None:
    policy = Policy(trusted=frozenset({"alice"}))
    for name in ("Alice", "alice ", "\u0430lice"):  # the last begins with a Cyrillic letter
        assert not judged(vote(name), policy=policy).landable


def test_an_untrusted_refusal_neither_blocks_nor_answers() -> None:
    assert judged(vote("alice"), vote("mallory", "Disapprove")).landable
    judgement = judged(asked("everybody", 20), vote("alice"), vote("dave", "Disapprove", 30))
    assert judgement.pending == (asked("everybody", 20),)
    assert judgement.refusals == ()


def test_an_unanswered_request_waits() -> None:
    judgement = judged(asked("bob"), vote("alice"))
    assert why(judgement) == "bob was asked for a review and has not answered"
    assert judgement.missing == ("a vote by bob",)


@pytest.mark.parametrize("value", list(VoteValue))
def test_any_vote_of_any_type_answers_the_voters_own_request(value: VoteValue) -> None:
    judgement = judged(asked("bob", review_type="ui"), vote("alice"), vote("bob", value, review_type="db"))
    assert judgement.pending == ()
    assert [answer.vote.voter for answer in judgement.answered] == ["bob"]


def test_abstain_answers_the_own_request_and_nothing_else() -> None:
    judgement = judged(asked("alice"), asked("core"), vote("alice", "Abstain"))
    assert judgement.pending == (asked("core"),)
    assert "0 of the 1" in why(judgement)


def test_a_volunteers_abstention_answers_no_team() -> None:
    assert judged(asked("core"), vote("alice", "Abstain"), vote("dave")).pending == (asked("core"),)


def test_an_untrusted_person_who_was_asked_answers_but_does_not_count() -> None:
    judgement = judged(asked("zoe"), vote("zoe"))
    assert judgement.pending == ()
    assert why(judgement) == "it has 0 of the 1 approvals by trusted reviewers that it needs"
    assert judged(asked("zoe"), vote("zoe"), vote("alice")).landable
    assert judged(asked("zoe"), vote("zoe", "Abstain"), vote("alice")).landable


def test_the_refusal_of_an_untrusted_person_who_was_asked_leaves_the_request_open() -> None:
    judgement = judged(asked("zoe"), vote("zoe", "Needs Fixing"), vote("alice"))
    assert why(judgement) == (
        "zoe was asked for a review and has not answered; Needs Fixing: zoe is not a trusted reviewer of this project"
    )
    assert judgement.missing == ("a new vote by zoe, or by an administrator for zoe",)


def test_an_outdated_approval_answers_no_request() -> None:
    judgement = judged(asked("bob"), asked("core"), vote("bob", revision=OLD), vote("alice"))
    assert judgement.pending == (asked("bob"),)
    assert f"not on {NOW[:12]}" in why(judgement)


@pytest.mark.parametrize("value", ["Approve", "Needs Fixing"])
def test_somebody_asked_by_name_answers_for_all_his_teams(value: str) -> None:
    requests = asked("alice"), asked("core"), asked("security"), asked("everybody"), asked("core", 2)
    judgement = judged(*requests, vote("alice", value))
    assert judgement.pending == ()
    assert {answer.vote.voter for answer in judgement.answered} == {"alice"}


@pytest.mark.parametrize(
    ("team_type", "vote_type", "answered"),
    [
        ("", "", True),
        ("", "db", True),
        ("db", "db", True),
        ("DB", "db", True),
        ("db", "", False),
        ("db", "ui", False),
    ],
)
def test_the_review_type_of_a_named_vote(team_type: str, vote_type: str, answered: bool) -> None:
    judgement = judged(asked("alice"), asked("core", review_type=team_type), vote("alice", review_type=vote_type))
    assert judgement.landable is answered


def test_a_named_vote_without_a_type_has_the_type_that_was_asked_for() -> None:
    requests = asked("alice", review_type="db"), asked("core", review_type="db")
    assert judged(*requests, vote("alice")).landable
    assert not judged(*requests, vote("alice", review_type="ui")).landable


def test_of_two_who_were_asked_by_name_the_first_to_vote_answered() -> None:
    judgement = judged(asked("alice"), asked("bob"), asked("core"), vote("alice", minute=20), vote("bob", minute=10))
    assert {answer.request.reviewer: answer.vote.voter for answer in judgement.answered}["core"] == "bob"


def test_somebody_asked_by_name_does_not_answer_for_other_peoples_teams() -> None:
    assert judged(asked("bob"), asked("security"), vote("bob")).pending == (asked("security"),)


def test_a_volunteer_answers_one_request_only() -> None:
    judgement = judged(asked("core", 1), asked("security", 2), asked("core", 3), vote("alice"))
    assert judgement.pending == (asked("security", 2), asked("core", 3))


def test_a_volunteer_answers_the_same_type_before_no_type() -> None:
    requests = asked("core", 1), asked("core", 2, "db")
    assert judged(*requests, vote("alice", review_type="db")).pending == (asked("core", 1),)
    assert judged(*requests, vote("alice", review_type="ui")).pending == (asked("core", 2, "db"),)
    assert judged(*requests, vote("alice")).pending == (asked("core", 2, "db"),)


def test_two_volunteers_answer_two_requests_to_one_team() -> None:
    assert judged(asked("core", 1), asked("core", 2), vote("alice", minute=5), vote("bob", minute=4)).landable


def test_a_volunteers_earlier_vote_does_not_answer_a_later_request() -> None:
    assert judged(vote("alice", minute=5), asked("core", 6)).pending == (asked("core", 6),)


def test_a_member_who_was_asked_leaves_the_oldest_request_to_no_volunteer() -> None:
    judgement = judged(asked("bob", 9), asked("core", 1), asked("everybody", 2), vote("bob", minute=20), vote("alice"))
    assert judgement.landable
    assert {answer.vote.voter for answer in judgement.answered} == {"bob"}


def test_an_untrusted_member_answers_for_his_team_but_does_not_count() -> None:
    judgement = judged(asked("everybody"), vote("dave"))
    assert judgement.pending == ()
    assert "0 of the 1" in why(judgement)


def test_a_team_without_anybody_who_could_vote() -> None:
    request = ReviewRequest("ghosts", at(1), "", True)
    assert judged(request, vote("alice")).missing == (
        "a member for the team ghosts, who votes: there is none who could",
    )


@pytest.mark.parametrize("status", [Status.NEEDS_REVIEW, Status.WORK_IN_PROGRESS, *(s for s in Status if s.final)])
def test_a_status_other_than_approved_waits(status: Status) -> None:
    assert str(status).lower() in why(judged(vote("alice"), status=status, approved_revision=None)).lower()


def test_a_forge_without_the_status_needs_a_revision_all_the_same() -> None:
    policy = dataclasses.replace(POLICY, needs_status=False)
    assert judged(vote("alice"), policy=policy, status=Status.NEEDS_REVIEW).landable
    assert not judged(vote("alice"), policy=policy, status=Status.NEEDS_REVIEW, approved_revision=None).landable
    assert not judged(vote("alice"), policy=policy, status=Status.WORK_IN_PROGRESS).landable
    assert not judged(vote("alice"), policy=policy, status=Status.MERGED).landable


def test_approved_without_a_revision_waits() -> None:
    assert why(judged(vote("alice"), approved_revision=None)) == "no revision is known to be the approved one"


def test_a_source_that_moved_on_waits() -> None:
    judgement = judged(vote("alice"), tip=OLD)
    assert "the source moved on after its approval" in why(judgement)
    assert judgement.missing == ("look at the new revision and approve it again",)


def test_a_source_that_nobody_looked_at_is_no_reason() -> None:
    assert judged(vote("alice"), tip=None).landable


@pytest.mark.parametrize("status", list(Status))
def test_the_prerequisite_has_to_be_merged(status: Status) -> None:
    before = dataclasses.replace(PROPOSAL, id="6", status=status)
    judgement = judge(dataclasses.replace(ballot(vote("alice"), prerequisite="6"), prerequisite=before), POLICY, NOW)
    assert judgement.landable is (status is Status.MERGED)
    if not judgement.landable:
        assert judgement.reasons == (f"its prerequisite, proposal 6, is {status}, not Merged",)


def test_a_prerequisite_that_the_forge_does_not_show_waits() -> None:
    assert "proposal 6, cannot be read" in why(judged(vote("alice"), prerequisite="6"))
    other = dataclasses.replace(PROPOSAL, id="5", status=Status.MERGED)
    judgement = judge(dataclasses.replace(ballot(vote("alice"), prerequisite="6"), prerequisite=other), POLICY, NOW)
    assert "proposal 6, cannot be read" in why(judgement)


def test_somebody_untrusted_cannot_pin_a_revision_that_nobody_saw() -> None:
    """Where votes carry no revision, they may have been given before the last push."""
    assert "mallory set the status to Approved" in why(judged(vote("alice", revision=None), approved_by="mallory"))
    assert judged(vote("alice", revision=None), approved_by="bob").landable
    assert judged(vote("alice", revision=None), approved_by=None).landable
    assert judged(vote("alice"), approved_by="mallory").landable


def test_what_if_changes_only_the_named_votes() -> None:
    before = ballot(asked("bob", review_type="db"), asked("core", review_type="db"), vote("alice", "Needs Fixing"))
    after = what_if(before, {"alice": VoteValue.ABSTAIN, "bob": VoteValue.APPROVE}, at(60))
    assert judge(after, POLICY, NOW).landable
    assert not judge(before, POLICY, NOW).landable
    assert after.requests == before.requests
    assert what_if(before, {}, at(60)) == before


def test_what_if_replaces_a_vote_and_keeps_its_type() -> None:
    after = what_if(ballot(vote("alice", "Resubmit", review_type="db")), {"alice": VoteValue.APPROVE}, at(60))
    assert after.votes == (Vote("alice", VoteValue.APPROVE, at(60), "db", NOW),)


def test_the_ballot_in_words() -> None:
    text = explain(
        ballot(
            asked("bob", review_type="db"),
            asked("core"),
            vote("alice", review_type="ui"),
            dataclasses.replace(vote("mallory", "Disapprove"), recorded_by="root"),
        ),
        POLICY,
        NOW,
    )
    assert text == (
        "Proposal 7 “Greet politely” by carol may not land.\n"
        "Status: Approved; bbbbbbbbbbbb was approved by alice\n"
        "Votes that count (1 of 1 approvals):\n"
        "  - alice: Approve on bbbbbbbbbbbb, type ui\n"
        "Votes that do not count:\n"
        "  - mallory: Disapprove on bbbbbbbbbbbb, recorded by root: mallory is not a trusted reviewer of this project\n"
        "Requests for a review:\n"
        "  - the team core: answered by alice (Approve)\n"
        "  - bob (type db): open\n"
        "Why not:\n"
        "  - bob (type db) was asked for a review and has not answered\n"
        "What is missing:\n"
        "  - a vote by bob (type db)"
    )


def test_words_show_foreign_text_harmlessly() -> None:
    name = "\x1b[2J\n  - alice: Approve\u202e\u2028  - alice: Approve\x85"
    judged_ballot = ballot(vote(name), asked(name), vote("alice"), title=name * 100, id=name, approved_by=name)
    text = explain(judged_ballot, POLICY, NOW)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert [line for line in text.splitlines() if line.startswith("  - alice: Approve")] == [
        "  - alice: Approve on bbbbbbbbbbbb"
    ]
    assert max(map(len, text.splitlines())) < 1000
