"""The private repository: what it takes from others' repositories, and how it stays in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import (
    ProgramMissingError,
    PublishRefusedError,
    RejectedError,
    RevisionGoneError,
    UnreachableError,
)
from byoci.model import Candidate, Location
from byoci.vcs import git
from byoci.vcs.git_run import Git
from contract.vcs_playground import File, Gone, read_folder
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import TEXT, candidate, land, lease, meta

if TYPE_CHECKING:
    from byoci.vcs.git import GitVcs

pytestmark = [pytest.mark.agent, pytest.mark.git]


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def vcs(play: GitPlayground, tmp_path: Path) -> GitVcs:
    return play.vcs(tmp_path / "private")


@pytest.mark.slow
def test_small_packs_are_joined_and_nothing_is_lost(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "PACKS", 3)
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    landed = []
    for number in range(8):
        landed.insert(0, land(vcs, trunk, source, play.commit(source, {f"n{number}": File(b"n\n")})).id)
    packs = list((tmp_path / "private" / "objects.git" / "objects" / "pack").glob("*.pack"))
    assert len(packs) <= 4
    vcs.fetch(trunk, trusted=True)
    assert [found.revision for found in vcs.landings(trunk)] == landed
    for revision in landed:
        assert vcs.read(revision, ["a"]) == {"a": TEXT["a"].content}


def test_a_git_that_is_too_old_is_named(play: GitPlayground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = play.trunk(TEXT)
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.37.9\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    with pytest.raises(ProgramMissingError, match=r"2\.38") as caught:
        play.vcs(tmp_path / "private").fetch(trunk, trusted=True)
    assert "2.37.9" in caught.value.details
    assert caught.value.resolution


def test_no_git_at_all_is_named(play: GitPlayground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = play.trunk(TEXT)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissingError):
        play.vcs(tmp_path / "private").fetch(trunk, trusted=True)


def test_repositories_with_sha256_ids_are_landed_on(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    work = tmp_path / "work"
    play.git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(work))
    (work / "a").write_bytes(b"a\n")
    play.git(work, "add", "a")
    play.git(work, "commit", "-q", "-m", "Begin")
    play.git(work, "branch", "feature")
    trunk, source = Location(str(work), "main"), Location(str(work), "feature")
    play.git(work, "checkout", "-q", "feature")
    (work / "b").write_bytes(b"b\n")
    play.git(work, "add", "b")
    play.git(work, "commit", "-q", "-m", "More")
    revision = play.git(work, "rev-parse", "HEAD")
    play.git(work, "checkout", "-q", "main")
    assert len(vcs.tip(trunk)) == 64
    made = land(vcs, trunk, source, revision)
    assert play.git(work, "rev-parse", "main") == made.id
    assert read_folder(work) == {"a": File(b"a\n"), "b": File(b"b\n")}
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out") == read_folder(work)


def test_a_repository_of_the_other_kind_of_ids_is_no_source(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    vcs.fetch(play.trunk(TEXT), trusted=True)
    play.git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", "other")
    play.git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(UnreachableError):
        vcs.fetch(Location(str(tmp_path / "other")))


@pytest.mark.slow
def test_a_shallow_clone_is_no_source(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    for number in range(3):
        play.commit(trunk, {"a": File(b"%d\n" % number)})
    other = play.trunk(TEXT)
    play.git(tmp_path, "clone", "-q", "--depth", "1", f"file://{trunk.url}", "shallow")
    vcs.fetch(other, trusted=True)
    with pytest.raises(RejectedError, match="shallow") as caught:
        vcs.fetch(Location(str(tmp_path / "shallow")))
    assert "unshallow" in caught.value.resolution


def test_histories_that_have_nothing_in_common_are_rejected(play: GitPlayground, vcs: GitVcs) -> None:
    trunk, other = play.trunk(TEXT), play.trunk({"b": File(b"b\n")})
    revision = play.tip(other)
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(other, revision)
    with pytest.raises(RejectedError, match="no history"):
        vcs.merge(base, revision, "x", meta(revision))


@pytest.mark.slow
def test_a_revision_that_its_server_offers_elsewhere_is_taken(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    first = play.tip(trunk)
    approved = play.commit(source, {"b": File(b"b\n")})
    play.git(Path(source.url), "update-ref", "refs/merge-requests/7/head", approved)
    play.rewrite(source, first)
    assert vcs.fetch(source, approved) == approved
    assert vcs.fetch(Location(source.url, "refs/merge-requests/7/head")) == approved
    play.git(Path(source.url), "update-ref", "-d", "refs/merge-requests/7/head")
    with pytest.raises(RevisionGoneError):
        vcs.fetch(source, approved)


@pytest.mark.parametrize(
    "branch",
    ["main:refs/heads/x", "*", "-x", "--upload-pack=x", "a b", "a..b", "a\nb", "^main", "main~1", "@{u}", "@", "/x",
     "x/", "x.lock", "x.lock/y", ".x", "a/.x", "x.", "a//b", "a\\b", "[x]", "refs/heads/main:refs/heads/x", "\x7f"],
)  # fmt: skip
@pytest.mark.slow
def test_what_is_no_name_of_a_branch_is_rejected(play: GitPlayground, vcs: GitVcs, branch: str) -> None:
    trunk = play.trunk(TEXT)
    for ask in (vcs.tip, vcs.fetch):
        with pytest.raises(RejectedError):
            ask(Location(trunk.url, branch))


def test_branches_with_odd_names_are_read(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    tip = play.tip(trunk)
    for branch in ("ünï/cödé", "a'b\"c$d", "heads/x", "ref", "HEAD2"):
        play.git(Path(trunk.url), "branch", branch, tip)
        where = Location(trunk.url, branch)
        assert vcs.tip(where) == vcs.fetch(where) == tip
    play.git(Path(trunk.url), "pack-refs", "--all")
    assert vcs.tip(Location(trunk.url, "ünï/cödé")) == vcs.tip(Location(trunk.url)) == tip


def test_a_branch_that_ends_like_another_is_not_taken_for_it(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    tip = play.tip(trunk)
    play.git(Path(trunk.url), "branch", "x/refs/heads/wanted", tip)
    play.git(Path(trunk.url), "pack-refs", "--all")
    with play.serve(trunk) as served:
        for url in (trunk.url, served.url):
            for ask in (vcs.tip, vcs.fetch):
                with pytest.raises(UnreachableError, match="has no branch wanted"):
                    ask(Location(url, "wanted"))


def test_a_tag_is_no_branch(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    play.commit(source, {"b": File(b"b\n")})
    play.git(Path(source.url), "tag", "-a", "-m", "x", "v1", source.branch or "")
    tag = play.git(Path(source.url), "rev-parse", "v1")
    base = vcs.fetch(trunk, trusted=True)
    assert vcs.fetch(Location(source.url, "refs/tags/v1")) == tag
    with pytest.raises(RevisionGoneError):
        vcs.merge(base, tag, "x", meta(tag))


@pytest.mark.slow
def test_a_trunk_with_a_detached_head_needs_a_branch(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    (Path(trunk.url) / "HEAD").write_text(f"{play.tip(trunk)}\n")
    head = Location(trunk.url)
    made = candidate(vcs, head, source, play.commit(source, {"b": File(b"b\n")}))
    with pytest.raises(PublishRefusedError) as caught:
        vcs.publish(made, head, made.base, lease(head))
    assert "URL;BRANCH" in caught.value.resolution
    assert play.tip(trunk) == made.base


@pytest.mark.slow
def test_a_default_branch_that_is_renamed_is_found_again(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    head = Location(trunk.url)
    land(vcs, head, source, play.commit(source, {"b": File(b"b\n")}))
    play.git(Path(trunk.url), "branch", "-m", "main", "trunk")
    revision = play.commit(source, {"c": File(b"c\n")})
    vcs.tip(head)
    made = land(vcs, head, source, revision)
    assert play.tip(Location(trunk.url, "trunk")) == made.id
    assert play.git(Path(trunk.url), "for-each-ref", "--format=%(refname)") == "refs/heads/trunk"


def test_another_working_tree_of_a_repository_is_a_source(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    play.git(Path(trunk.url), "worktree", "add", "-q", "-b", "feature", str(tmp_path / "linked"))
    (tmp_path / "linked" / "b").write_text("b\n")
    play.git(tmp_path / "linked", "add", "b")
    play.git(tmp_path / "linked", "commit", "-q", "-m", "More")
    revision = play.git(tmp_path / "linked", "rev-parse", "HEAD")
    source = Location(str(tmp_path / "linked"))
    assert vcs.tip(source) == revision
    land(vcs, trunk, source, revision)


@pytest.mark.slow
def test_submodules_are_empty_folders(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    library, trunk = play.trunk({"lib": File(b"l\n")}), play.trunk(TEXT, checked_out=True)
    folder = play.folder(trunk)
    play.git(folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.url, "sub/mod")
    play.git(folder, "commit", "-q", "-m", "A submodule")
    source = play.branch(trunk)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n"), "a": Gone()}))
    vcs.export(made.id, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "mod").is_dir()
    assert list((tmp_path / "out" / "sub" / "mod").iterdir()) == []
    assert set(read_folder(tmp_path / "out")) == {".gitmodules", "b"}
    assert vcs.read(made.id, ["sub/mod", "sub/mod/lib", "b"]) == {"b": b"b\n"}
    assert (folder / "sub" / "mod" / "lib").exists(), "the person's own files stay"


def test_the_users_ssh_agent_is_for_remotes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert "SSH_AUTH_SOCK" not in Git(tmp_path).environment()


@pytest.mark.slow
def test_the_callers_git_environment_takes_no_part(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    made = candidate(vcs, trunk, source, revision)
    for name, value in {
        "GIT_DIR": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere/index",
        "GIT_OBJECT_DIRECTORY": "/nowhere/objects",
        "GIT_NAMESPACE": "x",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00",
        "GIT_COMMITTER_NAME": "Else",
        "GIT_SSH_COMMAND": "false",
        "GIT_EXEC_PATH": "/nowhere",
        "GIT_TRACE": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "LANGUAGE": "de",
    }.items():
        monkeypatch.setenv(name, value)
    again = play.vcs(tmp_path / "another")
    assert candidate(again, trunk, source, revision) == made
    again.publish(made, trunk, made.base, lease(trunk))
    assert isinstance(made, Candidate)
    monkeypatch.undo()
    assert play.tip(trunk) == made.id
