"""Attacks with breezy's plugins, hooks and configuration: none of them takes part in a merge."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from breezy.merge import Merger

from byoci.errors import UnavailableError
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File
from contract.vcs_playground_bzr import BzrPlayground
from contract.vcs_suite import APPROVED_AT, candidate, land

pytestmark = [pytest.mark.agent, pytest.mark.bzr, pytest.mark.slow]

_EVIL = """
import os
open(os.environ["MARKER"], "w").close()
from breezy.merge import Merger
Merger.hooks.install_named_hook("merge_file_content", lambda merger: None, "evil")
"""

# What a lander does, in a process of its own with whatever environment and home it is given.
_LANDER = """
import json, logging, sys
from datetime import datetime, UTC
from pathlib import Path
from byoci import model
from byoci.model import Location, MergeMeta
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.urls import UrlPolicy

trunk, source, private, at = sys.argv[1:]
vcs = BzrVcs(Path(private), UrlPolicy(local=True), {}, committer_email="bot@example.com")
base, revision = vcs.fetch(Location(trunk), trusted=True), vcs.fetch(Location(source))
meta = MergeMeta("Landing Bot", "bot@example.com", datetime.fromtimestamp(int(at), UTC), "hello", "7",
                 model.landing_id("hello", "7", revision))
made = vcs.merge(base, revision, "Say it\\n\\nAt length.", meta)
vcs.export(made.id, Path(private) / "out")
print(json.dumps([made.id, made.tree, sorted(name for name in sys.modules if name.startswith("breezy.plugins."))]))
"""


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


def new_vcs(private: Path) -> BzrVcs:
    return BzrVcs(private, UrlPolicy(local=True), {}, committer_email="bot@example.com")


def evil_home(home: Path) -> dict[str, str]:
    """A home whose configuration would sign, rename, filter and hook, and the environment that names it."""
    for folder in (home / "plugins", home / ".config" / "breezy" / "plugins", home / "site"):
        folder.mkdir(parents=True)
        (folder / "evil.py").write_text(_EVIL)
    settings = (
        "[DEFAULT]\nemail = Eve <eve@example.com>\ncreate_signatures = always\ngpg_signing_command = false\n"
        "launchpad_username = eve\nappend_revisions_only = true\nlocks.steal_dead = false\n"
    )
    for folder in (home, home / ".config" / "breezy"):
        (folder / "breezy.conf").write_text(settings)
        (folder / "locations.conf").write_text("[/]\nemail = Eve <eve@example.com>\nnickname = eve\n")
        (folder / "rules").write_text("[name *]\neol = crlf\n")
    return {
        "HOME": str(home), "BRZ_HOME": str(home), "BZR_HOME": str(home), "BRZ_EMAIL": "eve@example.com",
        "EMAIL": "eve@example.com", "BRZ_PLUGIN_PATH": str(home / "site"), "BZR_PLUGIN_PATH": str(home / "site"),
        "BRZ_LOG": str(home / "log"), "TZ": "Pacific/Auckland", "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def test_nobodys_plugins_and_settings_take_part(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"1\n2\n3\n4\n5\n"), "b": File(b"b\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"a": File(b"one\n2\n3\n4\n5\n")})
    play.commit(trunk, {"a": File(b"1\n2\n3\n4\nfive\n")})
    here = candidate(new_vcs(tmp_path / "private"), trunk, source, revision)
    home = tmp_path / "evil home"
    marker = tmp_path / "marker"
    environment = {"PATH": os.environ["PATH"], "MARKER": str(marker), **evil_home(home)}
    before = sorted(str(path) for path in home.rglob("*"))
    argv = [trunk.url, source.url, str(tmp_path / "other agent"), str(int(APPROVED_AT.timestamp()))]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LANDER, *argv], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [here.id, here.tree, []]
    assert (tmp_path / "other agent" / "out" / "a").read_bytes() == b"one\n2\n3\n4\nfive\n"
    assert not marker.exists()
    assert sorted(str(path) for path in home.rglob("*")) == before, "nothing was written there"


def test_a_merge_hook_is_refused(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    vcs = new_vcs(tmp_path / "private")
    Merger.hooks.install_named_hook("merge_file_content", lambda _merger: None, "evil")
    try:
        with pytest.raises(UnavailableError) as caught:
            candidate(vcs, trunk, source, revision)
    finally:
        Merger.hooks.uninstall_named_hook("merge_file_content", "evil")
    assert caught.value.resolution
    assert candidate(vcs, trunk, source, revision)


def test_settings_of_a_source_take_no_part(play: BzrPlayground, tmp_path: Path) -> None:
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"b": File(b"b\n")})
    before = candidate(new_vcs(tmp_path / "one"), trunk, source, revision)
    for path in (source.url, trunk.url):
        with Path(path, ".bzr/branch/branch.conf").open("a", encoding="utf-8") as conf:
            conf.write("email = Eve <eve@example.com>\nnickname = eve\ncreate_signatures = always\n")
    vcs = new_vcs(tmp_path / "other")
    assert candidate(vcs, trunk, source, revision) == before
    assert land(vcs, trunk, source, revision) == before
    assert play.tip(trunk) == before.id


def test_the_callers_process_is_left_as_it_was(
    play: BzrPlayground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRZ_EMAIL", "eve@example.com")
    monkeypatch.setenv("BZR_HOME", str(tmp_path))
    trunk = play.trunk({"a": File(b"a\n")})
    source = play.branch(trunk)
    revision = play.commit(source, {"a": File(b"theirs\n")})
    play.commit(trunk, {"a": File(b"ours\n")})
    capfd.readouterr()
    before, handlers = dict(os.environ), list(logging.getLogger().handlers)
    vcs = new_vcs(tmp_path / "private")
    base = vcs.fetch(trunk, trusted=True)
    vcs.fetch(source, revision)
    assert base
    assert dict(os.environ) == before
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")
