"""The contract of every version control system: the exact files."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from byoci.errors import (
    ByociError,
    RevisionGoneError,
)
from contract.vcs_playground import File, Link, Playground, read_folder
from contract.vcs_suite import TEXT, candidate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def test_an_export_is_exactly_the_files(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(EXACT)
    tip = vcs.fetch(trunk, trusted=True)
    vcs.export(tip, tmp_path / "absent" / "folder")
    assert read_folder(tmp_path / "absent" / "folder", without=()) == EXACT
    (tmp_path / "empty").mkdir()
    vcs.export(tip, tmp_path / "empty")
    assert read_folder(tmp_path / "empty", without=()) == EXACT == play.tree(trunk)


@pytest.mark.slow
def test_a_candidate_is_exported_before_it_is_published(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    trunk = play.trunk(TEXT)
    source = play.branch(trunk)
    made = candidate(vcs, trunk, source, play.commit(source, {"b": File(b"b\n")}))
    vcs.export(made.id, tmp_path / "out")
    assert read_folder(tmp_path / "out", without=()) == {**TEXT, "b": File(b"b\n")}


def test_the_callers_umask_takes_no_part(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    tip = vcs.fetch(play.trunk(EXACT), trusted=True)
    before = os.umask(0o077)
    try:
        vcs.export(tip, tmp_path / "out")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if not path.is_symlink()}
    assert (modes["crlf"], modes["run.sh"], modes["deep"], modes["deeper"]) == (0o644, 0o755, 0o755, 0o755)


def test_an_export_never_touches_what_is_there(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    tip = vcs.fetch(play.trunk(TEXT), trusted=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(ByociError):
        vcs.export(tip, tmp_path / "out")
    assert read_folder(tmp_path / "out") == {"mine": File(b"mine")}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit on what this process may write into one file: as good as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_export_is_all_or_nothing(play: Playground, vcs: Vcs, tmp_path: Path) -> None:
    tip = vcs.fetch(play.trunk({**EXACT, "z-large": File(b"x" * 500_000)}), trusted=True)
    vcs.export(tip, tmp_path / "whole")
    (tmp_path / "empty").mkdir()
    with largest_file(200_000):
        for folder in ("absent", "empty"):
            with pytest.raises(ByociError):
                vcs.export(tip, tmp_path / folder)
    assert not (tmp_path / "absent").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    vcs.export(tip, tmp_path / "empty")
    assert read_folder(tmp_path / "empty") == read_folder(tmp_path / "whole")


@pytest.mark.parametrize("revision", ["", "main", "--help", "f" * 40])
def test_only_what_was_fetched_is_exported_and_read(play: Playground, vcs: Vcs, tmp_path: Path, revision: str) -> None:
    vcs.fetch(play.trunk(TEXT), trusted=True)
    with pytest.raises(RevisionGoneError):
        vcs.export(revision, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RevisionGoneError):
        vcs.read(revision, ["a"])
