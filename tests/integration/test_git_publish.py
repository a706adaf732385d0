"""Publishing to a trunk on this machine: checked out or bare, while a person works in it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import PublishRefusedError, TrunkMovedError, UnavailableError
from byoci.model import Candidate, Location
from contract.vcs_playground import File, Gone, read_folder
from contract.vcs_playground_git import GitPlayground
from contract.vcs_suite import TEXT, candidate, land, lease, merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.vcs.base import Vcs

pytestmark = [pytest.mark.agent, pytest.mark.git]


@pytest.fixture
def play(tmp_path: Path) -> GitPlayground:
    return GitPlayground(tmp_path / "play")


@pytest.fixture
def vcs(play: GitPlayground, tmp_path: Path) -> Vcs:
    return play.vcs(tmp_path / "private")


def hook(repository: Path, name: str, script: str) -> None:
    path = repository / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def clean(play: GitPlayground, folder: Path) -> bool:
    return play.git(folder, "status", "--porcelain") == ""


def test_a_branch_that_is_not_checked_out_is_pushed_to(play: GitPlayground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    play.git(play.folder(trunk), "branch", "release")
    release = Location(trunk.url, "release")
    source = play.branch(trunk)
    made = land(vcs, release, source, play.commit(source, {"b": File(b"b\n")}))
    assert play.tip(release) == made.id
    assert play.tip(trunk) != made.id
    assert read_folder(play.folder(trunk)) == TEXT


@pytest.mark.slow
def test_a_linked_working_tree_follows(play: GitPlayground, vcs: Vcs, tmp_path: Path) -> None:
    bare = play.trunk(TEXT)
    source = play.branch(bare)
    linked = tmp_path / "linked"
    play.git(Path(bare.url), "worktree", "add", "-q", str(linked), "main")
    made = land(vcs, bare, source, play.commit(source, {"b": File(b"b\n")}))
    assert play.git(linked, "rev-parse", "HEAD") == made.id
    assert read_folder(linked, without=()) == {**TEXT, "b": File(b"b\n"), ".git": File((linked / ".git").read_bytes())}
    assert clean(play, linked)
    later = candidate(vcs, bare, source, play.commit(source, {"a": File(b"c\n")}))
    (linked / "a").write_text("half an idea\n")
    with pytest.raises(PublishRefusedError):
        vcs.publish(later, bare, later.base, lease(bare))
    assert play.tip(bare) == made.id


@pytest.mark.slow
@pytest.mark.parametrize("path", [".git", ""])
def test_a_repository_in_a_repositorys_folder_is_its_trunk(play: GitPlayground, vcs: Vcs, path: str) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    where = Location(str(Path(trunk.url) / path))
    made = land(vcs, where, source, play.commit(source, {"b": File(b"b\n")}))
    assert play.tip(trunk) == vcs.tip(where) == made.id
    assert read_folder(play.folder(trunk)) == {**TEXT, "b": File(b"b\n")}


def test_staged_work_is_uncommitted_work(play: GitPlayground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    (play.folder(trunk) / "c").write_text("staged\n")
    play.git(play.folder(trunk), "add", "c")
    with pytest.raises(PublishRefusedError, match="not committed") as caught:
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert "c" in caught.value.details
    assert play.git(play.folder(trunk), "status", "--porcelain") == "A  c"


@pytest.mark.slow
def test_a_persons_notes_beside_the_files_do_not_matter(play: GitPlayground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n"), "a": Gone()}))
    (play.folder(trunk) / "notes").write_text("mine\n")
    os.utime(play.folder(trunk) / "a", (1, 1))  # touched, not changed
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert read_folder(play.folder(trunk)) == {"b": File(b"b\n"), "notes": File(b"mine\n")}


@pytest.mark.slow
def test_the_persons_own_filters_apply_to_his_files(
    play: GitPlayground, vcs: Vcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(play.root / "home"))
    (play.root / "home" / ".gitconfig").write_text('[filter "loud"]\nsmudge = tr a-z A-Z\nclean = tr A-Z a-z\n')
    trunk = play.trunk({".gitattributes": File(b"*.txt filter=loud\n")}, checked_out=True)
    source = play.branch(trunk)
    land(vcs, trunk, source, play.commit(source, {"b.txt": File(b"HELLO\n")}))
    assert (play.folder(trunk) / "b.txt").read_bytes() == b"HELLO\n"
    assert play.tree(trunk)["b.txt"] == File(b"hello\n")
    assert clean(play, play.folder(trunk))


def test_trunks_hooks_run_as_its_owner_would_run_them(
    play: GitPlayground, vcs: Vcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("A_SECRET", "s3cret")
    trunk = play.trunk(TEXT)
    hook(Path(trunk.url), "post-receive", f'cat >"{tmp_path}/told"; env >"{tmp_path}/env"')
    source = play.branch(trunk)
    made = land(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    assert (tmp_path / "told").read_text() == f"{made.base} {made.id} refs/heads/main\n"
    environment = (tmp_path / "env").read_text()
    assert f"HOME={tmp_path}\n" in environment
    assert "GIT_CONFIG_GLOBAL" not in environment
    assert "s3cret" not in environment


@pytest.mark.parametrize("checked_out", [False, True])
@pytest.mark.slow
def test_a_veto_of_trunks_hook_leaves_everything(play: GitPlayground, vcs: Vcs, checked_out: bool) -> None:
    trunk = play.trunk(TEXT, checked_out=checked_out)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"a": File(b"b\n")}))
    repository = Path(trunk.url) / ".git" if checked_out else Path(trunk.url)
    hook(repository, "reference-transaction", 'if grep -q refs/heads/main; then test "$1" != prepared; fi')
    with pytest.raises(PublishRefusedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    (repository / "hooks" / "reference-transaction").unlink()
    assert play.tip(trunk) == made.base
    if checked_out:
        assert read_folder(play.folder(trunk)) == TEXT
        assert clean(play, play.folder(trunk))
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id


@pytest.mark.slow
def test_a_lock_that_a_person_holds_is_waited_for_by_him_only(play: GitPlayground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"a": File(b"b\n")}))
    lock = Path(trunk.url) / ".git" / "refs" / "heads" / "main.lock"
    lock.write_text("")
    with pytest.raises(PublishRefusedError):
        vcs.publish(made, trunk, made.base, lease(trunk))
    lock.unlink()
    index_lock = Path(trunk.url) / ".git" / "index.lock"
    index_lock.write_text("")
    with pytest.raises(PublishRefusedError) as caught:
        vcs.publish(made, trunk, made.base, lease(trunk))
    assert "index.lock" in caught.value.details
    index_lock.unlink()
    assert read_folder(play.folder(trunk)) == TEXT
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert read_folder(play.folder(trunk)) == {"a": File(b"b\n")}


def race(
    play: GitPlayground,
    vcs: Vcs,
    trunk: Location,
    commit: Callable[[int], None],
    landings: int,
    has_won: Callable[[], bool] = lambda: True,
) -> list[str]:
    """Land while a person commits; the ids that landed, newest last.

    Now and then he waits for the lander to try once or twice: on a slow machine it would never be done before him. The
    last landing waits until he was first once, as `has_won` tells.
    """
    stop = threading.Event()
    failed: list[BaseException] = []
    tries = 0

    def work() -> None:
        try:
            number = 0
            while not stop.is_set():
                commit(number)
                number += 1
                wanted = tries + number % 3
                while tries < wanted and not stop.wait(0.005):
                    pass
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    person = threading.Thread(target=work)
    source = play.branch(trunk)
    revisions = [play.commit(source, {f"landed-{number}": File(b"x\n")}) for number in range(landings)]
    landed = []
    person.start()
    try:
        for revision in revisions:
            while revision is revisions[-1] and not has_won() and person.is_alive():
                tries += 1
                time.sleep(0.05)
            for _ in range(200):
                made = merge(vcs, trunk, source, revision)
                assert isinstance(made, Candidate)
                try:
                    vcs.publish(made, trunk, made.base, lease(trunk))
                except (TrunkMovedError, PublishRefusedError, UnavailableError):
                    continue
                finally:
                    tries += 1
                landed.append(made.id)
                break
    finally:
        stop.set()
        person.join(30)
    assert not failed, failed
    return landed


@pytest.mark.slow
def test_nobody_loses_a_commit_in_a_race_for_a_bare_trunk(play: GitPlayground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    clone = tmp_path / "clone"
    play.git(tmp_path, "clone", "-q", trunk.url, str(clone))
    pushed: list[str] = []

    def commit(number: int) -> None:
        play.git(clone, "pull", "-q", "--rebase")
        (clone / f"by-hand-{number}").write_text("x\n")
        play.git(clone, "add", "-A")
        play.git(clone, "commit", "-q", "-m", "By hand")
        if play.try_git(clone, "push", "-q").returncode == 0:
            pushed.append(play.git(clone, "rev-parse", "HEAD"))

    landed = race(play, vcs, trunk, commit, 6, lambda: bool(pushed))
    history = set(play.git(Path(trunk.url), "rev-list", "main").split())
    assert len(landed) == 6
    assert pushed
    assert {*landed, *pushed} <= history


@pytest.mark.slow
def test_nobody_loses_a_commit_in_a_race_for_a_checked_out_trunk(play: GitPlayground, vcs: Vcs) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    folder = play.folder(trunk)
    committed: list[str] = []

    def commit(number: int) -> None:
        path = f"by-hand-{number}"
        (folder / path).write_text("x\n")
        while play.try_git(folder, "add", path).returncode:  # the lander has the index
            pass
        while play.try_git(folder, "commit", "-q", "-m", path).returncode:
            pass
        committed.append(play.git(folder, "log", "-1", "--format=%H", "--", path))

    landed = race(play, vcs, trunk, commit, landings=6)
    history = set(play.git(folder, "rev-list", "main").split())
    assert len(landed) == 6
    assert committed
    assert {*landed, *committed} <= history
    assert clean(play, folder)
    assert read_folder(folder) == play.tree(trunk)


LANDER = """
import os, pathlib, pickle, sys
from byoci.vcs.git import GitVcs
from byoci.vcs.urls import UrlPolicy
pid, private, *publish = pickle.load(sys.stdin.buffer)
pathlib.Path(pid).write_text(str(os.getpid()))
GitVcs(private, UrlPolicy(local=True), {}, committer_email="bot@example.com").publish(*publish)
"""


@pytest.mark.slow
def test_what_a_killed_lander_left_is_taken_up(play: GitPlayground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT, checked_out=True)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"a": File(b"b\n")}))
    # The person's own filter kills the lander while the files change, which is before the branch moves.
    config = play.root / "home" / ".gitconfig"
    config.write_text(f'[filter "kill"]\nsmudge = "kill -9 $(cat {tmp_path}/pid); cat"\n')
    attributes = Path(trunk.url) / ".git" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("a filter=kill\n")
    killed = subprocess.run(
        [sys.executable, "-c", LANDER],
        input=pickle.dumps((tmp_path / "pid", tmp_path / "private", made, trunk, made.base, lease(trunk))),
        env={**os.environ, "HOME": str(config.parent)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9, killed
    config.unlink()
    attributes.unlink()
    for _ in range(200):
        if not list((Path(trunk.url) / ".git").rglob("*.lock")):
            break
        time.sleep(0.02)
    assert play.tip(trunk) == made.base
    vcs.publish(made, trunk, made.base, lease(trunk))
    assert play.tip(trunk) == made.id
    assert read_folder(play.folder(trunk)) == {"a": File(b"b\n")}
    assert clean(play, play.folder(trunk))
