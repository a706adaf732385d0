"""git through real servers: smart http, and ssh."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import PublishRefusedError, RejectedError, TrunkMovedError, UnreachableError
from byoci.model import Location
from byoci.vcs.git import GitVcs
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import BOT, File, read_folder
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import TEXT, candidate, land, lease
from integration.git_servers import dumb_http, redirecting_http, smart_http, sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.git_servers import Ssh

pytestmark = [pytest.mark.agent, pytest.mark.git]


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Ssh]:
    with sshd(tmp_path / "sshd") as server:
        yield server


def remote(private: Path, ssh_config: Path | None = None) -> GitVcs:
    return GitVcs(private, UrlPolicy(), {}, committer_email=BOT.email, ssh_config=ssh_config)


def served(url: str, where: Location) -> Location:
    return Location(f"{url}/{Path(where.url).name}", where.branch)


def writable(play: GitPlayground, where: Location) -> None:
    play.git(Path(where.url), "config", "http.receivepack", "true")


@pytest.mark.slow
def test_a_whole_landing_over_http(play: GitPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({**TEXT, "large": File(os.urandom(3_000_000))})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(os.urandom(2_000_000))})  # more than one post holds: it is sent in chunks
    writable(play, trunk)
    vcs = remote(tmp_path / "private")
    with smart_http(play.root) as http:
        where, offered = served(http.url, trunk), served(http.url, source)
        assert vcs.tip(Location(where.url)) == play.tip(trunk)
        assert vcs.tip(offered) == revision
        made = land(vcs, where, offered, revision)
        with pytest.raises(TrunkMovedError):
            vcs.publish(made, where, made.base, lease(where))
        assert vcs.fetch(where, trusted=True) == made.id
        assert vcs.fetch(offered, revision) == revision, "again, with nothing to bring"
        assert [found.revision for found in vcs.landings(where)] == [made.id]
    assert play.tip(trunk) == made.id
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out") == play.tree(trunk)
    assert not [path for path in (tmp_path / "private").iterdir() if path.name.startswith("incoming")]


@pytest.mark.slow
def test_a_read_only_http_server_refuses(play: GitPlayground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    vcs = remote(tmp_path / "private")
    with smart_http(play.root) as http:
        where = served(http.url, trunk)
        made = candidate(vcs, where, served(http.url, source), play.commit(source, {"b": File(b"b\n")}))
        with pytest.raises(PublishRefusedError):
            vcs.publish(made, where, made.base, lease(where))
    assert play.tip(trunk) == made.base


@pytest.mark.slow
def test_a_hook_of_trunks_server_refuses_in_its_own_words(play: GitPlayground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    writable(play, trunk)
    hook = Path(trunk.url) / "hooks" / "update"
    hook.write_text("#!/bin/sh\necho 'not on a \033[31mMonday, says https://ann:s3cret@example.com'\nexit 1\n")
    hook.chmod(0o755)
    vcs = remote(tmp_path / "private")
    with smart_http(play.root) as http:
        where = served(http.url, trunk)
        made = candidate(vcs, where, served(http.url, source), play.commit(source, {"b": File(b"b\n")}))
        with pytest.raises(PublishRefusedError) as caught:
            vcs.publish(made, where, made.base, lease(where))
    assert "Monday" in caught.value.details
    assert "\033" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert play.tip(trunk) == made.base


@pytest.mark.slow
def test_a_login_reaches_the_server_and_nobody_else(
    play: GitPlayground, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    writable(play, trunk)
    vcs = remote(tmp_path / "private")
    caplog.set_level(logging.DEBUG)
    with smart_http(play.root, login="ann:s3c ret") as http:
        url = http.url.replace("http://", "http://ann:s3c%20ret@")
        made = land(vcs, served(url, trunk), served(url, source), revision)
        wrong = served(url.replace("s3c", "gu3ss"), trunk)
        for location in (wrong, served(http.url, trunk)):
            with pytest.raises(UnreachableError) as caught:
                vcs.tip(location)
            assert "gu3ss" not in str(caught.value)
        assert len(set(http.logins)) == 3
    assert play.tip(trunk) == made.id
    assert "git push" in caplog.text
    assert "s3c" not in caplog.text
    kept = subprocess.run(["grep", "-rc", "s3c", str(tmp_path / "private")], capture_output=True, check=False)
    assert kept.returncode == 1, kept.stdout


def test_the_agents_proxy_is_used(play: GitPlayground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = play.trunk(TEXT)
    with smart_http(play.root) as http:
        monkeypatch.setenv("http_proxy", http.url)
        vcs = remote(tmp_path / "private")
        assert vcs.fetch(served("http://git.invalid", trunk), trusted=True) == play.tip(trunk)


def test_a_login_is_not_carried_to_where_a_server_sends(play: GitPlayground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    vcs = remote(tmp_path / "private")
    with smart_http(play.root) as elsewhere, redirecting_http(elsewhere.url) as http:
        assert vcs.tip(served(http.url, trunk)) == play.tip(trunk)
        with pytest.raises(UnreachableError):
            vcs.tip(served(http.url.replace("//", "//ann:s3cret@"), trunk))
        assert set(elsewhere.logins) == {""}


@pytest.mark.slow
def test_a_server_that_offers_plain_files_is_no_source(play: GitPlayground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(source.url), "update-server-info")
    vcs = remote(tmp_path / "private")
    with smart_http(play.root) as http:
        vcs.fetch(served(http.url, trunk), trusted=True)
    with dumb_http(play.root) as http, pytest.raises(RejectedError, match="not served by git"):
        vcs.fetch(served(http.url, source), revision)
    assert play.try_git(tmp_path / "private" / "objects.git", "cat-file", "-e", revision).returncode != 0


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path) -> None:
    vcs = remote(tmp_path / "private")
    for url in ("http://127.0.0.1:1/a", "git://127.0.0.1:1/a", "ssh://127.0.0.1:1/a"):
        begun = time.monotonic()
        with pytest.raises(UnreachableError):
            vcs.tip(Location(url))
        assert time.monotonic() - begun < 20


@pytest.mark.slow
def test_a_whole_landing_over_ssh(play: GitPlayground, tmp_path: Path, ssh: Ssh) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = remote(tmp_path / "private", ssh.config)
    where = Location(f"{ssh.url}{trunk.url}", trunk.branch)
    offered = Location(f"{ssh.host}:{source.url}", source.branch)
    made = land(vcs, where, offered, revision)
    with pytest.raises(TrunkMovedError):
        vcs.publish(made, where, made.base, lease(where))
    assert play.tip(trunk) == vcs.tip(where) == made.id
    assert vcs.tip(Location(where.url.replace("ssh://", "git+ssh://"))) == made.id


def test_an_unknown_host_is_not_asked_about(play: GitPlayground, tmp_path: Path, ssh: Ssh) -> None:
    trunk = play.trunk(TEXT)
    ssh.config.with_name("known").write_text("")
    with pytest.raises(UnreachableError) as caught:
        remote(tmp_path / "private", ssh.config).tip(Location(f"{ssh.url}{trunk.url}"))
    assert "Host key verification failed" in caught.value.details


@pytest.mark.slow
def test_keys_come_from_the_users_ssh_agent(
    play: GitPlayground, tmp_path: Path, ssh: Ssh, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = Location(f"{ssh.url}{play.trunk(TEXT).url}")
    config = ssh.config.read_text()
    ssh.config.write_text(
        config.replace(f"IdentityFile {ssh.key}", "IdentityFile none").replace("IdentitiesOnly yes", "")
    )
    vcs = remote(tmp_path / "private", ssh.config)
    with pytest.raises(UnreachableError):
        vcs.tip(where)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "agent").exists():
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", str(ssh.key)], check=True, stderr=subprocess.DEVNULL)
        assert vcs.tip(where)
    finally:
        agent.terminate()
        agent.wait(10)


@pytest.mark.slow
def test_a_checked_out_trunk_behind_ssh_says_what_to_set(play: GitPlayground, tmp_path: Path, ssh: Ssh) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = remote(tmp_path / "private", ssh.config)
    where, offered = Location(f"{ssh.url}{trunk.url}"), Location(f"{ssh.url}{source.url}", source.branch)
    made = candidate(vcs, where, offered, revision)
    with pytest.raises(PublishRefusedError) as caught:
        vcs.publish(made, where, made.base, lease(where))
    assert "updateInstead" in caught.value.resolution
    play.git(play.folder(trunk), "config", "receive.denyCurrentBranch", "updateInstead")
    (play.folder(trunk) / "a").write_text("half an idea\n")
    with pytest.raises(PublishRefusedError):
        vcs.publish(made, where, made.base, lease(where))
    play.git(play.folder(trunk), "checkout", "-q", "a")
    vcs.publish(made, where, made.base, lease(where))
    assert read_folder(play.folder(trunk)) == {**TEXT, "b": File(b"b\n")}
