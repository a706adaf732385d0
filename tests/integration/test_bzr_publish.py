"""Publishing with bzr: every kind of trunk, its lock, and runs that were killed while they held it."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from breezy.branch import Branch
from breezy.controldir import ControlDir

from byoci import effects
from byoci.errors import PublishRefusedError, UnavailableError
from byoci.model import Candidate, Location
from byoci.vcs import bzr_open, bzr_store
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.bzr_store import Store
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File, Renamed, read_folder
from contract.vcs_playground_bzr import BzrPlayground
from contract.vcs_suite import candidate, land, lease
from integration.git_servers import dumb_http

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


@pytest.fixture
def vcs(tmp_path: Path) -> BzrVcs:
    return BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")


def made_for(play: BzrPlayground, vcs: BzrVcs, trunk: Location) -> Candidate:
    source = play.branch(trunk)
    return candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))


# kinds of trunk


def test_a_trunk_that_only_grows_takes_a_landing(play: BzrPlayground, vcs: BzrVcs) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    play.brz(Path(trunk.url), "config", "append_revisions_only=True")
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    play.commit(trunk, {"c": File(b"c\n")})
    made = land(vcs, trunk, source, revision)
    assert play.tip(trunk) == made.id
    assert play.brz(Path(trunk.url), "revno") == "3"
    assert play.brz(Path(trunk.url), "check", "-q") == ""


def test_a_trunk_in_a_shared_repository(play: BzrPlayground, vcs: BzrVcs) -> None:
    shared = play.root / "shared"
    play.brz(play.root, "init-shared-repository", "-q", "--no-trees", str(shared))
    play.brz(play.root, "init", "-q", str(shared / "trunk"))
    trunk = Location(str(shared / "trunk"))
    play.commit(trunk, {"a": File(b"a\n")})
    play.brz(play.root, "branch", "-q", "--no-tree", trunk.url, str(shared / "feature"))
    source = Location(str(shared / "feature"))
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    assert play.tip(trunk) == made.id
    assert set(play.tree(trunk)) == {"a", "b"}


def test_a_checkout_stands_for_the_branch_that_it_is_bound_to(play: BzrPlayground, vcs: BzrVcs, tmp_path: Path) -> None:
    master = play.trunk({"a": File(b"a\n")})
    checkout = Location(str(tmp_path / "checkout"))
    play.brz(tmp_path, "checkout", "-q", master.url, checkout.url)
    play.commit(master, {"c": File(b"c\n")})
    assert vcs.tip(checkout) == play.tip(master)
    made = made_for(play, vcs, checkout)
    vcs.publish(made, checkout, made.base, lease(checkout))
    assert play.tip(master) == vcs.tip(checkout) == made.id
    play.brz(Path(checkout.url), "update", "-q")
    assert set(read_folder(Path(checkout.url))) == {"a", "b", "c"}


def test_a_lightweight_checkout_stands_for_its_branch(play: BzrPlayground, vcs: BzrVcs, tmp_path: Path) -> None:
    branch = play.trunk({"a": File(b"a\n")})
    checkout = Location(str(tmp_path / "checkout"))
    play.brz(tmp_path, "checkout", "-q", "--lightweight", branch.url, checkout.url)
    made = made_for(play, vcs, checkout)
    vcs.publish(made, checkout, made.base, lease(checkout))
    assert play.tip(branch) == made.id


def test_a_colocated_branch_is_named(play: BzrPlayground, vcs: BzrVcs, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    play.brz(tmp_path, "init", "-q", "--format=development-colo", "--no-tree", str(tmp_path / "colo"))
    play.brz(tmp_path, "push", "-q", "-d", trunk.url, f"file://{tmp_path}/colo,branch=stable")
    stable = Location(str(tmp_path / "colo"), "stable")
    assert vcs.tip(stable) == play.tip(trunk)
    source = play.branch(trunk)
    made = land(vcs, stable, source, play.commit(source, {"b": File(b"b\n")}))
    assert vcs.tip(stable) == made.id


def test_a_trunk_of_the_old_times_is_told_how_to_become_a_new_one(play: BzrPlayground, vcs: BzrVcs) -> None:
    play.brz(play.root, "init", "-q", "--format=pack-0.92", "--no-tree", str(play.root / "old"))
    trunk = Location(str(play.root / "old"))
    play.commit(trunk, {"a": File(b"a\n")})
    with pytest.raises(UnavailableError) as caught:
        vcs.fetch(trunk, trusted=True)
    assert "brz upgrade" in caught.value.resolution


def test_a_trunk_that_cannot_be_written_to_is_refused(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = BzrVcs(tmp_path / "private", UrlPolicy(), {}, committer_email="bot@example.com")
    with dumb_http(play.root) as http:
        served = Location(f"{http.url}/{Path(trunk.url).name}")
        made = candidate(vcs, served, Location(f"{http.url}/{Path(source.url).name}"), revision)
        with pytest.raises(PublishRefusedError) as caught:
            vcs.publish(made, served, made.base, lease(served))
    assert caught.value.resolution
    assert play.tip(trunk) == made.base


def test_a_hook_of_trunks_own_server_may_refuse(play: BzrPlayground, vcs: BzrVcs) -> None:
    """As it does where trunk only grows, and somebody wants to put it back."""
    trunk = play.trunk({"a": File(b"a\n")})
    made = made_for(play, vcs, trunk)
    folder = Path(trunk.url) / ".bzr" / "repository" / "upload"
    shutil.rmtree(folder)
    folder.write_text("no folder")
    with pytest.raises(UnavailableError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.base
    folder.unlink()
    folder.mkdir()
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id


# the files of a checked-out trunk


def test_files_that_were_behind_come_up_to_date(play: BzrPlayground, vcs: BzrVcs, tmp_path: Path) -> None:
    """As after somebody pushed through a server, which leaves the files alone."""
    trunk = play.trunk({"a": File(b"a\n"), "old": File(b"o\n")}, checked_out=True)
    away = play.branch(trunk)
    play.commit(away, {"c": File(b"c\n"), "old": Renamed("new")})
    with play.serve(trunk) as served:
        play.brz(tmp_path, "push", "-q", "-d", away.url, served.url)
    assert "c" not in read_folder(Path(trunk.url))
    made = made_for(play, vcs, trunk)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert read_folder(Path(trunk.url)) == play.tree(trunk)
    assert play.brz(Path(trunk.url), "status") == ""


def test_a_merge_that_is_not_committed_is_left_alone(play: BzrPlayground, vcs: BzrVcs) -> None:
    trunk = play.trunk({"a": File(b"a\n")}, checked_out=True)
    other = play.branch(trunk)
    play.commit(other, {"c": File(b"c\n")})
    made = made_for(play, vcs, trunk)
    play.brz(Path(trunk.url), "merge", "-q", other.url)
    with pytest.raises(PublishRefusedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.base
    assert "c" in read_folder(Path(trunk.url))


def test_unknown_files_that_are_not_in_the_way_stay(play: BzrPlayground, vcs: BzrVcs) -> None:
    trunk = play.trunk({"a": File(b"a\n")}, checked_out=True)
    (Path(trunk.url) / "notes").write_text("mine\n")
    (Path(trunk.url) / "build").mkdir()
    made = made_for(play, vcs, trunk)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert read_folder(Path(trunk.url)) == {"a": File(b"a\n"), "b": File(b"b\n"), "notes": File(b"mine\n")}


# locks


@contextmanager
def locked_by_a_person(where: Location, home: Path) -> Iterator[None]:
    """Another process that holds the branch's lock until the context ends."""
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        with bzr_open.quiet(home, None):
            branch = ControlDir.open(where.url).open_branch()
            branch.lock_write()
            os.write(ready[1], b".")
            os.read(done[0], 1)
            branch.unlock()
        os._exit(0)
    os.read(ready[0], 1)
    try:
        yield
    finally:
        os.write(done[1], b".")
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)


def test_a_lock_that_somebody_holds_is_his(play: BzrPlayground, vcs: BzrVcs, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    made = made_for(play, vcs, trunk)
    with locked_by_a_person(trunk, tmp_path / "home"), pytest.raises(UnavailableError) as caught:
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert "process #" in caught.value.details
    assert "break-lock" in caught.value.resolution
    assert play.tip(trunk) == made.base
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id


def killed_while_publishing(vcs: BzrVcs, made: Candidate, trunk: Location) -> None:
    """Publish in a process that is killed when everything is pushed, but the tip has not moved yet."""
    child = os.fork()
    if not child:
        Branch.hooks.install_named_hook(
            "pre_change_branch_tip", lambda _params: os.kill(os.getpid(), signal.SIGKILL), "the end"
        )
        vcs.publish(made, trunk, made.base, lease(trunk))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@pytest.mark.parametrize("checked_out", [False, True])
def test_the_lock_of_a_killed_run_is_recovered(play: BzrPlayground, vcs: BzrVcs, checked_out: bool) -> None:
    trunk = play.trunk({"a": File(b"a\n")}, checked_out=checked_out)
    made = made_for(play, vcs, trunk)
    killed_while_publishing(vcs, made, trunk)
    assert (Path(trunk.url) / ".bzr/branch/lock/held").exists()
    assert play.tip(trunk) == made.base
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id
    assert play.tree(trunk) == {"a": File(b"a\n"), "b": File(b"b\n")}


def test_the_lock_of_a_killed_run_on_a_server_is_recovered(play: BzrPlayground, tmp_path: Path) -> None:
    """There it bears a name that was noted down before; on another machine nobody can know that its holder is dead."""
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")
    with play.serve(trunk) as served:
        made = candidate(vcs, served, source, revision)
        killed_while_publishing(vcs, made, served)
        from_another_machine(trunk)
        stranger = BzrVcs(tmp_path / "stranger", UrlPolicy(local=True), {}, committer_email="bot@example.com")
        theirs = candidate(stranger, served, source, revision)
        with pytest.raises(UnavailableError):
            stranger.publish(theirs, served, theirs.base, lease(served))
        assert play.tip(trunk) == made.base
        assert not list((tmp_path / "stranger/locks").iterdir())
        vcs.publish(made, served, made.base, lease(served))
    assert play.tip(trunk) == made.id


def from_another_machine(trunk: Location) -> None:
    """Let trunk's lock be one that was taken on a machine of another name, as a container's is when it is made anew."""
    info = Path(trunk.url) / ".bzr/branch/lock/held/info"
    info.write_text(re.sub("hostname: .*", "hostname: another", info.read_text()))


class Killer(logging.Handler):
    """Kills this process as soon as an effect has come to its end."""

    def __init__(self, effect: str) -> None:
        super().__init__(logging.DEBUG)
        self._effect = effect

    def emit(self, record: logging.LogRecord) -> None:
        if (record.msg, record.args) == (effects.ENDS, (self._effect,)):
            os.kill(os.getpid(), signal.SIGKILL)


def killed_after(effect: str, vcs: BzrVcs, made: Candidate, trunk: Location) -> None:
    child = os.fork()
    if not child:
        logger = logging.getLogger(effects.__name__)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(Killer(effect))
        try:
            vcs.publish(made, trunk, made.base, lease(trunk))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@pytest.mark.parametrize("vfs", [True, False])
def test_a_lock_on_a_server_is_known_before_it_is_ours(play: BzrPlayground, tmp_path: Path, vfs: bool) -> None:
    """Where a server lets no client at its files, it names the lock itself."""
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")
    with play.serve(trunk, vfs=vfs) as served:
        made = candidate(vcs, served, source, revision)
        killed_after("bzr.lock", vcs, made, served)
        from_another_machine(trunk)
        vcs.publish(made, served, made.base, lease(served))
    assert play.tip(trunk) == made.id
    assert not list((tmp_path / "private/locks").iterdir())


def test_a_dead_runs_lock_is_known_though_its_process_id_is_anothers_now(
    play: BzrPlayground, vcs: BzrVcs, tmp_path: Path
) -> None:
    trunk = play.trunk({"a": File(b"a\n")}, checked_out=True)
    made = made_for(play, vcs, trunk)
    killed_while_publishing(vcs, made, trunk)
    infos = [Path(trunk.url) / f".bzr/{part}/lock/held/info" for part in ("branch", "checkout")]
    for info in infos:
        info.write_text(re.sub(r"pid: \d+", f"pid: {os.getpid()}", info.read_text()))
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id
    assert not any(info.exists() for info in infos)


def test_a_lock_on_the_private_folder_of_a_killed_run_is_recovered(
    play: BzrPlayground, vcs: BzrVcs, tmp_path: Path
) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    vcs.fetch(trunk, trusted=True)
    child = os.fork()
    if not child:
        with bzr_open.quiet(tmp_path / "home", None):
            ControlDir.open(str(tmp_path / "private/trunk")).open_repository().control_files._lock.attempt_lock()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    newer = play.commit(trunk, {"a": File(b"newer\n")})
    assert vcs.fetch(trunk, trusted=True) == newer


def test_one_who_is_killed_while_tidying_up_leaves_nothing_to_trip_over(
    play: BzrPlayground, vcs: BzrVcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proposal of which half was removed must not be taken for a whole one when it is approved again."""
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    candidate(vcs, trunk, source, revision)
    (proposal,) = (tmp_path / "private/proposals").iterdir()
    child = os.fork()
    if not child:

        def remove_half(folder: Path, **_: object) -> None:
            for pack in folder.rglob("*.pack"):
                pack.unlink()
            if any(folder.rglob("format")):
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(bzr_store, "KEEP_SECONDS", -1.0)
        monkeypatch.setattr(shutil, "rmtree", remove_half)
        Store(tmp_path / "private").prune()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert not proposal.exists()
    made = land(vcs, trunk, source, revision)
    assert play.tip(trunk) == made.id
