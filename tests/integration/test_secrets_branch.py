"""Secrets in a private branch: taken from there before anything is made, and put there afterwards; for nobody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.slow]
BYOCI = str(Path(sys.executable).with_name("byoci"))
SITE = '[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n'


class Host:
    """A machine of the site, with its own $BYOCI_HOME and the same definition."""

    def __init__(self, root: Path, branch: str, vcs: str = "git", namespace: str = "testing") -> None:
        self.home = root
        self.namespace = namespace
        self.secrets = root / namespace / "secrets"
        self.definition = root / "definition"
        self.definition.mkdir(parents=True)
        text = f'{SITE}[secrets]\nbranch = "{branch}"\nvcs = "{vcs}"\n'
        (self.definition / "byoci.toml").write_text(text)

    def byoci(self, *arguments: str, code: int = 0) -> str:
        config = str(self.definition / "byoci.toml")
        argv = [BYOCI, "--config", config, "--namespace", self.namespace, "host", "secrets", *arguments]
        environment = {**os.environ, "BYOCI_HOME": str(self.home)}
        run = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert run.returncode == code, run.stdout + run.stderr
        return run.stdout + run.stderr

    def contents(self) -> dict[str, bytes]:
        """What of the secrets is there, but for version control's own."""
        found = (path for path in self.secrets.rglob("*") if path.is_file() and ".git" not in path.parts)
        return {str(path.relative_to(self.secrets)): path.read_bytes() for path in found if ".bzr" not in path.parts}

    def check_private(self) -> None:
        for path in (self.secrets, *self.secrets.rglob("*")):
            assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path


def run(*argv: str, cwd: Path) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "BRZ_EMAIL": "A <a@example.com>"}
    who = {f"GIT_{one}_{what}": "a" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **own, **who}
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


def commit(folder: Path, vcs: str, path: str) -> None:
    program = "git" if vcs == "git" else str(Path(sys.executable).with_name("brz"))
    run(program, "add", path, cwd=folder)
    run(program, "commit", "--quiet", "--message", "x", cwd=folder)


def private(root: Path, vcs: str) -> str:
    """An empty private repository."""
    if vcs == "git":
        run("git", "init", "--quiet", "--bare", str(root / "private"), cwd=root)
    else:
        pytest.importorskip("breezy", reason="bzr's extra is not installed")
    return str(root / "private")


@pytest.mark.parametrize("vcs", ["git", "bzr"])
def test_machines_of_a_site_share_them(tmp_path: Path, vcs: str) -> None:
    place = private(tmp_path, vcs)
    first, second = Host(tmp_path / "one", place, vcs), Host(tmp_path / "two", place, vcs)
    first.secrets.mkdir(parents=True, mode=0o700)
    (first.secrets / "gitlab").write_text("there before there was a branch\n")
    first.byoci()
    first.check_private()
    second.byoci()
    assert second.contents() == first.contents()
    assert "landing_ed25519" in first.contents()
    second.check_private()
    second.byoci("--check")
    (first.secrets / ".site.draft").write_text("what a killed run left\n")
    (first.secrets / "site").write_text("made, and not committed when it was killed\n")
    assert "made" in first.byoci("--rotate", "administration")
    first.check_private()
    second.byoci()
    first.contents().pop(".site.draft")
    assert {**second.contents(), ".site.draft": b"what a killed run left\n"} == first.contents()
    assert "administration_ed25519.older" in second.contents()
    before = second.contents()
    assert "made" not in second.byoci()
    assert second.contents() == before


@pytest.mark.parametrize("vcs", ["git"])
def test_what_people_changed_and_did_not_commit_is_theirs(tmp_path: Path, vcs: str) -> None:
    place = private(tmp_path, vcs)
    host, other = Host(tmp_path / "one", place, vcs), Host(tmp_path / "two", place, vcs)
    host.byoci()
    other.byoci()
    (host.secrets / "gitlab").mkdir()
    (host.secrets / "gitlab/token").write_text("1234\n")
    told = host.byoci(code=2)
    assert "not committed" in told
    assert "gitlab" in told
    assert "1234" not in told
    commit(host.secrets, vcs, "gitlab")
    host.byoci()
    other.byoci()
    assert other.contents() == host.contents()
    other.check_private()
    host.byoci("--rotate", "webhook")
    (other.secrets / "more").write_text("another\n")
    commit(other.secrets, vcs, "more")
    assert "both changed" in other.byoci(code=2)
    assert (other.secrets / "more").read_text() == "another\n"


def test_a_branch_that_may_not_be_it_is_refused(tmp_path: Path) -> None:
    place = private(tmp_path, "git")
    host = Host(tmp_path / "one", place)
    host.byoci()
    production = Host(tmp_path / "two", place, namespace="production")
    assert "that of the namespace 'testing'" in production.byoci(code=2)
    assert not production.secrets.exists()

    run("git", "init", "--quiet", "--initial-branch=main", ".", cwd=host.definition)
    for url in (place, f"file://{place}/", str(tmp_path / "one/../private")):
        run("git", "config", "remote.origin.url", url, cwd=host.definition)
        assert "in the definition's repository" in host.byoci(code=2)
    run("git", "config", "remote.origin.url", "https://example.com/definition.git", cwd=host.definition)
    host.byoci()
    definition = host.definition / "byoci.toml"
    definition.write_text(definition.read_text().replace(place, str(host.definition)))
    assert "in the definition's repository" in host.byoci(code=2)

    shutil.rmtree(host.secrets / ".git")
    definition.write_text(definition.read_text().replace(str(host.definition), place))
    kept = host.contents()
    assert "There are secrets in both" in host.byoci(code=2)
    assert host.contents() == kept
    other = Host(tmp_path / "three", str(tmp_path / "elsewhere"))
    assert "elsewhere" in other.byoci(code=75)
