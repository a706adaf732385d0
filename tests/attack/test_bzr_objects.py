"""Attacks with what a bzr branch holds: names, digests, graphs and identities that no `brz commit` makes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from breezy.bzr.versionedfile import FulltextContentFactory

from attack.bzr_forgery import Forger
from byoci.errors import ByociError, RejectedError
from byoci.model import Candidate, Location
from byoci.vcs import bzr_check, bzr_open
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.bzr_store import Store
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File, read_folder
from contract.vcs_playground_bzr import BzrPlayground
from contract.vcs_suite import candidate, land, lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


@pytest.fixture
def vcs(tmp_path: Path) -> BzrVcs:
    return BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")


@pytest.fixture
def trunk(play: BzrPlayground) -> Location:
    return play.trunk({"a": File(b"a\n"), "d/x": File(b"x\n")})


@pytest.fixture
def forger(play: BzrPlayground, trunk: Location, tmp_path: Path) -> Iterator[Forger]:
    with bzr_open.quiet(tmp_path / "home", None):
        yield Forger(play.branch(trunk))


def refused(vcs: BzrVcs, trunk: Location, forger: Forger, revision: str) -> str:
    """Fetch a forged revision; the reason why that was refused."""
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(RejectedError) as caught:
        vcs.fetch(Location(path_of(forger)), revision)
    assert caught.value.resolution
    with pytest.raises(ByociError):
        vcs.read(revision, ["a"])
    return str(caught.value)


def path_of(forger: Forger) -> str:
    return bzr_open.urlutils.local_path_from_url(forger.branch.user_url)


def test_an_honest_commit_by_the_forger_is_taken(vcs: BzrVcs, trunk: Location, forger: Forger) -> None:
    revision = forger.commit([forger.new("b"), forger.changed("a")], {"b": b"b\n", "a": b"A\n"})
    vcs.fetch(trunk, trusted=True)
    vcs.fetch(Location(path_of(forger)), revision)
    assert vcs.read(revision, ["a", "b"]) == {"a": b"A\n", "b": b"b\n"}


@pytest.mark.parametrize("name", ["..", ".", ".bzr", ".BZR", "x\\..\\y", "n" * 256])
def test_a_harmful_name_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger, name: str) -> None:
    revision = forger.commit([forger.new(name)], {name: b"evil\n"})
    assert "is not allowed" in refused(vcs, trunk, forger, revision)


@pytest.mark.parametrize("target", ["x" * 4096, "a\0b"])
def test_a_link_that_no_system_can_make_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger, target: str) -> None:
    revision = forger.commit([forger.new("link", "symlink")], {"link": target.encode()})
    assert "leads nowhere" in refused(vcs, trunk, forger, revision)


def test_a_file_below_a_link_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger) -> None:
    """An export of it would write to wherever the link leads."""
    revision = forger.commit([forger.changed("d", ("directory", "symlink"))], {"d": b"/etc"})
    assert "no folder" in refused(vcs, trunk, forger, revision)


def last_entry(builder: Any) -> Any:
    return builder._basis_delta[-1][3]


@pytest.mark.parametrize("field", ["text_sha1", "text_size", "revision"])
def test_a_content_that_is_not_the_one_that_was_promised_is_refused(
    vcs: BzrVcs, trunk: Location, forger: Forger, field: str
) -> None:
    lies = {"text_sha1": hashlib.sha1(b"good\n").hexdigest().encode(), "text_size": 3, "revision": b"somebody-elses"}

    def tamper(builder: Any) -> None:
        entry = last_entry(builder)
        setattr(entry, field, lies[field])
        if field == "revision":  # breezy itself misses a text that is nowhere
            add_text(builder.repository, (entry.file_id, b"somebody-elses"), b"evil\n")

    revision = forger.commit([forger.new("b")], {"b": b"evil\n"}, tamper=tamper)
    refused(vcs, trunk, forger, revision)


def test_a_tree_that_is_not_the_one_that_was_promised_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger) -> None:
    def spoil(builder: Any) -> None:
        builder.inv_sha1 = b"0" * 40

    revision = forger.commit([forger.new("b")], {"b": b"b\n"}, spoil=spoil)
    assert "its tree is not" in refused(vcs, trunk, forger, revision)


@pytest.mark.parametrize("timestamp", [1e300, -1e300, float(2**41)])
def test_a_date_beyond_all_calendars_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger, timestamp: float) -> None:
    """It would make every `brz log` of trunk fail."""
    revision = forger.commit([forger.new("b")], {"b": b"b\n"}, timestamp=timestamp)
    assert "date" in refused(vcs, trunk, forger, revision)


@pytest.mark.parametrize("first", [False, True])
def test_a_parent_that_is_nowhere_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger, first: bool) -> None:
    """Whoever supplies it later would change what has landed already."""
    tip = forger.branch.last_revision()

    def spoil(builder: Any) -> None:
        builder.parents = [b"nobody-has-this", tip] if first else [tip, b"nobody-has-this"]

    revision = forger.commit([forger.new("b")], {"b": b"b\n"}, spoil=spoil)
    assert "nobody-has-this" in refused(vcs, trunk, forger, revision)


def test_a_parent_that_trunk_does_not_have_cannot_be_supplied(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger, tmp_path: Path
) -> None:
    Forger(trunk).commit(parents=[forger.branch.last_revision(), b"ghost"], revision=b"haunted")
    vcs.fetch(trunk, trusted=True)
    revision = forger.commit([forger.new("b")], {"b": b"b\n"}, revision=b"ghost")
    assert "mentions it" in refused(vcs, trunk, forger, revision)


def test_a_revision_that_is_its_own_ancestor_is_refused(vcs: BzrVcs, trunk: Location, forger: Forger) -> None:
    tip = forger.branch.last_revision()
    forger.commit([forger.new("b")], {"b": b"b\n"}, revision=b"egg", parents=[tip, b"hen"])
    forger.commit([forger.new("c")], {"c": b"c\n"}, revision=b"hen", parents=[b"egg"])
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(ByociError):
        vcs.fetch(Location(path_of(forger)), "hen")
    with pytest.raises(ByociError):
        vcs.read("hen", ["b"])


def test_a_name_that_trunk_uses_does_not_stand_for_something_else(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger
) -> None:
    name = play.commit(trunk, {"a": File(b"honest\n")})
    forger.commit([forger.changed("a")], {"a": b"evil\n"}, revision=name.encode())
    assert "not the one that trunk knows" in refused_name(vcs, trunk, forger, name)
    revision = forger.commit([forger.new("b")], {"b": b"b\n"})
    refused(vcs, trunk, forger, revision)
    assert vcs.read(name, ["a"]) == {"a": b"honest\n"}


def refused_name(vcs: BzrVcs, trunk: Location, forger: Forger, name: str) -> str:
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(RejectedError) as caught:
        vcs.fetch(Location(path_of(forger)), name)
    return str(caught.value)


def test_two_proposals_of_one_name_do_not_mix(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger, tmp_path: Path
) -> None:
    """The victim's revision was seen by everybody; the attacker's branch has another one by its name."""
    victim = play.branch(trunk)
    revision = play.commit(victim, {"b": File(b"honest\n")})
    forger.commit([forger.new("b")], {"b": b"evil\n"}, revision=revision.encode())
    attacker = Location(path_of(forger))
    evil = candidate(vcs, trunk, attacker, revision)
    honest = candidate(vcs, trunk, victim, revision)
    assert evil.id != honest.id
    assert evil.tree != honest.tree
    vcs.fetch(attacker, revision)
    for made, content in ((evil, b"evil\n"), (honest, b"honest\n")):
        vcs.export(made.id, tmp_path / made.id)
        assert read_folder(tmp_path / made.id)["b"] == File(content)
    vcs.publish(honest, trunk, honest.base, lease(trunk))
    assert play.tree(trunk)["b"] == File(b"honest\n")


def test_a_trunk_that_shares_its_repository_with_an_attacker_gets_what_was_tested(
    vcs: BzrVcs, play: BzrPlayground, tmp_path: Path
) -> None:
    """The attacker's branch in the same repository has a revision by the name of the one that was approved."""
    shared = tmp_path / "play" / "shared"
    play.brz(tmp_path, "init-shared-repository", "-q", "--no-trees", str(shared))
    play.brz(tmp_path, "init", "-q", str(shared / "trunk"))
    trunk = Location(str(shared / "trunk"))
    base = play.commit(trunk, {"a": File(b"a\n")})
    victim = play.branch(trunk)
    revision = play.commit(victim, {"b": File(b"honest\n")})
    made = candidate(vcs, trunk, victim, revision)
    play.brz(tmp_path, "branch", "-q", "--no-tree", trunk.url, str(shared / "evil"))
    with bzr_open.quiet(tmp_path / "home", None):
        forger = Forger(Location(str(shared / "evil")))
        forger.commit([forger.new("b")], {"b": b"evil\n"}, revision=revision.encode())
    with pytest.raises(RejectedError):
        vcs.publish(made, trunk, base, lease(trunk))
    assert play.tip(trunk) == base


def test_a_file_that_waits_for_its_revision_in_a_shared_repository_is_found_out(
    vcs: BzrVcs, play: BzrPlayground, tmp_path: Path
) -> None:
    shared = tmp_path / "play" / "shared"
    play.brz(tmp_path, "init-shared-repository", "-q", "--no-trees", str(shared))
    play.brz(tmp_path, "init", "-q", str(shared / "trunk"))
    trunk = Location(str(shared / "trunk"))
    base = play.commit(trunk, {"a": File(b"a\n")})
    victim = play.branch(trunk)
    revision = play.commit(victim, {"a": File(b"honest\n")})
    made = candidate(vcs, trunk, victim, revision)
    with bzr_open.quiet(tmp_path / "home", None):
        forger = Forger(trunk)
        key = (forger.id_of("a"), revision.encode())
        insert_text(forger.branch.repository, key, b"evil\n")
        insert_text(forger.branch.repository, (key[0], made.id.encode()), b"evil too\n")
    try:
        vcs.publish(made, trunk, base, lease(trunk))
    except RejectedError:
        assert play.tip(trunk) == base
    else:
        assert play.tree(trunk)["a"] == File(b"honest\n")


def insert_text(repository: Any, key: tuple[bytes, bytes], content: bytes) -> None:
    with repository.lock_write():
        repository.start_write_group()
        add_text(repository, key, content)
        repository.commit_write_group()


def add_text(repository: Any, key: tuple[bytes, bytes], content: bytes) -> None:
    digest = hashlib.sha1(content).hexdigest().encode()
    repository.texts.insert_record_stream([FulltextContentFactory(key, (), digest, content)])


def test_what_was_not_asked_for_is_not_taken(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger, tmp_path: Path
) -> None:
    """A server can send more than it was asked for: here a text for a revision that somebody else will bring."""
    vcs.fetch(trunk, trusted=True)
    revision = forger.commit([forger.new("b")], {"b": b"b\n"}).encode()
    store = Store(tmp_path / "private")
    apart = store.create(tmp_path / "private" / "apart")
    with apart.lock_write():
        apart.fetch(forger.branch.repository, revision)
    insert_text(apart, (b"some-file", b"somebody-elses-revision"), b"evil\n")
    with apart.lock_write(), pytest.raises(RejectedError) as caught:
        bzr_check.check_new(store, apart, revision, frozenset({revision}))
    assert "not asked for" in str(caught.value)


def test_a_candidates_name_cannot_be_taken_beforehand(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger
) -> None:
    """The id of a merge can be computed by everybody, so the proposer brings a revision that has it already."""
    honest = forger.commit([forger.new("b")], {"b": b"b\n"}, revision=b"approved")
    expected = candidate(vcs, trunk, Location(path_of(forger)), honest)
    forged = Forger(play.branch(trunk))
    forged.commit([forged.new("c")], {"c": b"evil\n"}, revision=expected.id.encode())
    forged.commit([forged.new("b")], {"b": b"b\n"}, revision=b"approved")
    made = candidate(vcs, trunk, Location(path_of(forged)), "approved")
    assert made.id != expected.id, "another tree is another name"


def test_landing_properties_of_a_proposer_gain_nothing(
    vcs: BzrVcs, play: BzrPlayground, trunk: Location, forger: Forger
) -> None:
    first = forger.commit([forger.new("b")], {"b": b"b\n"}, revision=b"first")
    real = candidate(vcs, trunk, Location(path_of(forger)), first)
    properties = {"landing-id": real.landing_id, "landing-project": "hello", "landing-proposal": "7"}
    forged = forger.commit(
        [forger.new("c")], {"c": b"c\n"}, revision=b"byoci-20261123120000-" + b"0" * 40,
        parents=[forger.branch.last_revision(), b"first"][:1], revprops=properties,
        committer="Landing Bot <bot@example.com>",
    )  # fmt: skip
    made = land(vcs, trunk, Location(path_of(forger)), forged)
    vcs.fetch(trunk, trusted=True)
    assert [(found.revision, found.approved_revision) for found in vcs.landings(trunk)] == [(made.id, forged)]


def test_a_private_folder_holds_no_proposal_among_trunks_revisions(
    vcs: BzrVcs, trunk: Location, forger: Forger, tmp_path: Path
) -> None:
    revision = forger.commit([forger.new("b")], {"b": b"b\n"})
    made = candidate(vcs, trunk, Location(path_of(forger)), revision)
    assert isinstance(made, Candidate)
    own = Store(tmp_path / "private").trunk()
    with own.lock_read():
        assert not own.has_revision(revision.encode())
        assert not own.has_revision(made.id.encode())
