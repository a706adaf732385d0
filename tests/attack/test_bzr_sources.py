"""Attacks with a bzr branch that points elsewhere: stacked on, or a reference to, what the agent alone can read."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import ByociError, RejectedError, UnreachableError
from byoci.model import Location
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File
from contract.vcs_playground_bzr import BzrPlayground
from integration.git_servers import dumb_http, redirecting_http

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


def new_vcs(tmp_path: Path, *, local: bool) -> BzrVcs:
    return BzrVcs(tmp_path / "private", UrlPolicy(local=local), {}, committer_email="bot@example.com")


def point(where: Location, way: str, target: str) -> None:
    """Make a branch point elsewhere, as somebody with an editor can."""
    folder = Path(where.url) / ".bzr" / "branch"
    if way == "stacked":
        (folder / "branch.conf").write_text(f"stacked_on_location = {target}\n")
    else:
        (folder / "format").write_text("Bazaar-NG Branch Reference Format 1\n")
        (folder / "location").write_text(target)


@contextmanager
def served(play: BzrPlayground, where: Location, protocol: str) -> Iterator[Location]:
    if protocol == "bzr":
        with play.serve(where) as location:
            yield location
    else:
        with dumb_http(play.root) as http:
            yield Location(f"{http.url}/{Path(where.url).name}")


@pytest.mark.parametrize("protocol", ["bzr", "http"])
@pytest.mark.parametrize("way", ["stacked", "reference"])
@pytest.mark.parametrize("local", [False, True])
def test_a_served_branch_cannot_point_into_this_machine(
    play: BzrPlayground, tmp_path: Path, way: str, protocol: str, local: bool
) -> None:
    secret = play.trunk({"secret": File(b"the agent's own\n")})
    source = play.branch(secret)
    vcs = new_vcs(tmp_path, local=local)
    for target in (f"file://{secret.url}", f"file://localhost{secret.url}", f"FILE://{secret.url}"):
        point(source, way, target)
        with served(play, source, protocol) as location:
            for ask in (vcs.tip, vcs.fetch):
                with pytest.raises(RejectedError) as caught:
                    ask(location)
                assert caught.value.resolution
    with pytest.raises(ByociError):
        vcs.read(play.tip(secret), ["secret"])


@pytest.mark.parametrize("way", ["stacked", "reference"])
@pytest.mark.parametrize("target", ["readonly+file://", "chroot-1:///", "ftp://127.0.0.1", "memory:///", "gio+file://"])
def test_a_served_branch_points_through_allowed_schemes_only(
    play: BzrPlayground, tmp_path: Path, way: str, target: str
) -> None:
    source = play.trunk({"a": File(b"a\n")})
    point(source, way, f"{target}{tmp_path}")
    with served(play, source, "http") as location, pytest.raises(RejectedError):
        new_vcs(tmp_path, local=True).tip(location)


def test_a_served_branch_may_be_stacked_on_another_served_one(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = Location(str(tmp_path / "play" / "stacked"))
    with dumb_http(play.root) as http:
        below = f"{http.url}/{Path(trunk.url).name}"
        play.brz(tmp_path, "branch", "-q", "--no-tree", "--stacked", below, source.url)
        revision = play.commit(source, {"b": File(b"b\n")})
        vcs = new_vcs(tmp_path, local=False)
        assert vcs.fetch(Location(f"{http.url}/stacked")) == revision
    assert vcs.read(revision, ["a", "b"]) == {"a": b"a\n", "b": b"b\n"}


@pytest.mark.parametrize("way", ["stacked", "reference"])
def test_a_local_branch_points_only_at_what_its_owner_has(play: BzrPlayground, tmp_path: Path, way: str) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    point(source, way, f"file://{trunk.url}")
    vcs = new_vcs(tmp_path, local=True)
    assert vcs.fetch(source) == play.tip(trunk)
    if os.geteuid() != 0:
        pytest.skip("only root can give a branch to somebody else")
    os.chown(Path(source.url) / ".bzr", 54321, 54321)
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(RejectedError):
            ask(source)


@pytest.mark.parametrize("way", ["stacked", "reference"])
def test_branches_that_point_at_each_other_are_refused(play: BzrPlayground, tmp_path: Path, way: str) -> None:
    one = play.trunk({"a": File(b"a\n")})
    other = play.branch(one)
    point(one, way, f"file://{other.url}")
    point(other, way, f"file://{one.url}")
    with pytest.raises(ByociError):
        new_vcs(tmp_path, local=True).fetch(one)


@pytest.mark.parametrize("target", ["file://", "ftp://127.0.0.1/"])
def test_a_redirect_leaves_the_allowed_schemes_no_more_than_a_url(
    play: BzrPlayground, tmp_path: Path, target: str
) -> None:
    secret = play.trunk({"secret": File(b"the agent's own\n")})
    vcs = new_vcs(tmp_path, local=True)
    with redirecting_http(f"{target}{Path(secret.url).parent}") as http:
        for ask in (vcs.tip, vcs.fetch):
            with pytest.raises((RejectedError, UnreachableError)):
                ask(Location(f"{http.url}/{Path(secret.url).name}"))


def test_a_source_that_is_bound_elsewhere_is_followed_no_further_than_a_reference(
    play: BzrPlayground, tmp_path: Path
) -> None:
    secret = play.trunk({"secret": File(b"the agent's own\n")})
    source = play.branch(secret)
    (Path(source.url) / ".bzr/branch/branch.conf").write_text(f"bound = True\nbound_location = file://{secret.url}\n")
    newest = play.commit(secret, {"more": File(b"more\n")})
    vcs = new_vcs(tmp_path, local=True)
    assert vcs.tip(source) == newest, "one's own checkout"
    with served(play, source, "bzr") as location:
        assert vcs.tip(location) != newest
