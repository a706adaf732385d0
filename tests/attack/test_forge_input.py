"""Hostile input to the local forge: refused whole, or kept as harmless text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.errors import UsageError
from byoci.forge.local import LocalForge
from byoci.gate.ballot import Policy, explain, judge
from byoci.log import printable
from byoci.model import Location, Status, VoteValue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.agent

SOURCE, TRUNK = Location("/home/ann", "b"), Location("/srv/hello", "main")
TERMINAL = ("\x1b[2J", "a\rb", "\x00", "\x07", "\u202egnp.exe", "\u2066x", "\x9b31m", "\ud800", "a\u2028b", "\x7f")


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[LocalForge]:
    with LocalForge(tmp_path / "f", user="root", administrators=("root",), trusted={"hello": ("rita",)}) as forge:
        forge.create("hello", SOURCE, TRUNK, "The first", acting_for="ann")
        yield forge


def snapshot(forge: LocalForge) -> list[object]:
    found = forge.list_proposals()
    return [[found], [(forge.ballot_of(one), forge.comments(one.id), forge.events(one.id)) for one in found]]


@pytest.mark.parametrize("title", ["", "  ", "\n", "a\nb", "a\tb", "x" * 201, *TERMINAL])
def test_titles(forge: LocalForge, title: str) -> None:
    before = snapshot(forge)
    with pytest.raises(UsageError, match="title"):
        forge.create("hello", Location("/x"), TRUNK, title)
    assert snapshot(forge) == before


@pytest.mark.parametrize("text", ["x" * 50_001, *(text for text in TERMINAL if text != "a\u2028b")])
def test_descriptions_and_comments(forge: LocalForge, text: str) -> None:
    before = snapshot(forge)
    for act in (
        lambda: forge.create("hello", Location("/x"), TRUNK, "Title", description=text),
        lambda: forge.add_comment("1", text),
        lambda: forge.review("1", VoteValue.APPROVE, revision="r1", comment=text),
    ):
        with pytest.raises(UsageError):
            act()
    assert snapshot(forge) == before


@pytest.mark.parametrize("text", ["", " ", "\n \n"])
def test_empty_comments(forge: LocalForge, text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        forge.add_comment("1", text)


@pytest.mark.parametrize("name", ["", " ", "two words", "a\nb", "-option", "a=b", "x" * 101, "nb\u00a0sp", *TERMINAL])
def test_names(forge: LocalForge, name: str, tmp_path: Path) -> None:
    before = snapshot(forge)
    for act in (
        lambda: forge.create(name, Location("/x"), TRUNK, "Title"),
        lambda: forge.request_review("1", name),
        lambda: forge.review("1", VoteValue.APPROVE, revision="r1", acting_for=name),
        lambda: LocalForge(tmp_path / "f", user=name),
    ):
        with pytest.raises(UsageError):
            act()
    assert snapshot(forge) == before


@pytest.mark.parametrize(
    "place", [Location(""), Location(" "), Location("--upload-pack=evil"), Location("/x", "-b"), Location("/x\ny"),
              Location("/x", "a\x1bb"), Location("x" * 2001), Location("/x", "b" * 501), Location("/\udcff"), TRUNK]
)  # fmt: skip
def test_sources(forge: LocalForge, place: Location) -> None:
    before = snapshot(forge)
    with pytest.raises(UsageError):
        forge.create("hello", place, TRUNK, "Title")
    with pytest.raises(UsageError):
        forge.supersede("1", place)
    assert snapshot(forge) == before


@pytest.mark.parametrize("revision", ["", "a b", "a\nb", "x" * 501, "\udcff", "\x1b"])
def test_revisions(forge: LocalForge, revision: str) -> None:
    before = snapshot(forge)
    with pytest.raises(UsageError, match="revision"):
        forge.review("1", VoteValue.APPROVE, revision=revision)
    with pytest.raises(UsageError, match="revision"):
        forge.change_status("1", Status.APPROVED, revision=revision, acting_for="rita")
    assert snapshot(forge) == before


@pytest.mark.parametrize("kind", ["x" * 41, "a\nb", "\x1b", "\udcff"])
def test_review_types(forge: LocalForge, kind: str) -> None:
    before = snapshot(forge)
    with pytest.raises(UsageError, match="review type"):
        forge.request_review("1", "rita", review_type=kind)
    with pytest.raises(UsageError, match="review type"):
        forge.review("1", VoteValue.APPROVE, revision="r1", review_type=kind)
    assert snapshot(forge) == before


SQL = "x'); DROP TABLE vote; --"


def test_sql_is_text(forge: LocalForge) -> None:
    made = forge.create(SQL.replace(" ", ""), Location(SQL, "'"), Location(SQL), SQL, description=SQL)
    forge.request_review(made.id, "'';--", review_type=SQL)
    forge.add_comment(made.id, SQL)
    forge.comment(made, SQL, SQL)
    found = forge.proposal(made.id)
    assert (found.title, found.description, found.target.url) == (SQL, SQL, SQL)
    assert [comment.text for comment in forge.comments(made.id)] == [SQL, SQL]
    assert forge.list_proposals(SQL.replace(" ", "")) == [found]
    with pytest.raises(UsageError, match="there is no proposal"):
        forge.proposal("1 OR 1=1")


@pytest.mark.slow
def test_a_landers_comment_with_a_hostile_log_is_kept_harmless(forge: LocalForge) -> None:
    """It cannot be refused: then the proposal's fate would never be told."""
    proposal = forge.proposal("1")
    for key, text in enumerate(("\x1b]0;owned\x07", "\udcff\ud800", "x" * 10_000_000, "\x00")):
        for _ in range(2):
            forge.comment(proposal, f"\udcff{key}", text)
    said = [comment.text for comment in forge.comments("1")]
    assert len(said) == 4
    assert all(printable(text) == text and len(text) <= 50_000 for text in said)


def test_a_stranger_cannot_keep_the_lander_from_speaking(forge: LocalForge) -> None:
    """Only the lander's comments have keys, so nobody takes one beforehand."""
    forge.add_comment("1", "verdict c1", acting_for="mallory")
    forge.comment(forge.proposal("1"), "verdict c1", "Not landed.")
    assert [comment.text for comment in forge.comments("1")] == ["verdict c1", "Not landed."]


def test_a_user_called_like_a_team_gains_nothing(tmp_path: Path) -> None:
    teams = {"leads": ("rita",)}
    with LocalForge(tmp_path / "f", user="leads", teams=teams, administrators=("leads",)) as forge:
        made = forge.create("hello", SOURCE, TRUNK, "Title")
        with pytest.raises(UsageError, match="leads may not act for rita"):
            forge.review(made.id, VoteValue.APPROVE, revision="r1", acting_for="rita")
        with pytest.raises(UsageError, match="leads may not set proposal 1 to Approved"):
            forge.change_status(made.id, Status.APPROVED, revision="r1")
        forge.review(made.id, VoteValue.APPROVE, revision="r1")
        ballot = forge.ballot_of(made)
        assert ballot.trusted == {"rita"}
        assert not judge(ballot, Policy(trusted=frozenset({"leads"})), None).counted


def test_approving_after_the_reviews_what_nobody_saw(forge: LocalForge) -> None:
    """Ann pushes after rita's approval, and has her own revision pinned by an administrator's mistake."""
    forge.review("1", VoteValue.APPROVE, revision="r1", acting_for="rita")
    forge.change_status("1", Status.APPROVED, revision="evil")
    ballot = forge.ballot_of(forge.proposal("1"))
    policy = Policy(trusted=frozenset({"rita"}))
    assert not judge(ballot, policy, "evil").landable
    assert "it was given on revision r1, not on evil" in explain(ballot, policy, "evil")


def test_mallory_and_her_friends_cannot_land_or_block(forge: LocalForge) -> None:
    forge.review("1", VoteValue.APPROVE, revision="r1", acting_for="rita")
    forge.change_status("1", Status.APPROVED, revision="r1", acting_for="rita")
    for number in range(20):
        forge.review("1", list(VoteValue)[number % 6], revision="r1", acting_for=f"sock-{number}")
    policy = Policy(trusted=frozenset({"rita"}))
    assert judge(forge.ballot_of(forge.proposal("1")), policy, "r1").landable
    assert not judge(forge.ballot_of(forge.proposal("1")), Policy(minimum=2, trusted=policy.trusted), "r1").landable


@pytest.mark.slow
@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_is_accepted_comes_back_as_it_is_shown(
    tmp_path_factory: pytest.TempPathFactory, title: str, description: str
) -> None:
    with LocalForge(tmp_path_factory.mktemp("forge") / "f", user="ann") as forge:
        try:
            made = forge.create("hello", SOURCE, TRUNK, title, description=description)
        except UsageError:
            assert list(forge.list_proposals()) == []
            return
        assert forge.proposal(made.id) == made
        assert made.title == title.strip()
        assert len(made.title.splitlines()) == 1
        assert printable(made.description) == made.description
        assert (made.title + made.description).encode()
