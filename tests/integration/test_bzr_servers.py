"""bzr through real servers on loopback: bzr+ssh through sshd, bzr:// and plain http."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnreachableError
from byoci.model import Location
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File, read_folder
from contract.vcs_playground_bzr import BzrPlayground
from contract.vcs_suite import candidate, lease
from integration.git_servers import dumb_http, sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.git_servers import Ssh

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ssh]:
    """An sshd on which `bzr` is a program, as clients ask for it by that name."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bzr").write_text(
        f'#!/bin/sh\nunset BRZ_HOME\nexport BRZ_LOG=/dev/null\nexec {sys.executable} -m breezy --no-plugins "$@"\n'
    )
    (programs / "bzr").chmod(0o755)
    with sshd(tmp_path / "sshd") as running:
        yield running


def through(server: Ssh, where: Location, programs: Path) -> Location:
    return Location(f"bzr+{server.url.replace('127.0.0.1', 'git-host')}{where.url}")


def new_vcs(tmp_path: Path, server: Ssh | None = None) -> BzrVcs:
    config = server.config if server else None
    return BzrVcs(tmp_path / "private", UrlPolicy(), {}, committer_email="bot@example.com", ssh_config=config)


def put_first_on_path(server: Ssh, programs: Path) -> None:
    """Let the account's shell find our `bzr`: its ssh client sets nothing, so the server's own settings must."""
    path = f"{programs}:{os.environ.get('PATH', os.defpath)}"
    key = server.key.with_suffix(".pub")
    key.write_text(f'command="PATH={path} sh -c \\"$SSH_ORIGINAL_COMMAND\\"" {key.read_text()}')


def test_a_whole_landing_over_ssh(play: BzrPlayground, tmp_path: Path, server: Ssh) -> None:
    put_first_on_path(server, tmp_path / "programs")
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = new_vcs(tmp_path, server)
    places = [through(server, where, tmp_path) for where in (trunk, source)]
    assert vcs.tip(places[1]) == revision
    made = candidate(vcs, *places, revision)
    vcs.export(made.id, tmp_path / "out")
    vcs.publish(made, places[0], made.base, lease(places[0]))
    assert play.tip(trunk) == vcs.tip(places[0]) == made.id
    assert read_folder(tmp_path / "out") == play.tree(trunk) == {"a": File(b"a\n"), "b": File(b"b\n")}


@pytest.mark.parametrize("form", ["ssh://git-host{path}", "git-host:{path}"])
def test_other_forms_of_an_ssh_url(play: BzrPlayground, tmp_path: Path, server: Ssh, form: str) -> None:
    put_first_on_path(server, tmp_path / "programs")
    trunk = play.trunk({"a": File(b"a\n")})
    assert new_vcs(tmp_path, server).tip(Location(form.format(path=trunk.url))) == play.tip(trunk)


def test_ssh_never_asks_and_says_what_is_wrong(play: BzrPlayground, tmp_path: Path, server: Ssh) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    vcs = new_vcs(tmp_path, server)
    server.key.unlink()
    with pytest.raises(UnreachableError) as caught:
        vcs.tip(through(server, trunk, tmp_path))
    assert "Permission denied" in caught.value.details
    (tmp_path / "sshd" / "known").write_text("")
    with pytest.raises(UnreachableError) as caught:
        vcs.tip(through(server, trunk, tmp_path))
    assert "Host key verification failed" in caught.value.details


def test_ssh_reads_no_option_from_a_url(play: BzrPlayground, tmp_path: Path, server: Ssh) -> None:
    from byoci.errors import RejectedError

    for url in ("bzr+ssh://-oProxyCommand=touch pwned/x", "bzr+ssh://-lroot@git-host/x", "-oProxyCommand=x:y"):
        with pytest.raises(RejectedError):
            new_vcs(tmp_path, server).tip(Location(url))


def test_sources_are_read_over_plain_http(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")
    with dumb_http(play.root) as http:
        made = candidate(vcs, trunk, Location(f"{http.url}/{Path(source.url).name}"), revision)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id


def test_a_long_history_comes_in_steps(play: BzrPlayground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from byoci.vcs import bzr_fetch, bzr_snapshot

    monkeypatch.setattr(bzr_fetch, "_STEP", 3)
    monkeypatch.setattr(bzr_snapshot, "STALE", 4)
    trunk = play.trunk({"a": File(b"a\n")})
    for number in range(8):
        play.commit(trunk, {"a": File(b"%d\n" % number)})
    vcs = BzrVcs(tmp_path / "private", UrlPolicy(), {}, committer_email="bot@example.com")
    with play.serve(trunk) as served:
        assert vcs.fetch(served, trusted=True) == play.tip(trunk)
        for number in range(6):
            newest = play.commit(trunk, {f"n{number}": File(b"%d\n" % number)})
            assert vcs.fetch(served, trusted=True) == newest
            assert vcs.read(newest, ["a", f"n{number}"]) == {"a": b"7\n", f"n{number}": b"%d\n" % number}
    assert len(list((tmp_path / "private" / "snapshots").iterdir())) <= 2
    shutil.rmtree(tmp_path / "private" / "snapshots")
    assert vcs.read(newest, ["a"]) == {"a": b"7\n"}


def test_the_account_is_the_urls_own(play: BzrPlayground, tmp_path: Path, server: Ssh) -> None:
    put_first_on_path(server, tmp_path / "programs")
    trunk = play.trunk({"a": File(b"a\n")})
    place = through(server, trunk, tmp_path)
    named = replace(place, url=place.url.replace("//", f"//{getpass.getuser()}@", 1))
    assert new_vcs(tmp_path, server).tip(named) == play.tip(trunk)
