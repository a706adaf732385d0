"""The local forge: who may do what, what is remembered, what is refused."""

from __future__ import annotations

import dataclasses
import os
import pwd
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.errors import UnavailableError, UsageError
from byoci.forge.local import LocalForge
from byoci.forge.local_input import parse_status, parse_vote
from byoci.forge.local_people import People, user_name
from byoci.forge.local_rows import MIGRATIONS
from byoci.model import Location, Proposal, Status, VoteValue
from byoci.sqlite import open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.agent

TRUNK = Location("/srv/hello", "main")
TEAMS = {"leads": ("rita", "inner"), "inner": ("tom",)}
# What a database of each schema held; every new migration adds its own.
SAMPLES = {
    1: """
    INSERT INTO proposal VALUES (1, 'hello', 'First', '', 'ann', '/a', 'b', '/srv/hello', 'main', 'Superseded',
        '2026-11-01T12:00:00.000000+00:00', NULL, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO proposal VALUES (2, 'hello', 'Second', 'Why', 'ann', '/a', '', '/srv/hello', 'main', 'Approved',
        '2026-11-01T12:00:01.000000+00:00', 'r1', '2026-11-01T12:30:00+00:00', 'rita', 1, NULL, NULL);
    UPDATE proposal SET superseded_by = 2 WHERE id = 1;
    INSERT INTO vote VALUES (2, 'rita', 'Approve', '2026-11-01T12:20:00.000000+00:00', 'db', 'r1', 'root');
    INSERT INTO request VALUES (1, 2, 'leads', 1, '2026-11-01T12:10:00.000000+00:00', '', 'ann');
    INSERT INTO comment VALUES (1, 2, 'rita', '2026-11-01T12:20:00.000000+00:00', 'Good.', NULL, 'root');
    INSERT INTO event VALUES (1, 2, '2026-11-01T12:20:00.000000+00:00', 'rita', 'root', 'voted', '{"vote": "Approve"}');
    """,
}


@pytest.fixture
def as_user(tmp_path: Path) -> Iterator[Callable[[str], LocalForge]]:
    """The one forge, as a given user sees it."""
    opened: dict[str, LocalForge] = {}

    def forge(user: str) -> LocalForge:
        if user not in opened:
            opened[user] = LocalForge(
                tmp_path / "forge.sqlite",
                user=user,
                teams=TEAMS,
                administrators=("root",),
                trusted={"hello": ("leads",), "other": ("olga",)},
            )
        return opened[user]

    yield forge
    for one in opened.values():
        one.close()


def propose(forge: LocalForge, branch: str = "b", **options: str) -> Proposal:
    return forge.create("hello", Location("/home/x", branch), TRUNK, f"Merge {branch}", **options)  # type: ignore[arg-type]


def test_numbers_start_at_one_and_are_never_used_again(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    assert [propose(forge, branch).id for branch in "abc"] == ["1", "2", "3"]
    with pytest.raises(UsageError):
        propose(forge, "a")
    assert propose(forge, "d").id == "4"


def test_who_acts_is_the_user(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    as_user("rita").review(made.id, VoteValue.APPROVE, revision="r1", comment="Good.\r\n")
    (vote,) = as_user("tom").ballot_of(made).votes
    (comment,) = as_user("tom").comments(made.id)
    assert (made.author, vote.voter, vote.recorded_by, vote.revision) == ("ann", "rita", "rita", "r1")
    assert (comment.author, comment.recorded_by, comment.text) == ("rita", "rita", "Good.")


def test_an_administrator_acts_for_others_and_it_is_recorded(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("root")
    made = propose(forge, acting_for="ann")
    forge.request_review(made.id, "leads", acting_for="ann")
    forge.review(made.id, VoteValue.APPROVE, revision="r1", acting_for="rita")
    forge.add_comment(made.id, "Good.", acting_for="tom")
    changed = forge.change_status(made.id, Status.APPROVED, revision="r1", acting_for="rita")
    ballot = forge.ballot_of(made)
    assert (changed.author, changed.approved_by) == ("ann", "rita")
    assert [(vote.voter, vote.recorded_by) for vote in ballot.votes] == [("rita", "root")]
    assert [request.requested_by for request in ballot.requests] == ["ann"]
    assert [(said.author, said.recorded_by) for said in forge.comments(made.id)] == [("tom", "root")]
    assert [(event.what, event.person, event.recorded_by) for event in forge.events(made.id)] == [
        ("created", "ann", "root"),
        ("review requested", "ann", "root"),
        ("voted", "rita", "root"),
        ("commented", "tom", "root"),
        ("status set", "rita", "root"),
    ]


def test_nobody_else_acts_for_others(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    for user in ("ann", "rita", "mallory"):
        forge = as_user(user)
        for act in (
            lambda forge=forge: propose(forge, "x", acting_for="tom"),
            lambda forge=forge: forge.request_review(made.id, "leads", acting_for="tom"),
            lambda forge=forge: forge.review(made.id, VoteValue.APPROVE, revision="r1", acting_for="tom"),
            lambda forge=forge: forge.add_comment(made.id, "x", acting_for="tom"),
            lambda forge=forge: forge.change_status(made.id, Status.REJECTED, acting_for="tom"),
            lambda forge=forge: forge.supersede(made.id, Location("/x"), acting_for="tom"),
        ):
            with pytest.raises(UsageError, match=f"{user} may not act for tom") as caught:
                act()
            assert "root" in caught.value.details
    assert len(as_user("ann").events(made.id)) == 1
    propose(as_user("ann"), "own", acting_for="ann")


def test_acting_for_somebody_gives_his_rights_and_no_more(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    with pytest.raises(UsageError, match="mallory may not set proposal 1 to Approved"):
        as_user("root").change_status(made.id, Status.APPROVED, revision="r1", acting_for="mallory")
    with pytest.raises(UsageError, match="leads is a team"):
        as_user("root").review(made.id, VoteValue.APPROVE, revision="r1", acting_for="leads")


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    ("user", "decides", "leads_back"),
    [("root", True, True), ("rita", True, True), ("tom", True, True), ("ann", False, True), ("olga", False, False)],
)
def test_who_may_set_which_status(
    as_user: Callable[[str], LocalForge], user: str, status: Status, decides: bool, leads_back: bool
) -> None:
    made = propose(as_user("ann"))
    deciding = status in (Status.APPROVED, Status.REJECTED, Status.MERGED)
    if decides if deciding else leads_back:
        assert as_user(user).change_status(made.id, status, revision="r1").status is status
    else:
        with pytest.raises(UsageError, match=f"{user} may not set proposal 1 to {status}") as caught:
            as_user(user).change_status(made.id, status, revision="r1")
        assert caught.value.details == f"These may: {'' if deciding else 'ann, '}rita, root, tom."
        assert as_user(user).proposal(made.id) == made


def test_only_the_author_and_reviewers_ask_for_reviews_and_supersede(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    with pytest.raises(UsageError, match="may not ask for reviews"):
        as_user("mallory").request_review(made.id, "leads")
    with pytest.raises(UsageError, match="may not set proposal 1 to Superseded"):
        as_user("mallory").supersede(made.id, Location("/home/mallory"))
    assert as_user("ann").ballot_of(made).requests == ()
    as_user("mallory").review(
        made.id, VoteValue.DISAPPROVE, revision="r1"
    )  # anybody may; whether it counts is the ballot's
    as_user("mallory").add_comment(made.id, "Boo.")


def test_the_lander_has_to_be_somebody_who_may(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    with pytest.raises(UsageError, match="may not set proposal 1 to Merged"):
        as_user("mallory").mark_merged(made, "t1")
    with pytest.raises(UsageError, match="may not set proposal 1 to Rejected"):
        as_user("mallory").set_status(made, Status.REJECTED)
    for status in (Status.APPROVED, Status.MERGED):
        with pytest.raises(UsageError, match="needs a revision"):
            as_user("rita").set_status(made, status)


def test_without_administrators_it_is_the_files_owner(tmp_path: Path) -> None:
    owner = user_name(os.getuid())
    with LocalForge(tmp_path / "forge.sqlite", user=owner) as forge:
        made = propose(forge, acting_for="ann")
        assert forge.ballot_of(made).trusted == {owner}
        assert forge.change_status(made.id, Status.APPROVED, revision="r1").approved_by == owner
    with LocalForge(tmp_path / "forge.sqlite", user="somebody-else") as forge, pytest.raises(UsageError):
        propose(forge, "x", acting_for="ann")


def test_a_user_without_a_name_has_a_number() -> None:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    nameless = next(uid for uid in range(54321, 65000) if uid not in taken)
    assert user_name(nameless) == f"uid-{nameless}"
    if os.getuid() in taken:
        assert user_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name


def test_an_approval_is_pinned_dated_and_signed(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    with pytest.raises(UsageError, match="needs the revision"):
        as_user("rita").change_status(made.id, Status.APPROVED)
    first = as_user("rita").change_status(made.id, Status.APPROVED, revision="r1")
    assert as_user("tom").change_status(made.id, Status.APPROVED, revision="r1") == first
    second = as_user("tom").change_status(made.id, Status.APPROVED, revision="r2")
    assert (first.approved_revision, first.approved_by) == ("r1", "rita")
    assert (second.approved_revision, second.approved_by) == ("r2", "tom")
    assert second.approved_at is not None
    assert second.approved_at >= first.approved_at  # type: ignore[operator]
    assert [event.what for event in as_user("ann").events(made.id)] == ["created", "status set", "status set"]


def test_merged_keeps_who_approved_what(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    approved = as_user("rita").change_status(made.id, Status.APPROVED, revision="r1")
    as_user("root").mark_merged(as_user("root").proposal(made.id), "t1")
    assert as_user("ann").proposal(made.id) == dataclasses.replace(approved, status=Status.MERGED, merged_revision="t1")


def test_merged_by_hand_without_a_revision(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    assert as_user("rita").change_status(made.id, Status.MERGED).merged_revision is None


@pytest.mark.parametrize("status", [status for status in Status if status.final])
def test_nobody_votes_or_asks_on_what_is_over(as_user: Callable[[str], LocalForge], status: Status) -> None:
    made = propose(as_user("ann"))
    as_user("rita").change_status(made.id, status)
    with pytest.raises(UsageError, match=f"proposal 1 is {status}") as caught:
        as_user("rita").review(made.id, VoteValue.APPROVE, revision="r1")
    assert "open it again" in caught.value.resolution
    with pytest.raises(UsageError, match=f"proposal 1 is {status}"):
        as_user("ann").request_review(made.id, "rita")
    as_user("rita").add_comment(made.id, "Thanks all the same.")


def test_asking_a_person_again_changes_the_type_and_a_team_is_asked_again(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    made = propose(forge)
    for reviewer, kind in (("rita", ""), ("rita", " DB "), ("leads", ""), ("leads", ""), ("nobody-known", "")):
        forge.request_review(made.id, reviewer, review_type=kind)
    asked = [(request.reviewer, request.team, request.review_type) for request in forge.ballot_of(made).requests]
    assert asked == [("rita", False, "db"), ("leads", True, ""), ("leads", True, ""), ("nobody-known", False, "")]


def test_superseding(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    before = propose(forge, "before")
    old = propose(forge, "old", description="Why.\n", prerequisite=before.id)
    forge.request_review(old.id, "leads", review_type="db")
    forge.request_review(old.id, "tom")
    as_user("rita").review(old.id, VoteValue.NEEDS_FIXING, revision="r1")
    as_user("rita").change_status(old.id, Status.APPROVED, revision="r1")
    new = as_user("tom").supersede(old.id, Location("/home/tom", "new"), source_tip="r9")
    ballot = forge.ballot_of(new)
    assert (new.title, new.description, new.target, new.prerequisite) == ("Merge old", "Why.", TRUNK, before.id)
    assert (new.author, new.source, new.status) == ("tom", Location("/home/tom", "new"), Status.NEEDS_REVIEW)
    assert new.approved_revision is None
    assert ballot.votes == ()
    assert [(r.reviewer, r.team, r.review_type) for r in ballot.requests] == [("leads", True, "db"), ("tom", False, "")]
    gone = forge.proposal(old.id)
    assert (gone.status, gone.approved_revision) == (Status.SUPERSEDED, None)
    assert forge.superseded_by(old.id) == new.id
    assert forge.superseded_by(new.id) is None
    assert [event.details.get("by") for event in forge.events(old.id)][-1] == new.id


def test_what_is_over_is_not_superseded(as_user: Callable[[str], LocalForge]) -> None:
    made = propose(as_user("ann"))
    new = as_user("ann").supersede(made.id, Location("/home/x", "new"))
    with pytest.raises(UsageError, match="proposal 1 is Superseded"):
        as_user("ann").supersede(made.id, Location("/home/x", "newer"))
    as_user("rita").change_status(new.id, Status.REJECTED)
    assert as_user("ann").supersede(new.id, Location("/home/x", "newer")).id == "3"


def test_a_successor_waits_for_its_prerequisites_successor(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    first = propose(forge, "first")
    second = propose(forge, "second", prerequisite=first.id)
    for branch in ("first-b", "first-c"):
        first = forge.supersede(first.id, Location("/home/x", branch))
    assert forge.supersede(second.id, Location("/home/x", "second-b")).prerequisite == first.id


def test_a_failed_succession_changes_nothing(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    old, other = propose(forge, "old"), propose(forge, "other")
    with pytest.raises(UsageError, match=r"proposal 2 .* is open already"):
        forge.supersede(old.id, other.source)
    assert forge.proposal(old.id) == old
    assert len(forge.events(old.id)) == 1


def test_one_open_proposal_from_a_source_to_a_target(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    made = propose(forge)
    with pytest.raises(UsageError, match="proposal 1 from /home/x;b to /srv/hello;main is open already"):
        propose(forge)
    forge.create("hello", made.source, Location("/srv/hello", "stable"), "Elsewhere")
    as_user("rita").change_status(made.id, Status.REJECTED)
    again = propose(forge)
    with pytest.raises(UsageError, match=f"proposal {again.id} .* is open already"):
        forge.change_status(made.id, Status.NEEDS_REVIEW)
    assert forge.proposal(made.id).status is Status.REJECTED


def test_a_prerequisite_exists_is_alive_and_goes_to_the_same_target(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    first = propose(forge, "first")
    elsewhere = forge.create("hello", Location("/home/x", "e"), Location("/srv/hello", "stable"), "Elsewhere")
    for number, why in (("9", "no proposal 9"), ("x", "no proposal x"), (elsewhere.id, "its target is")):
        with pytest.raises(UsageError, match=why):
            propose(forge, "second", prerequisite=number)
    as_user("rita").change_status(first.id, Status.REJECTED)
    with pytest.raises(UsageError, match="cannot be a prerequisite: it is Rejected"):
        propose(forge, "second", prerequisite=first.id)
    as_user("rita").change_status(first.id, Status.MERGED)
    assert propose(forge, "second", prerequisite=first.id).prerequisite == first.id
    assert len(forge.list_proposals()) == 3


def test_lists(as_user: Callable[[str], LocalForge]) -> None:
    forge = as_user("ann")
    assert list(forge.list_proposals()) == []
    mine = propose(forge)
    other = forge.create("other", Location("/a"), Location("/b"), "Other")
    as_user("rita").change_status(mine.id, Status.REJECTED)
    assert [found.id for found in forge.list_proposals()] == [mine.id, other.id]
    assert [found.id for found in forge.list_proposals("other")] == [other.id]
    assert list(forge.list_proposals("nothing")) == []
    for read in (forge.comments, forge.events, forge.superseded_by):
        with pytest.raises(UsageError, match="there is no proposal 7"):
            read("7")


def test_the_record_cannot_be_rewritten_by_accident(as_user: Callable[[str], LocalForge], tmp_path: Path) -> None:
    made = propose(as_user("ann"))
    database = open_database(tmp_path / "forge.sqlite", MIGRATIONS, kind="local forge")
    for statement in ("DELETE FROM event", "UPDATE event SET person = 'nobody'"):
        with pytest.raises(Exception, match="history is not rewritten"):
            database.execute(statement)
    database.close()
    assert [event.person for event in as_user("ann").events(made.id)] == ["ann"]


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS) + 1))
def test_a_forge_of_every_earlier_schema_is_brought_up_to_date(tmp_path: Path, number: int) -> None:
    database = open_database(tmp_path / "forge.sqlite", MIGRATIONS[:number], kind="local forge")
    database.executescript(SAMPLES[number])
    database.close()
    with LocalForge(tmp_path / "forge.sqlite", user="ann", teams=TEAMS) as forge:
        assert forge.superseded_by("1") == "2"
        ballot = forge.ballot_of(forge.proposal("2"))
        assert (ballot.proposal.status, ballot.proposal.approved_by) == (Status.APPROVED, "rita")
        assert ballot.prerequisite == forge.proposal("1")
        assert [(vote.voter, vote.review_type) for vote in ballot.votes] == [("rita", "db")]
        assert [request.reviewer for request in ballot.requests] == ["leads"]
        assert [said.text for said in forge.comments("2")] == ["Good."]
        assert [event.details for event in forge.events("2")] == [{"vote": "Approve"}]
        assert propose(forge).id == "3"


def test_the_cache_is_not_taken_for_a_forge(tmp_path: Path) -> None:
    open_database(tmp_path / "forge.sqlite", ("CREATE TABLE a (b);",), kind="landings").close()
    with pytest.raises(UnavailableError, match="is not a local forge database"):
        LocalForge(tmp_path / "forge.sqlite", user="ann")


def test_every_write_is_flushed_to_the_disk(as_user: Callable[[str], LocalForge]) -> None:
    assert tuple(as_user("ann")._database.execute("PRAGMA synchronous").fetchone()) == (2,)  # FULL


def test_the_file_is_shared_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        LocalForge(tmp_path / "shared" / "forge.sqlite", user="ann").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "shared" / "forge.sqlite").stat().st_mode) == 0o660


@given(st.dictionaries(st.sampled_from("ABCD"), st.lists(st.sampled_from("ABCDxyz"), max_size=4)))
def test_teams_are_expanded_through_any_nesting(teams: dict[str, list[str]]) -> None:
    """Compared with the plain fixed point: a team's people are its own and those of its teams."""
    expected = {team: {name for name in names if name not in teams} for team, names in teams.items()}
    for _ in teams:
        for team, names in teams.items():
            expected[team] |= {person for name in names for person in expected.get(name, ())}
    assert People(teams, (), {}).members == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("approve", "Approve"),
        ("NEEDS-fixing", "Needs Fixing"),
        ("needs_information", "Needs Information"),
        (" Abstain ", "Abstain"),
    ],
)
def test_votes_in_any_spelling(text: str, value: str) -> None:
    assert parse_vote(text) is VoteValue(value)


@pytest.mark.parametrize("value", list(VoteValue))
def test_every_vote_is_understood(value: VoteValue) -> None:
    assert parse_vote(value) is parse_vote(value.upper().replace(" ", "-")) is value


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_understood(status: Status) -> None:
    assert parse_status(status) is parse_status(status.lower().replace(" ", "-")) is status


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"“aprove” is no vote; is it Approve\?") as caught:
        parse_vote("aprove")
    assert "Needs Information" in caught.value.resolution
    with pytest.raises(UsageError, match=r"“need review” is no status; is it Needs review\?"):
        parse_status("need review")
    with pytest.raises(UsageError, match=r"^“\\x1b” is no vote\n"):
        parse_vote("\x1b")
