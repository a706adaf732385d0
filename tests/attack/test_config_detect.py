"""Looking at a repository runs nothing of it, reads nothing outside of it, and waits for nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from byoci import proc
from byoci.config.detect import current_branch, detect
from byoci.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> None:
    environment = proc.base_environment() | {"HOME": os.environ["HOME"]}
    author = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    proc.run(("git", *author, *arguments), env=environment, cwd=folder)


@pytest.mark.git
def test_a_repositorys_own_configuration_starts_no_program(tmp_path: Path) -> None:
    folder, trace = tmp_path / "evil", tmp_path / "trace"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "pyproject.toml").write_text("pytest")
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho ran >> {trace}\n")
    program.chmod(0o755)
    hooks = folder / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (hooks / name).symlink_to(program)
    for key in (
        "core.fsmonitor", "core.pager", "pager.config", "pager.for-each-ref", "core.editor", "core.sshCommand",
        "core.askPass", "core.gitProxy", "diff.external", "diff.evil.textconv", "filter.evil.smudge",
        "credential.helper", "uploadpack.packObjectsHook", "alias.rev-parse", "alias.for-each-ref",
    ):  # fmt: skip
        git(folder, "config", key, f"!{program}" if key.startswith(("alias", "cred")) else str(program))
    git(folder, "config", "core.hooksPath", str(hooks))
    trace.unlink(missing_ok=True)
    found = detect(folder, home=tmp_path)
    assert found.tests is not None
    assert current_branch(folder) is not None
    assert not trace.exists()
    git(folder, "status")
    assert trace.exists()  # the trap works


@pytest.mark.git
def test_the_callers_git_variables_do_not_lead_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        git(tmp_path, "init", "--quiet", "--initial-branch=main", str(tmp_path / name))
        git(tmp_path / name, "commit", "--quiet", "--allow-empty", "--message", "x")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert detect(tmp_path / "one", home=tmp_path).trunk.url == str(tmp_path / "one")


@pytest.mark.git
def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(tmp_path / "big"))
    (tmp_path / "big/Makefile").write_text("test:\n" + "#" * 10_000_000)
    git(tmp_path / "big", "add", "--all")
    git(tmp_path / "big", "commit", "--quiet", "--message", "x")
    assert detect(tmp_path / "big", home=tmp_path).tests is None


def test_a_bzr_working_tree_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    (folder / ".bzr/branch").mkdir(parents=True)
    (folder / ".bzr/checkout").mkdir()
    (folder / ".bzr/branch-format").write_text("Bazaar-NG meta directory, format 1\n")
    (folder / ".bzr/branch/format").write_text("Bazaar Branch Format 7 (needs bzr 1.6)\n")
    os.mkfifo(folder / "Makefile")
    (tmp_path / "package.json").write_text('{"scripts": {"test": "x"}}')
    (folder / "package.json").symlink_to(tmp_path / "package.json")
    os.mkfifo(folder / ".bzr/branch/branch.conf")
    assert detect(folder, home=tmp_path).tests is None


def test_bzr_files_of_nonsense(tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    (folder / ".bzr/branch").mkdir(parents=True)
    (folder / ".bzr/branch-format").write_text("Bazaar-NG meta directory, format 1\n")
    (folder / ".bzr/branch/format").write_text("Bazaar-NG Branch Reference Format 1\n")
    for location in (b"", b"\xff\xfe", b",branch=", b"file:///", b"ext::sh -c touch% /tmp/x", b"[::", b"lp:x"):
        (folder / ".bzr/branch/location").write_bytes(location)
        assert current_branch(folder) is not None
    for location in (b"a" * 100_000, b"file:///a%00b"):
        (folder / ".bzr/branch/location").write_bytes(location)
        with pytest.raises(UsageError, match="cannot read") as caught:
            current_branch(folder)
        assert len(str(caught.value)) < 500
