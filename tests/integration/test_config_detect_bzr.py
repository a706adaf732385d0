"""What is found in bzr branches of every shape, made by brz itself."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from byoci import proc
from byoci.config.detect import current_branch, detect
from byoci.errors import UsageError
from byoci.model import Location

pytestmark = pytest.mark.bzr


def brz(folder: Path, *arguments: str) -> str:
    environment = proc.base_environment() | {
        "HOME": os.environ["HOME"],
        "BRZ_HOME": os.environ["HOME"],
        "BRZ_EMAIL": "Ann <ann@example.com>",
        "BRZ_PLUGIN_PATH": "-user:-site",
        "BRZ_LOG": os.devnull,
    }
    return proc.run((sys.executable, "-m", "breezy", *arguments), env=environment, cwd=folder).text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "hello"
    brz(folder.parent, "init", "--quiet", str(folder))
    (folder / "run-tests").write_text("#!/bin/sh\n")
    (folder / "run-tests").chmod(0o755)
    brz(folder, "add", "--quiet")
    brz(folder, "commit", "--quiet", "--message", "first")
    return folder


@pytest.fixture
def hello(made: Path, tmp_path: Path) -> Path:
    """A standalone branch with a working tree, which has an executable test script."""
    return Path(shutil.copytree(made, tmp_path / "hello"))


@pytest.mark.slow
def test_a_branch_from_any_folder_of_it(hello: Path, tmp_path: Path) -> None:
    (hello / "src").mkdir()
    for place in (hello, hello / "src", hello / "run-tests"):
        found = detect(place, home=tmp_path)
        assert (found.vcs, found.trunk, found.name) == ("bzr", Location(str(hello)), "hello")
        assert found.tests is not None
        assert found.tests.command == "./run-tests"
        assert current_branch(place) == Location(str(hello))


@pytest.mark.slow
def test_a_checkout_gates_what_it_is_a_checkout_of(hello: Path, tmp_path: Path) -> None:
    brz(tmp_path, "checkout", "--quiet", str(hello), "bound")
    brz(tmp_path, "checkout", "--quiet", "--lightweight", str(hello), "light ä")
    brz(tmp_path, "checkout", "--quiet", "--lightweight", str(tmp_path / "bound"), "light of bound")
    for name in ("bound", "light ä", "light of bound"):
        found = detect(tmp_path / name, home=tmp_path)
        assert (found.trunk, found.name) == (Location(str(hello)), "hello")
        assert "is a checkout of" in found.notes[0]
        assert found.tests is not None  # from the checkout's own working tree
        assert current_branch(tmp_path / name) == Location(str(hello))
    brz(tmp_path / "bound", "unbind")
    assert detect(tmp_path / "bound", home=tmp_path).trunk == Location(str(tmp_path / "bound"))


@pytest.mark.slow
def test_a_branch_bound_to_a_server(hello: Path, tmp_path: Path) -> None:
    settings = hello / ".bzr/branch/branch.conf"
    settings.write_text('# bound\nbound = True\nbound_location = "bzr+ssh://bzr.example.com/hello/trunk/"\n')
    found = detect(hello, home=tmp_path)
    assert (found.trunk, found.name) == (Location("bzr+ssh://bzr.example.com/hello/trunk"), "hello")
    settings.write_text("bound = True\nbound_location = ../else%20where/\n")
    assert detect(hello, home=tmp_path).trunk == Location(str(tmp_path / "else where"))


@pytest.mark.slow
def test_a_shared_repository(hello: Path, tmp_path: Path) -> None:
    brz(tmp_path, "init-shared-repository", "--quiet", "shared")
    shared = tmp_path / "shared"
    with pytest.raises(UsageError, match="which branch is the trunk") as caught:
        detect(shared, home=tmp_path)
    assert "has no branch below" in caught.value.details
    brz(tmp_path, "branch", "--quiet", str(hello), "shared/one")
    assert detect(shared, home=tmp_path).trunk == Location(str(shared / "one"))
    (shared / "group").mkdir()
    brz(tmp_path, "branch", "--quiet", str(hello), "shared/group/two")
    with pytest.raises(UsageError) as caught:
        detect(shared, home=tmp_path)
    assert f"{shared}/group/two, {shared}/one" in caught.value.details
    brz(tmp_path, "branch", "--quiet", str(hello), "shared/trunk")
    found = detect(shared, home=tmp_path)
    assert (found.trunk, found.name) == (Location(str(shared / "trunk")), "shared")
    assert "trunk is gated" in found.notes[-1]
    assert current_branch(shared) is None
    assert detect(shared / "one", home=tmp_path).trunk == Location(str(shared / "one"))


@pytest.mark.slow
def test_colocated_branches(hello: Path, tmp_path: Path) -> None:
    brz(tmp_path, "init", "--quiet", "--format=development-colo", "colo")
    colo = tmp_path / "colo"
    brz(colo, "commit", "--quiet", "--unchanged", "--message", "first")
    brz(colo, "switch", "--quiet", "--create-branch", "feature")
    found = detect(colo, home=tmp_path)
    assert found.trunk == current_branch(colo) == Location(str(colo), "feature")
    brz(colo, "switch", "--quiet", "--create-branch", "trunk")
    brz(colo, "switch", "--quiet", "feature")
    found = detect(colo, home=tmp_path)
    assert found.trunk == Location(str(colo), "trunk")
    assert found.notes[-1] == "Of the colocated branches trunk is gated."
    assert current_branch(colo) == Location(str(colo), "feature")
    chosen = detect(colo, home=tmp_path, trunk=";feature")
    assert chosen.trunk == Location(str(colo), "feature")


@pytest.mark.slow
def test_a_branch_without_a_working_tree_proposes_no_tests(hello: Path, tmp_path: Path) -> None:
    brz(tmp_path, "branch", "--quiet", "--no-tree", str(hello), "bare")
    assert detect(tmp_path / "bare", home=tmp_path).tests is None


def test_what_cannot_be_gated_is_told(hello: Path, tmp_path: Path) -> None:
    (hello / ".bzr/branch-format").write_text("Bazaar-NG branch, format 6\n")
    with pytest.raises(UsageError, match="a format from before bzr"):
        detect(hello, home=tmp_path)


def test_a_checkout_that_refers_to_itself_or_to_nothing_ends(hello: Path, tmp_path: Path) -> None:
    (hello / ".bzr/branch/branch.conf").write_text(f"bound = True\nbound_location = file://{hello}/\n")
    assert detect(hello, home=tmp_path).trunk == Location(str(hello))
    (hello / ".bzr/branch/branch.conf").write_text("bound = True\nbound_location = file:///gone\n")
    assert detect(hello, home=tmp_path).trunk == Location("/gone")
