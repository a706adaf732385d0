"""The contract of every version control system, sentence by sentence of `vcs/base.py`: reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import (
    RejectedError,
    RevisionGoneError,
    TrunkMovedError,
    UnreachableError,
)
from byoci.model import Location
from contract.vcs_playground import File, Link, Playground, read_folder
from contract.vcs_suite import TEXT, candidate, land, lease, meta

if TYPE_CHECKING:
    from byoci.vcs.base import Vcs

pytestmark = pytest.mark.agent


EXACT = {
    "crlf": File(b"a\r\nb\r\n"),
    "binary": File(bytes(range(256)) * 300),
    "empty": File(b""),
    "run.sh": File(b"#!/bin/sh\n", executable=True),
    "dangling": Link("no/such/file"),
    "outside": Link("/etc/passwd"),
    "to-folder": Link("deep"),
    "deep/er/and/deeper/file": File(b"x"),
    "sp ace/ta b": File(b"$Id$\n"),
    "ünïcode": File(b"\xc3\xbc"),
    ".hidden/file": File(b"h"),
}


# tip


def test_the_tip_is_the_newest_revision(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    assert vcs.tip(trunk) == play.tip(trunk)
    newer = play.commit(trunk, {"a": File(b"b\n")})
    assert vcs.tip(trunk) == newer
    assert vcs.tip(Location(trunk.url)) == newer, "the remote's own default branch"


def test_an_unborn_branch_is_unreachable(play: Playground, vcs: Vcs) -> None:
    with pytest.raises(UnreachableError) as caught:
        vcs.tip(play.empty())
    assert caught.value.resolution


@pytest.mark.parametrize("ask", ["tip", "fetch"])
def test_what_is_no_repository_is_unreachable(play: Playground, vcs: Vcs, tmp_path: Path, ask: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text\n")
    for path in ("nowhere", "folder", "file"):
        with pytest.raises(UnreachableError):
            getattr(vcs, ask)(Location(str(tmp_path / path)))


# URLs


def test_a_path_needs_a_policy_that_allows_it(play: Playground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    remote = play.vcs(tmp_path / "remote", local=False)
    for url in (trunk.url, f"file://{trunk.url}"):
        for ask in (remote.tip, remote.fetch):
            with pytest.raises(RejectedError):
                ask(Location(url, trunk.branch))


@pytest.mark.parametrize("url", ["ext::sh -c 'touch pwned'", "--upload-pack=touch pwned", "ftp://127.0.0.1/a", "a/b"])
def test_a_url_that_is_none_is_rejected(play: Playground, vcs: Vcs, url: str) -> None:
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(RejectedError):
            ask(Location(url))


@pytest.mark.slow
def test_every_url_is_rewritten_first(play: Playground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    names = {"https://example.com/t/": trunk.url, "https://example.com/s/": source.url}
    vcs = play.vcs(tmp_path / "private", rewrite=names)
    named = [Location(url, where.branch) for url, where in zip(names, (trunk, source), strict=True)]
    assert vcs.tip(named[1]) == revision
    made = land(vcs, *named, revision)
    vcs.fetch(named[0], trusted=True)
    assert play.tip(trunk) == made.id
    assert [found.revision for found in vcs.landings(named[0])] == [made.id]


# fetch


def test_fetch_brings_the_tip_or_an_older_revision(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    approved = play.commit(source, {"b": File(b"approved\n")})
    newer = play.commit(source, {"b": File(b"moved on\n")})
    assert vcs.fetch(source, approved) == approved
    assert vcs.read(approved, ["b"]) == {"b": b"approved\n"}
    assert vcs.fetch(source) == newer
    assert vcs.fetch(source, newer) == newer
    assert vcs.fetch(trunk, trusted=True) == play.tip(trunk)
    assert vcs.fetch(trunk, trusted=True) == play.tip(trunk), "again"


@pytest.mark.slow
def test_fetch_after_tip_sees_what_was_published_since(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    vcs.fetch(trunk, trusted=True)
    newest = play.commit(trunk, {"a": File(b"new\n")})
    assert vcs.tip(trunk) == newest
    newest = play.commit(trunk, {"a": File(b"newer\n")})
    assert vcs.fetch(trunk, trusted=True) == newest
    assert vcs.tip(trunk) == newest
    assert vcs.fetch(trunk, trusted=True) == newest
    newest = play.commit(trunk, {"a": File(b"newest\n")})
    assert vcs.fetch(trunk, trusted=True) == newest


@pytest.mark.slow
def test_a_revision_of_another_branch_is_gone(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source, other = play.branch(trunk), play.branch(trunk)
    revision = play.commit(other, {"b": File(b"b\n")})
    with pytest.raises(RevisionGoneError):
        vcs.fetch(source, revision)
    assert vcs.fetch(other, revision) == revision
    with pytest.raises(RevisionGoneError):
        vcs.fetch(source, revision)


@pytest.mark.parametrize("revision", ["", "main", "--all", "HEAD", "null:", "0" * 40, "f" * 40, "../x", "a\nb"])
@pytest.mark.slow
def test_what_is_no_revision_is_gone(play: Playground, vcs: Vcs, revision: str) -> None:
    trunk = play.trunk(TEXT)
    with pytest.raises(RevisionGoneError):
        vcs.fetch(trunk, revision)
    base = vcs.fetch(trunk, trusted=True)
    for pair in ((base, revision), (revision, base)):
        with pytest.raises(RevisionGoneError):
            vcs.merge(*pair, "Say it", meta(revision))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.slow
def test_an_approved_revision_that_was_rewritten_is_gone(play: Playground, vcs: Vcs, known: bool) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    first = play.commit(source, {"b": File(b"b\n")})
    approved = play.commit(source, {"b": File(b"approved\n")})
    if known:
        vcs.tip(source)
        vcs.fetch(source, approved)
    play.rewrite(source, first)
    rewritten = play.commit(source, {"b": File(b"something else\n")})
    with pytest.raises(RevisionGoneError) as caught:
        vcs.fetch(source, approved)
    assert caught.value.resolution
    assert vcs.fetch(source) == rewritten


@pytest.mark.slow
def test_a_source_that_is_gone_is_unreachable(play: Playground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs.fetch(source, revision)
    Path(source.url).rename(f"{source.url}.away")
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(UnreachableError):
            ask(source)


# read


def test_read_gives_regular_files_and_leaves_the_rest_out(play: Playground, vcs: Vcs) -> None:
    tip = vcs.fetch(play.trunk(EXACT), trusted=True)
    wanted = ["crlf", "run.sh", "deep/er/and/deeper/file", "ünïcode"]
    others = ["dangling", "outside", "to-folder", "to-folder/er/and/deeper/file", "deep", "deep/", "no", "no/no", "",
              "/", "../crlf", "./crlf", "/crlf", "crlf/", "deep//er", "crlf/x", "a\nb", "\udcff"]  # fmt: skip
    assert vcs.read(tip, [*wanted, *others]) == {
        name: entry.content for name, entry in EXACT.items() if name in wanted and isinstance(entry, File)
    }
    assert vcs.read(tip, []) == {}


# servers and processes


@pytest.mark.slow
def test_a_whole_landing_through_a_server(play: Playground, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = play.vcs(tmp_path / "private", local=False)
    with play.serve(trunk) as served_trunk, play.serve(source) as served_source:
        assert vcs.tip(served_trunk) == play.tip(trunk)
        assert vcs.tip(served_source) == revision
        made = candidate(vcs, served_trunk, served_source, revision)
        vcs.export(made.id, tmp_path / "out")
        with pytest.raises(RevisionGoneError):
            vcs.fetch(served_trunk, revision)
        vcs.publish(made, served_trunk, made.base, lease(served_trunk))
        with pytest.raises(TrunkMovedError):
            vcs.publish(made, served_trunk, made.base, lease(served_trunk))
        vcs.fetch(served_trunk, trusted=True)
        assert [found.revision for found in vcs.landings(served_trunk)] == [made.id]
    assert play.tip(trunk) == made.id
    assert read_folder(tmp_path / "out") == {**TEXT, "b": File(b"b\n")}
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(UnreachableError):
            ask(served_trunk)


@pytest.mark.slow
def test_a_private_folder_serves_several_readers(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    tip = vcs.fetch(trunk, trusted=True)
    reader = play.vcs(tmp_path / "private")
    assert reader.read(tip, ["a"]) == {"a": TEXT["a"].content}
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    assert reader.read(made.id, ["b"]) == {"b": b"b\n"}
    reader.export(made.id, tmp_path / "out")
    assert [found.revision for found in reader.landings(trunk)] == [made.id]


@pytest.mark.slow
def test_a_private_folder_that_was_lost_is_made_again(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    first = candidate(vcs, trunk, source, revision)
    (tmp_path / "private").rename(tmp_path / "lost")
    assert candidate(play.vcs(tmp_path / "private"), trunk, source, revision) == first
