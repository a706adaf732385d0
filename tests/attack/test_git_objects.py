"""A proposal whose objects are not what they seem."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attack.git_forgery import commit, store, tree
from byoci.errors import RejectedError, UnavailableError
from byoci.model import Candidate, Conflict, Location
from byoci.vcs import git_export, git_run
from contract.vcs_playground import File, Gone, Link, read_folder
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import TEXT, land, merge, meta
from integration.git_servers import smart_http

if TYPE_CHECKING:
    from byoci.vcs.git import GitVcs

pytestmark = [pytest.mark.agent, pytest.mark.git]


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def vcs(play: GitPlayground, tmp_path: Path) -> GitVcs:
    return play.vcs(tmp_path / "private")


EVIL_NAMES = {
    b".git": "hasDotgit",
    b".GIT": "hasDotgit",
    b".Git": "hasDotgit",
    b"git~1": "hasDotgit",
    b".git ": "hasDotgit",
    b".git...": "hasDotgit",
    b".git::$INDEX_ALLOCATION": "hasDotgit",
    b".g\xe2\x80\x8cit": "hasDotgit",
    b"..": "hasDotdot",
    b".": "hasDot",
    b"a/b": "fullPathname",
}


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.slow
def test_a_path_that_no_tree_may_hold_is_refused_by_its_rule(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, name: bytes, over_http: bool
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    inner = tree(play, source, ("100755", b"config", store(play, source, "blob", b"[core]\nsshCommand = evil\n")))
    bad = tree(play, source, ("40000", name, inner))
    revision = commit(play, source, bad, play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    with smart_http(play.root) as http:
        where = Location(f"{http.url}/{Path(source.url).name}", source.branch) if over_http else source
        with pytest.raises(RejectedError) as caught:
            vcs.fetch(where, revision)
    assert EVIL_NAMES[name] in caught.value.details
    assert bad in caught.value.details
    for stored in (revision, bad, inner):
        assert play.try_git(tmp_path / "private" / "objects.git", "cat-file", "-e", stored).returncode


@pytest.mark.parametrize("name", [b".git", b"..", b".", b"a/b"])
def test_even_an_old_object_of_trunk_is_not_written_outside(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, name: bytes
) -> None:
    trunk = play.trunk(TEXT)
    blob = store(play, trunk, "blob", b"evil\n")
    inner = tree(play, trunk, ("100644", b"hooks", blob))
    bad = tree(play, trunk, ("100644", b"a", blob), ("40000", name, inner))
    before = play.tip(trunk)
    tip = commit(play, trunk, bad, before)
    assert vcs.fetch(trunk, trusted=True) == tip
    with pytest.raises(RejectedError):
        vcs.export(tip, tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "out").exists()
    held = vcs.export(before, tmp_path / "tree")
    with pytest.raises(RejectedError):
        vcs.update(tmp_path / "tree", held, tip)
    assert not [path for path in tmp_path.rglob("hooks") if path.is_file()]


def test_a_link_and_a_folder_of_one_name_write_nothing_through_the_link(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    outside = tmp_path / "outside"
    outside.mkdir()
    link = store(play, source, "blob", str(outside).encode())
    evil = tree(play, source, ("100644", b"passwd", store(play, source, "blob", b"evil\n")))
    both = tree(play, source, ("120000", b"d", link), ("40000", b"d", evil))
    revision = commit(play, source, both, play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(RejectedError, match="not allowed"):
        vcs.fetch(source, revision)
    vcs.fetch(source, trusted=True)  # as if it were trunk's own, which is exempt from that check
    with pytest.raises(RejectedError, match="twice"):
        vcs.export(revision, tmp_path / "out")
    held = vcs.export(play.tip(trunk), tmp_path / "tree")
    with pytest.raises(RejectedError, match="twice"):
        vcs.update(tmp_path / "tree", held, revision)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_link_that_becomes_a_folder_in_a_merge_writes_nothing_through_it(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path
) -> None:
    trunk = play.trunk({"d/a": File(b"a\n"), "x": File(b"x\n")})
    source = play.branch(trunk)
    outside = tmp_path / "outside"
    outside.mkdir()
    revision = play.commit(source, {"d": Link(str(outside))})
    play.commit(trunk, {"d/b": File(b"b\n")})
    merged = merge(vcs, trunk, source, revision)
    if isinstance(merged, Candidate):
        vcs.export(merged.id, tmp_path / "out")
    else:
        assert isinstance(merged, Conflict)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("url", ["-oProxyCommand=touch pwned", "https://a\\nb@c/", "https://a%0ab@c/"])
@pytest.mark.slow
def test_a_submodule_with_a_hostile_url_is_refused(play: GitPlayground, vcs: GitVcs, url: str) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = play.commit(source, {".gitmodules": File(f'[submodule "s"]\n\tpath = s\n\turl = "{url}"\n'.encode())})
    vcs.fetch(trunk, trusted=True)
    with pytest.raises(RejectedError) as caught:
        vcs.fetch(source, revision)
    assert "gitmodulesUrl" in caught.value.details


def test_a_submodule_is_never_fetched(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    library = play.trunk({"lib": File(b"l\n")})
    source = play.branch(trunk)
    modules = f'[submodule "s"]\n\tpath = s\n\turl = {library.url}\n'.encode()
    files = tree(
        play,
        source,
        ("100644", b".gitmodules", store(play, source, "blob", modules)),
        ("160000", b"s", play.tip(library)),
    )
    revision = commit(play, source, files, play.tip(trunk))
    made = land(vcs, trunk, source, revision)
    vcs.export(made.id, tmp_path / "out")
    assert list((tmp_path / "out" / "s").iterdir()) == []
    assert play.try_git(tmp_path / "private" / "objects.git", "cat-file", "-e", play.tip(library)).returncode


def old_padded_trunk(play: GitPlayground) -> tuple[Location, str]:
    """A trunk whose history holds a folder that an ancient program wrote with a padded mode, and no longer has it."""
    trunk = play.trunk(TEXT)
    blob = store(play, trunk, "blob", b"old\n")
    padded = tree(play, trunk, ("0100644", b"old", blob))
    root = tree(play, trunk, ("100644", b"a", store(play, trunk, "blob", TEXT["a"].content)), ("40000", b"d", padded))
    commit(play, trunk, root, play.tip(trunk))
    play.commit(trunk, {"d": Gone(), "n": File(b"n\n")})
    play.commit(trunk, {"n": File(b"m\n")})
    return trunk, padded


@pytest.mark.slow
def test_trunks_own_old_objects_are_exempt_and_a_proposals_are_not(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path
) -> None:
    trunk, padded = old_padded_trunk(play)
    source = play.branch(trunk)
    a = store(play, source, "blob", TEXT["a"].content)
    again = commit(
        play,
        source,
        tree(play, source, ("100644", b"a", a), ("40000", b"d", padded), ("100644", b"n", a)),
        play.tip(trunk),
    )
    assert vcs.fetch(trunk, trusted=True) == play.tip(trunk)
    assert vcs.fetch(source, again) == again, "it brings an old folder of trunk's back"
    made = land(vcs, trunk, source, again)
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out")["d/old"] == File(b"old\n")
    new = tree(play, source, ("0100644", b"new", a))
    bad = commit(play, source, tree(play, source, ("100644", b"a", a), ("40000", b"e", new)), again)
    with pytest.raises(RejectedError, match="not allowed") as caught:
        vcs.fetch(source, bad)
    assert "zeroPaddedFilemode" in caught.value.details
    assert new in caught.value.details


def test_a_refused_object_is_refused_again(play: GitPlayground, vcs: GitVcs) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    blob = store(play, source, "blob", b"x\n")
    bad = commit(play, source, tree(play, source, ("40000", b".git", tree(play, source, ("100644", b"x", blob)))))
    vcs.fetch(trunk, trusted=True)
    for _ in range(3):
        with pytest.raises(RejectedError):
            vcs.fetch(source, bad)


def bomb(play: GitPlayground, where: Location, depth: int) -> str:
    """A tree of ten to the power of `depth` files in a few hundred bytes; returns the commit."""
    name = store(play, where, "blob", b"boom\n")
    mode = "100644"
    for _ in range(depth):
        name = tree(play, where, *((mode, b"%d" % number, name) for number in range(10)))
        mode = "40000"
    a = store(play, where, "blob", TEXT["a"].content)
    return commit(play, where, tree(play, where, ("100644", b"a", a), ("40000", b"b", name)), play.tip(where))


@pytest.mark.slow
def test_a_tree_of_ten_billion_files_is_refused(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    revision = bomb(play, source, depth=10)
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    made = vcs.merge(base, revision, "x", meta(revision))
    assert isinstance(made, Candidate)
    with pytest.raises(RejectedError, match="too large"):
        vcs.export(made.id, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_merge_of_ten_billion_files_ends_in_bounded_memory(
    play: GitPlayground, vcs: GitVcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_run, "STRANGERS", {resource.RLIMIT_DATA: 200 * 1024**2})
    trunk = play.trunk({**TEXT, "was": File(b"boom\n" * 20)})
    source = play.branch(trunk)
    revision = bomb(play, source, depth=10)  # "was" is gone there: git looks for where it moved
    base = play.commit(trunk, {"was": File(b"boom\n" * 21)})
    vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    with pytest.raises(RejectedError, match="more than can be merged"):
        vcs.merge(base, revision, "x", meta(revision))


@pytest.mark.slow
def test_folders_without_end_are_refused(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    name = tree(play, source, ("100644", b"x", store(play, source, "blob", b"x\n")))
    for _ in range(210):
        name = tree(play, source, ("40000", b"d", name))
    revision = commit(play, source, name, play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    with pytest.raises(RejectedError, match="too large"):
        vcs.export(revision, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [b"", b"x" * 5000, b"a\0b"])
def test_a_link_that_no_system_can_make_leaves_nothing(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, target: bytes
) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    a = store(play, source, "blob", TEXT["a"].content)
    link = store(play, source, "blob", target)
    revision = commit(play, source, tree(play, source, ("100644", b"a", a), ("120000", b"l", link)), play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    with pytest.raises((RejectedError, UnavailableError)):
        vcs.export(revision, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tree_larger_than_the_limit_is_refused(
    play: GitPlayground, vcs: GitVcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_export, "EXPORT_BYTES", 10_000)
    tip = vcs.fetch(play.trunk({"a": File(b"x" * 6_000), "b": File(b"y" * 6_000)}), trusted=True)
    with pytest.raises(RejectedError, match="too large"):
        vcs.export(tip, tmp_path / "out")
    assert not (tmp_path / "out").exists()


EXPORTER = """
import pathlib, sys
from byoci.vcs.git import GitVcs
from byoci.vcs.urls import UrlPolicy
private, revision, folder = sys.argv[1:]
vcs = GitVcs(pathlib.Path(private), UrlPolicy(local=True), {}, committer_email="x")
vcs.export(revision, pathlib.Path(folder))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_a_huge_file_is_exported_in_bounded_memory(play: GitPlayground, vcs: GitVcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(300 * 1024**2)
    blob = play.git(Path(trunk.url), "hash-object", "-w", str(tmp_path / "huge"))
    tip = commit(play, trunk, tree(play, trunk, ("100644", b"huge", blob)), play.tip(trunk))
    vcs.fetch(trunk, trusted=True)
    argv = [sys.executable, "-c", EXPORTER, str(tmp_path / "private"), tip, str(tmp_path / "out")]
    done = subprocess.run(argv, env=os.environ, capture_output=True, check=True)
    assert (tmp_path / "out" / "huge").stat().st_size == 300 * 1024**2
    assert int(done.stdout) < 60_000, "kilobytes"
