"""What is found in git repositories of every shape, made by git itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from byoci import proc
from byoci.config.detect import current_branch, detect, repository
from byoci.errors import UsageError
from byoci.model import Location

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.git


def git(folder: Path, *arguments: str) -> str:
    environment = proc.base_environment() | {
        "HOME": os.environ["HOME"],
        "GIT_AUTHOR_NAME": "Ann",
        "GIT_AUTHOR_EMAIL": "ann@example.com",
        "GIT_COMMITTER_NAME": "Ann",
        "GIT_COMMITTER_EMAIL": "ann@example.com",
    }
    return proc.run(("git", *arguments), env=environment, cwd=folder).text


def commit(folder: Path, name: str, text: str = "x\n") -> None:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", name)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A repository with `main` checked out, whose Makefile has a test target."""
    folder = tmp_path / "hello"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "Makefile", "test:\n\ttrue\n")
    return folder


def test_a_working_tree_from_any_folder_of_it(hello: Path, tmp_path: Path) -> None:
    inner = hello / "src/deep"
    inner.mkdir(parents=True)
    for place in (hello, inner, hello / "Makefile", hello / ".git", hello / ".git/refs"):
        found = detect(place, home=tmp_path)
        assert (found.vcs, found.trunk, found.name) == ("git", Location(str(hello), "main"), "hello")
        assert found.tests is not None
        assert found.tests.command == "make test"
        assert found.notes == ()
    assert current_branch(inner) == Location(str(hello), "main")


def test_the_trunk_is_the_usual_branch_whatever_is_checked_out(hello: Path, tmp_path: Path) -> None:
    git(hello, "switch", "--quiet", "--create", "feature;1")
    commit(hello, "Makefile", "all:\n")
    (hello / "conftest.py").write_text("")
    found = detect(hello, home=tmp_path)
    assert found.trunk.branch == "main"
    assert found.tests is not None
    assert found.tests.why == "Makefile"  # as it stands in main, not in the working tree
    assert current_branch(hello) == Location(str(hello), "feature;1")
    git(hello, "switch", "--quiet", "--detach")
    assert current_branch(hello) is None
    assert detect(hello, home=tmp_path).trunk.branch == "main"


def test_the_remotes_default_decides_between_usual_names_and_the_remote_is_told(hello: Path, tmp_path: Path) -> None:
    git(hello, "branch", "master")
    assert detect(hello, home=tmp_path).notes == ("The repository has master too; main is gated.",)
    git(hello, "symbolic-ref", "HEAD", "refs/heads/master")
    git(tmp_path, "clone", "--quiet", str(hello), "clone")
    git(tmp_path / "clone", "branch", "main")
    git(tmp_path / "clone", "remote", "set-url", "origin", "https://ann:hunter2@example.com/hello")
    found = detect(tmp_path / "clone", home=tmp_path)
    assert found.trunk == Location(str(tmp_path / "clone"), "master")
    assert found.notes[0] == "The repository has main too; master is gated."
    assert "--trunk 'https://ann:********@example.com/hello;master'" in found.notes[1]


def test_a_linked_working_tree_gates_the_main_one(hello: Path, tmp_path: Path) -> None:
    git(hello, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked tree"))
    (tmp_path / "linked tree/below").mkdir()
    for place in (tmp_path / "linked tree", tmp_path / "linked tree/below"):
        assert detect(place, home=tmp_path).trunk == Location(str(hello), "main")
        assert current_branch(place) == Location(str(hello), "side")


def test_a_bare_repository_and_a_linked_working_tree_of_it(hello: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(hello), "bare.git")
    found = detect(tmp_path / "bare.git", home=tmp_path)
    assert (found.trunk, found.name) == (Location(str(tmp_path / "bare.git"), "main"), "bare")
    assert found.tests is not None
    git(tmp_path / "bare.git", "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "tree"))
    assert detect(tmp_path / "tree", home=tmp_path).trunk == found.trunk


def test_a_submodule_is_a_repository_of_its_own(hello: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(hello), "inner")
    assert detect(outer / "inner", home=tmp_path).trunk == Location(str(outer / "inner"), "main")


def test_the_branch_is_the_only_one_or_the_current_one_or_asked_for(hello: Path, tmp_path: Path) -> None:
    git(hello, "branch", "--move", "main", "develop")
    assert detect(hello, home=tmp_path).trunk.branch == "develop"
    git(hello, "branch", "stable")
    found = detect(hello, home=tmp_path)
    assert found.trunk.branch == "develop"
    assert "develop, which is checked out, is gated" in found.notes[0]
    git(hello, "switch", "--quiet", "--detach")
    with pytest.raises(UsageError, match="which branch is the trunk") as caught:
        detect(hello, home=tmp_path)
    assert "develop, stable" in caught.value.details


@pytest.mark.slow
def test_the_person_knows_better(hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(hello, "switch", "--quiet", "--create", "devel")
    commit(hello, "conftest.py")
    for text in (";devel", f"{hello};devel", "~/hello;devel", f"file://{hello}/;devel", ".;devel"):
        found = detect(hello, home=tmp_path, trunk=text)
        assert found.trunk.branch == "devel"
        assert found.tests is not None
        assert found.tests.why == "conftest.py"
    far = detect(hello, home=tmp_path, trunk="https://git.example.com/far.git;main")
    assert (far.trunk, far.name) == (Location("https://git.example.com/far.git", "main"), "far")
    with pytest.raises(UsageError, match="has no branch nowhere") as caught:
        detect(hello, home=tmp_path, trunk=";nowhere")
    assert "devel, main" in caught.value.resolution
    with pytest.raises(UsageError, match="--trunk must be"):
        detect(hello, home=tmp_path, trunk="--upload-pack=x")


def test_what_cannot_be_gated_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        detect(tmp_path / "none", home=tmp_path)
    with pytest.raises(UsageError, match="in no git or bzr repository") as caught:
        detect(tmp_path, home=tmp_path)
    assert "byoci init PATH" in caught.value.resolution
    assert repository(tmp_path) is current_branch(tmp_path) is None
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "empty")
    with pytest.raises(UsageError, match="no commit yet"):
        detect(tmp_path / "empty", home=tmp_path)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "a;b")
    commit(tmp_path / "a;b", "x")
    with pytest.raises(UsageError, match="characters that a trunk cannot have"):
        detect(tmp_path / "a;b", home=tmp_path)
    (tmp_path / "plain").symlink_to("a;b")
    linked = detect(tmp_path / "plain", home=tmp_path, trunk=str(tmp_path / "plain"))
    assert (linked.trunk, linked.name) == (Location(str(tmp_path / "plain"), "main"), "plain")
    (tmp_path / "empty/.git/HEAD").write_text("nonsense")
    with pytest.raises(UsageError, match="git cannot read the repository"):
        detect(tmp_path / "empty", home=tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a repository away")
def test_the_repository_of_another_user_is_looked_at_and_told(hello: Path, tmp_path: Path) -> None:
    for folder in (hello, hello / ".git"):
        try:
            os.chown(folder, 12345, 12345)
        except OSError:
            pytest.skip("this user namespace has no other user")
    found = detect(hello, home=tmp_path)
    assert found.trunk.branch == "main"
    assert found.notes == ("The trunk belongs to user 12345, and you are user 0: let its owner run byoci.",)
