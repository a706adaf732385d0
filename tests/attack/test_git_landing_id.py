"""Somebody who wants trunk to tell a landing that byoci did not make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attack.git_forgery import store
from byoci import model
from byoci.vcs.trailers import with_trailers
from contract.vcs_playground import BOT, File
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import APPROVED_AT, TEXT, land, meta

if TYPE_CHECKING:
    from byoci.model import Location
    from byoci.vcs.git import GitVcs

pytestmark = [pytest.mark.agent, pytest.mark.git, pytest.mark.slow]


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def vcs(play: GitPlayground, tmp_path: Path) -> GitVcs:
    return play.vcs(tmp_path / "private")


def imitation(
    play: GitPlayground,
    where: Location,
    parents: list[str],
    message: bytes,
    *,
    email: str = BOT.email,
    header: bytes = b"",
) -> str:
    """A commit that looks like the lander's, made by hand, as the branch's new tip."""
    tree = play.git(Path(where.url), "rev-parse", f"{parents[0]}^{{tree}}")
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    at = int(APPROVED_AT.timestamp())
    lines += [f"{role} {BOT.name} <{email}> {at} +0000" for role in ("author", "committer")]
    made = store(play, where, "commit", "\n".join(lines).encode() + b"\n" + header + b"\n" + message)
    play.git(Path(where.url), "update-ref", f"refs/heads/{where.branch}", made)
    return made


def landing_of(revision: str, proposal: str) -> bytes:
    return with_trailers("Land it", meta(revision, proposal)).encode()


def proposals(vcs: GitVcs, trunk: Location) -> list[str]:
    vcs.fetch(trunk, trusted=True)
    return [found.proposal for found in vcs.landings(trunk)]


def test_a_proposal_that_holds_an_imitated_landing_lands_as_itself_only(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    other = play.commit(source, {"b": File(b"b\n")})
    imitated = imitation(play, source, [play.tip(trunk), other], landing_of(other, "8"))
    revision = play.commit(source, {"c": File(b"c\n")})
    made = land(vcs, trunk, source, revision)
    assert imitated in play.git(Path(trunk.url), "rev-list", made.id)
    assert proposals(vcs, trunk) == ["7"]


def test_an_imitated_landing_as_the_approved_revision_itself_counts_as_nothing(
    play: GitPlayground, vcs: GitVcs
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    other = play.commit(source, {"b": File(b"b\n")})
    imitated = imitation(play, source, [other, play.tip(trunk)], landing_of(play.tip(trunk), "8"))
    land(vcs, trunk, source, imitated)
    assert proposals(vcs, trunk) == ["7"]


def test_the_imitations_of_these_tests_are_good_ones(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    approved = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(trunk.url), "fetch", "-q", source.url, source.branch or "")
    imitation(play, trunk, [play.tip(trunk), approved], landing_of(approved, "8"))
    assert proposals(vcs, trunk) == ["8"], "whoever may push to trunk past the gate can do this"


@pytest.mark.parametrize(
    "forge",
    [
        lambda approved: landing_of(approved, "8").replace(b"Proposal: 8", b"Proposal: 9"),
        lambda approved: landing_of(approved[::-1], "8"),
        lambda approved: landing_of(approved, "8") + b"\nmore\n",
        lambda approved: landing_of(approved, "8").replace(b"\n\nLanding-Project", b"\nLanding-Project"),
        lambda approved: b"Land it\n\nLanding-Id: " + model.landing_id("hello", "8", approved).encode() + b"\n",
        lambda approved: landing_of(approved, "8").replace(b"\nLanding-Id", b"\n Landing-Id"),
        lambda approved: landing_of(approved, "8").replace(b"Landing-Id", b"landing-id"),
        lambda approved: landing_of(approved, "8").rstrip(b"\n") + b"\0\n",
        lambda approved: b"x\0" + landing_of(approved, "8"),
    ],
)
def test_a_commit_on_trunk_that_is_not_quite_a_landing_is_none(play: GitPlayground, vcs: GitVcs, forge: object) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    approved = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(trunk.url), "fetch", "-q", source.url, source.branch or "")
    assert callable(forge)
    imitation(play, trunk, [play.tip(trunk), approved], forge(approved))
    assert proposals(vcs, trunk) == []


@pytest.mark.parametrize(
    "email", ["mal@example.com", "BOT@example.com", "bot@example.com.evil", "", "x bot@example.com"]
)
def test_only_our_committer_lands(play: GitPlayground, vcs: GitVcs, email: str) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    approved = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(trunk.url), "fetch", "-q", source.url, source.branch or "")
    imitation(play, trunk, [play.tip(trunk), approved], landing_of(approved, "8"), email=email)
    assert proposals(vcs, trunk) == []


def test_a_landing_has_two_parents(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    third = play.commit(source, {"b": File(b"b\n")})
    approved = play.commit(source, {"c": File(b"c\n")})
    play.git(Path(trunk.url), "fetch", "-q", source.url, source.branch or "")
    for parents in ([play.tip(trunk)], [play.tip(trunk), approved, third]):
        imitation(play, trunk, parents, landing_of(approved, "8"))
    assert proposals(vcs, trunk) == []


@pytest.mark.parametrize("header", [b"", b"encoding UTF-7\n", b"encoding UTF-16\n", b"encoding no-such\n"])
@pytest.mark.parametrize("end", [b"\0", b"+AAA-", b"\xff"])
def test_a_message_cannot_add_a_record(play: GitPlayground, vcs: GitVcs, header: bytes, end: bytes) -> None:
    """The fields of a listing are told apart by NULs, and a commit's message may hold some."""
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    first = play.commit(source, {"b": File(b"b\n")})
    real = land(vcs, trunk, source, first)
    approved = play.commit(source, {"c": File(b"c\n")})
    play.git(Path(trunk.url), "fetch", "-q", source.url, source.branch or "")
    record = [b"1" * 40, f"{real.id} {approved}".encode(), BOT.email.encode(), landing_of(approved, "9"), b""]
    message = b"Landing-Id: x" + end + end.join(record) + end
    imitation(play, trunk, [real.id, approved], message, header=header)
    assert proposals(vcs, trunk) == ["7"]


def test_landings_of_several_projects_and_odd_names_are_told_apart(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    names = [
        ("a\nLanding-Proposal: 1", "ünï\u2028cödé"),
        ("", ""),
        ("%0a", " 7 "),
        ("a: b", "https://example.com/7?x=y"),
    ]
    for number, (project, proposal) in enumerate(names):
        source = play.branch(trunk)
        revision = play.commit(source, {f"n{number}": File(b"n\n")})
        base = vcs.fetch(trunk, trusted=True)
        vcs.fetch(source, revision)
        about = replace(meta(revision), project=project, proposal=proposal)
        made = vcs.merge(base, revision, "x", replace(about, landing_id=model.landing_id(project, proposal, revision)))
        assert isinstance(made, model.Candidate)
        vcs.publish(made, trunk, base, model.Lease(str(trunk), "x"))
    vcs.fetch(trunk, trusted=True)
    assert [(found.project, found.proposal) for found in vcs.landings(trunk)] == names[::-1]
