"""A source, a tree or a user's settings that try to have a say in a merge, or to run something."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attack.git_forgery import commit, store, tree
from byoci.errors import RejectedError, UnreachableError
from byoci.model import Candidate, Conflict, Location
from byoci.vcs import git_run
from contract.vcs_playground import File, Link, read_folder
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import TEXT, candidate, land, lease, merge

if TYPE_CHECKING:
    from byoci.vcs.git import GitVcs

pytestmark = [pytest.mark.agent, pytest.mark.git]

ATTRIBUTES = "* merge=union text eol=crlf ident filter=evil diff=evil\nb export-ignore\nc export-subst\n"


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def vcs(play: GitPlayground, tmp_path: Path) -> GitVcs:
    return play.vcs(tmp_path / "private")


def hostile_home(home: Path, canary: Path) -> None:
    """A home folder whose git settings change every merge and run a program wherever git lets them."""
    evil = f"touch {canary}"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "attributes").write_text(ATTRIBUTES)
    (home / "attributes").write_text(ATTRIBUTES)
    hooks = home / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-index-change", "post-merge", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\n{evil}\n")
        (hooks / name).chmod(0o755)
    settings = {
        "core.attributesFile": str(home / "attributes"),
        "core.hooksPath": str(hooks),
        "core.fsmonitor": evil,
        "core.sshCommand": evil,
        "core.autocrlf": "true",
        "merge.default": "union",
        "merge.renames": "false",
        "merge.directoryRenames": "true",
        "merge.union.driver": f"{evil}; true",
        "merge.conflictStyle": "diff3",
        "diff.renames": "false",
        "diff.algorithm": "patience",
        "diff.evil.command": evil,
        "filter.evil.smudge": f"{evil}; cat",
        "filter.evil.clean": f"{evil}; cat",
        "i18n.commitEncoding": "ISO-8859-1",
        "commit.gpgSign": "true",
        "gpg.program": evil,
        "user.name": "Else",
        "uploadpack.packObjectsHook": f"{evil}; exec",
        "credential.helper": f"!{evil}",
        "core.askPass": evil,
        "url./nowhere/.insteadOf": "/",
        "protocol.allow": "never",
        "transfer.fsckObjects": "true",
        "alias.merge-tree": f"!{evil}",
        "fetch.prune": "true",
        "push.default": "matching",
        "push.followTags": "true",
        "receive.denyNonFastForwards": "true",
        "core.alternateRefsCommand": evil,
    }
    for name, value in settings.items():
        subprocess.run(["git", "config", "--file", str(home / ".gitconfig"), name, value], check=True)


@pytest.mark.parametrize("in_source", [False, True])
@pytest.mark.slow
def test_attributes_in_a_tree_decide_no_merge(play: GitPlayground, vcs: GitVcs, in_source: bool) -> None:
    files = {".gitattributes": File(ATTRIBUTES.encode()), "sub/.gitattributes": File(ATTRIBUTES.encode())}
    trunk = play.trunk({**TEXT, **({} if in_source else files)})
    source = play.branch(trunk)
    revision = play.commit(source, {**(files if in_source else {}), "a": File(b"one\ntheirs\nthree\n")})
    play.commit(trunk, {"a": File(b"one\nours\nthree\n")})
    merged = merge(vcs, trunk, source, revision)
    assert isinstance(merged, Conflict)
    assert merged.paths == ("a",)


def test_attributes_in_a_tree_change_no_byte_of_an_export(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    files = {
        ".gitattributes": File(ATTRIBUTES.encode()),
        "b": File(b"not left out\n"),
        "c": File(b"$Format:%H$ $Id$\n"),
        "d": File(b"one\r\ntwo\n"),
    }
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    blobs = [("100644", name.encode(), store(play, source, "blob", file.content)) for name, file in files.items()]
    revision = commit(play, source, tree(play, source, *blobs), play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    vcs.export(revision, tmp_path / "out")
    assert read_folder(tmp_path / "out") == files
    assert vcs.read(revision, ["c", "d"]) == {"c": files["c"].content, "d": files["d"].content}


@pytest.mark.slow
def test_a_users_settings_change_nothing_and_run_nothing(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = play.trunk(
        {"a": File(b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "old/x": File(b"x\n" * 9), "old/y": File(b"y\n" * 9)}
    )
    source = play.branch(trunk)
    revision = play.commit(source, {"a": File(b"one\n2\n3\n4\n5\n6\n7\n8\n9\n"), "new/z": File(b"z\n")})
    play.commit(trunk, {"a": File(b"1\n2\n3\n4\n5\n6\n7\n8\nnine\n"), "new/x": File(b"x\n" * 9)})
    neutral = candidate(vcs, trunk, source, revision)
    home, canary = tmp_path / "hostile", tmp_path / "canary"
    home.mkdir()
    hostile_home(home, canary)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    other = play.vcs(tmp_path / "another agent")
    made = candidate(other, trunk, source, revision)
    assert made == neutral
    other.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out") == {
        "a": File(b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n"),
        "old/x": File(b"x\n" * 9),
        "old/y": File(b"y\n" * 9),
        "new/x": File(b"x\n" * 9),
        "new/z": File(b"z\n"),
    }
    conflicting = play.commit(source, {"a": File(b"1\ntwo\n")})
    assert isinstance(merge(other, trunk, source, conflicting), Conflict)
    assert not canary.exists()
    with play.serve(trunk) as served:  # a server has settings of its own
        other.publish(made, served, made.base, lease(served))
    assert not canary.exists()
    assert play.tip(trunk) == made.id


@pytest.mark.slow
def test_a_local_sources_own_settings_and_hooks_run_nothing(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    canary = tmp_path / "canary"
    repository = Path(source.url)
    for name in ("post-upload-pack", "pre-upload-pack", "reference-transaction", "post-checkout", "pre-receive"):
        hook = repository / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
        hook.chmod(0o755)
    for name, value in {
        "uploadpack.packObjectsHook": f"touch {canary}; exec",
        "core.fsmonitor": f"touch {canary}",
        "core.sshCommand": f"touch {canary}",
        "core.alternateRefsCommand": f"touch {canary}",
        "core.hooksPath": str(repository / "hooks"),
        "core.pager": f"touch {canary}",
    }.items():
        play.git(repository, "config", name, value)
    made = land(vcs, trunk, source, revision)
    assert play.tip(trunk) == made.id
    assert not canary.exists()


def test_a_local_source_that_lacks_objects_fetches_none_by_a_command_of_its_own(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    canary = tmp_path / "canary"
    repository = Path(source.url)
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "evil",
        "remote.evil.url": f"ext::sh -c 'touch {canary}'",
        "remote.evil.promisor": "true",
        "remote.evil.uploadpack": f"touch {canary};",
        "remote.evil.partialCloneFilter": "blob:none",
        "protocol.ext.allow": "always",
    }.items():
        play.git(repository, "config", name, value)
    blob = play.git(repository, "rev-parse", f"{revision}:b")
    (repository / "objects" / blob[:2] / blob[2:]).unlink()
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(UnreachableError):
        vcs.fetch(source, revision)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["HEAD", "packed-refs", "refs/heads/feature", "config"])
@pytest.mark.slow
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(
    play: GitPlayground, vcs: GitVcs, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byoci.vcs.git_remote.ASK_SECONDS", 0.5)
    trunk = play.trunk(TEXT)
    source = Location(play.branch(trunk).url, "feature")
    path = Path(source.url) / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(UnreachableError):
        vcs.tip(source)


def test_a_link_in_the_place_of_a_branch_reads_no_other_file(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = Location(play.branch(trunk).url, "feature")
    (tmp_path / "secret").write_text("the agent's secret\n")
    (Path(source.url) / "refs" / "heads" / "feature").symlink_to(tmp_path / "secret")
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(UnreachableError) as caught:
            ask(source)
        assert "secret" not in str(caught.value)


def test_a_bundle_is_no_source_because_git_would_not_check_it(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    blob = store(play, source, "blob", b"x\n")
    bad = commit(play, source, tree(play, source, ("40000", b".git", tree(play, source, ("100644", b"x", blob)))))
    bundle = tmp_path / "source.bundle"
    play.git(Path(source.url), "bundle", "create", "-q", str(bundle), source.branch or "")
    vcs.fetch(trunk, trusted=True)
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(UnreachableError):
            ask(Location(str(bundle), source.branch))
    assert play.try_git(tmp_path / "private" / "objects.git", "cat-file", "-e", bad).returncode


@pytest.mark.slow
def test_replacements_grafts_and_notes_of_a_source_are_not_taken(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    evil = play.commit(source, {"b": File(b"evil\n")})
    play.git(Path(source.url), "update-ref", f"refs/heads/{source.branch}", revision)
    play.git(Path(source.url), "replace", revision, evil)
    play.git(Path(source.url), "tag", "v1", revision)
    made = land(vcs, trunk, source, revision)
    assert vcs.read(made.id, ["b"]) == {"b": b"b\n"}
    assert play.git(Path(trunk.url), "for-each-ref", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch {canary}'",
        "ext::sh -c touch% {canary}",
        "fd::7",
        "--upload-pack=touch {canary}",
        "-u touch {canary}",
        "ssh://-oProxyCommand=touch%20{canary}/x",
        "-oProxyCommand=touch {canary}:x",
        "file::ext::sh -c 'touch {canary}'",
    ],
)
@pytest.mark.slow
def test_a_url_that_is_a_command_runs_nothing(play: GitPlayground, vcs: GitVcs, tmp_path: Path, url: str) -> None:
    canary = tmp_path / "canary"
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    where = Location(url.format(canary=canary))
    for ask in (vcs.tip, vcs.fetch, lambda location: vcs.publish(made, location, made.base, lease(location))):
        with pytest.raises(RejectedError):
            ask(where)
    assert not canary.exists()


def test_no_other_protocol_is_followed_to(tmp_path: Path) -> None:
    """Whatever git is told to do in one place, its environment lets it use that place's protocol only."""
    from byoci.vcs.urls import parse

    git = git_run.Git(tmp_path)
    for url, allowed in {
        "https://example.com/x": "https",
        "http://example.com/x": "http:https",
        "git+ssh://example.com/x": "ssh",
        "example.com:x": "ssh",
        "/srv/x": "file",
    }.items():
        assert git._remote_environment(parse(url))["GIT_ALLOW_PROTOCOL"] == allowed
    assert git.environment()["GIT_ALLOW_PROTOCOL"] == "none"


@pytest.mark.slow
def test_a_server_that_never_stops_talking_is_left(vcs: GitVcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("byoci.vcs.git_remote.STRANGERS", {resource.RLIMIT_DATA: 50 * 1024**2})
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            line = b"%s refs/heads/main\n" % (b"1" * 40)
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                while True:
                    connection.sendall(b"%04x%s" % (len(line) + 4, line) * 1000)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(UnreachableError):
            vcs.tip(Location(f"git://127.0.0.1:{server.getsockname()[1]}/x", "main"))
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.slow
def test_names_that_would_draw_on_a_terminal_are_shown_harmless(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk({"\x1b[2Jx": File(b"1\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"\x1b[2Jx": File(b"2\n")})
    play.commit(trunk, {"\x1b[2Jx": File(b"3\n")})
    merged = merge(vcs, trunk, source, revision)
    assert isinstance(merged, Conflict)
    assert merged.paths == ("\\x1b[2Jx",)
    assert "\x1b" not in merged.details


def test_names_that_are_no_text_are_merged_and_exported(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    name = b"caf\xe9\n".decode("utf-8", "surrogateescape")
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {name: File(b"x\n"), "l": Link(name)}))
    assert isinstance(made, Candidate)
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out") == {**TEXT, name: File(b"x\n"), "l": Link(name)}
    assert vcs.read(made.id, [name]) == {name: b"x\n"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own files for others")
def test_another_users_repository_is_read_and_runs_nothing(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(source.url), "config", "uploadpack.packObjectsHook", f"touch {tmp_path}/canary; exec")
    for path in [Path(source.url), *Path(source.url).rglob("*")]:
        os.lchown(path, 12345, 12345)
    assert vcs.tip(source) == revision
    made = candidate(vcs, trunk, source, revision)
    for path in [Path(trunk.url), *Path(trunk.url).rglob("*")]:
        os.lchown(path, 12345, 12345)
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert vcs.tip(trunk) == made.id
    assert not (tmp_path / "canary").exists()
