"""The agent's side: patterns, properties, masking; and that it needs no more than Python 3.9."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.agentside.build import Log
from byoci.controller.agentside.files import empty, fill_in, inject, matching, open_inside, read_properties

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.controller

SIDE = Path(__file__).parents[2] / "src/byoci/controller/agentside"


@pytest.mark.parametrize("path", sorted(SIDE.glob("*.py")), ids=lambda path: path.name)
def test_it_is_written_for_python_3_9_and_its_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
        assert not isinstance(node, ast.Match)
    ours = {name for name in imported if name.startswith("byoci")}
    assert all(name.startswith("byoci.controller.agentside.") for name in ours)
    known = {
        "contextlib",
        "ctypes",
        "fcntl",
        "functools",
        "gc",
        "hashlib",
        "json",
        "os",
        "pwd",
        "re",
        "select",
        "shutil",
    }
    known |= {"signal", "stat", "subprocess", "sys", "tempfile", "time"}
    assert imported - ours - known - {"__future__", "typing", "collections.abc"} == set()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.txt", "b/a.txt", "b/c/a.txt", "b/c/d.log", ".git/config", "b/.git/a.txt", "x~"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "b/link.txt").symlink_to("/etc/passwd")
    (tmp_path / "linked").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe.txt")
    return tmp_path


@pytest.mark.parametrize(
    ("includes", "excludes", "found"),
    [
        (["*.txt"], [], ["a.txt"]),
        (["**/*.txt"], [], ["a.txt", "b/a.txt", "b/c/a.txt"]),
        (["**/*.txt"], ["b/**"], ["a.txt"]),
        (["b/*/*"], [], ["b/c/a.txt", "b/c/d.log"]),
        (["b/"], [], ["b/a.txt", "b/c/a.txt", "b/c/d.log"]),
        (["**"], ["**/?.txt"], ["b/c/d.log"]),
        (["b/**/a.txt"], [], ["b/a.txt", "b/c/a.txt"]),
        (["../**", "/etc/*"], [], []),
        ([], [], []),
    ],
)
def test_patterns_as_ant_has_them(tree: Path, includes: list[str], excludes: list[str], found: list[str]) -> None:
    assert matching(str(tree), includes, excludes) == found


@given(st.lists(st.text(alphabet="ab/*?.", max_size=8), max_size=3))
def test_any_pattern_can_be_asked_for(patterns: list[str]) -> None:
    assert matching("/nonexistent", patterns, patterns) == []


@pytest.mark.parametrize("path", ["b/link.txt", "linked/passwd", "pipe.txt", "b", "../x", "missing"])
def test_only_regular_files_are_opened(tree: Path, path: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's choice
        os.close(open_inside(str(tree), path))


def test_a_folder_is_emptied_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    inside = tmp_path / "inside"
    (inside / "locked").mkdir(parents=True)
    (inside / "locked/file").touch()
    (inside / "link").symlink_to(outside)
    (inside / "locked").chmod(0o500)
    assert empty(str(inside)) == []
    assert list(inside.iterdir()) == []
    assert (outside / "file").exists()
    assert empty(str(tmp_path / "missing")) == []


def test_properties_as_java_has_them() -> None:
    text = "# no\n! no\nA=1\n  B : 2\nC three\nD=a\\\n    b\nE=x\\ty\\u0041\n=nothing\nF\\=G=h=i\nEMPTY=\n"
    assert read_properties(text) == {
        "A": "1",
        "B": "2",
        "C": "three",
        "D": "ab",
        "E": "x\tyA",
        "F=G": "h=i",
        "EMPTY": "",
    }


@given(st.text(alphabet="ab=\\:# \n$u{}", max_size=30))
def test_any_text_can_be_injected(text: str) -> None:
    environment = {"a": "1"}
    assert inject(text, environment).items() <= environment.items()


def test_variables_are_filled_in() -> None:
    environment = {"A": "1", "B": "$A"}
    assert fill_in("$A ${A}x $B $C ${C} $", environment) == "1 1x $A $C ${C} $"
    assert inject("X=$A\nY=${X}2", dict(environment)) == {"X": "1", "Y": "12"}


@pytest.fixture
def log_of(tmp_path: Path) -> Callable[..., bytes]:
    def written(parts: list[bytes], secrets: list[str], *, timestamps: bool = False, most: int = 1 << 30) -> bytes:
        os.mkfifo(tmp_path / "wake")
        log = Log(str(tmp_path), secrets, timestamps=timestamps, most=most)
        for part in parts:
            log.write(part)
        size = log.finish()
        data = (tmp_path / "log").read_bytes()
        assert size == len(data)
        (tmp_path / "log").unlink()
        (tmp_path / "wake").unlink()
        return data

    return written


def test_a_secret_is_masked_however_it_comes(log_of: Callable[..., bytes]) -> None:
    text = b"is sesame, sesame! sesam"
    for cut in range(len(text)):
        parts = [text[:cut], text[cut:]]
        assert log_of(parts, ["sesame", "two\nlines"]) == b"is ********, ********! sesam"
    assert log_of([bytes([byte]) for byte in text], ["sesame"]) == b"is ********, ********! sesam"
    assert log_of([b"two\r\nlines"], ["two\nlines"]) == b"********\r\n********"


def test_a_log_without_end_is_cut(log_of: Callable[..., bytes]) -> None:
    assert log_of([b"12345", b"67890"], [], most=10) == b"1234567890"
    for parts in ([b"12345", b"678901", b"more"], [b"1234567890123"]):
        told = log_of(parts, [], most=10)
        assert told.startswith(b"1234567890\nThe log is too long")
        assert b"Of what the build printed" in told
        assert told.count(b"\n") == 3
        assert b"1more" not in told


def test_what_a_cut_log_left_out_is_counted(tmp_path: Path) -> None:
    from byoci.controller.agentside.record import Log

    os.mkfifo(tmp_path / "wake")
    log = Log(str(tmp_path), ["sesame"], timestamps=False, most=10)
    log.write(b"12345678901234")
    log.write(b"x" * 100)
    log.say("ours is sesame")
    log.finish()
    *_, ours, count = (tmp_path / "log").read_bytes().splitlines()
    assert ours == b"ours is ********"
    assert count == b"Of what the build printed, 104 bytes were not kept."


def test_each_line_has_its_time(log_of: Callable[..., bytes]) -> None:
    data = log_of([b"a", b"b\n\nc\n", b"d"], [], timestamps=True).decode()
    assert re.sub(r"\d\d:\d\d:\d\d ", "T ", data) == "T ab\nT \nT c\nT d"


def test_statuses_are_json_of_one_step(tmp_path: Path) -> None:
    from byoci.controller.agentside.record import boot_id, start_of, write_json

    status: dict[str, Any] = {"boot": boot_id(), "pid": os.getpid(), "start": start_of(os.getpid())}
    write_json(f"{tmp_path}/status", status)
    assert json.loads((tmp_path / "status").read_text()) == status
    assert status["start"] > 0
    assert start_of(2**22 + 1) == 0


def test_a_build_whose_supervisor_never_began_is_lost(tmp_path: Path) -> None:
    from byoci.controller.agentside.server import Followed

    os.mkfifo(tmp_path / "wake")
    followed = Followed(str(tmp_path), 0)
    assert followed.status() is None
    os.utime(tmp_path, (0, 0))
    assert followed.status() == {"lost": "its supervisor did not start"}
    followed.close()
