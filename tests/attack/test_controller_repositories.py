"""What somebody tries at the controller who may push to a repository that it polls, or name one, and no more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from byoci.controller.agentside.files import Room, collect, matching, read_properties
from byoci.controller.checkout import tips
from byoci.controller.repository import Git, Remote
from byoci.errors import UnavailableError

pytestmark = pytest.mark.controller


def git(folder: Path, *words: str) -> str:
    argv = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_branchs_name_tells_nothing_of_other_branches(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message=one")
    tip = git(tmp_path, "rev-parse", "main")
    for name in ("odd\u00a0name", f"evil\u2028{'0' * 40}\u00a0refs/heads/main", "x\u0085y"):
        git(tmp_path, "branch", name)
    assert tips(Git((Remote("origin", str(tmp_path), ()),), ("main",)), {}) == [tip]


@pytest.mark.parametrize("url", ["ext::touch {}", "--upload-pack=touch {}", "ssh://-oProxyCommand=touch%20{}/x", "$U"])
def test_a_repositorys_address_is_no_command(tmp_path: Path, url: str) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(UnavailableError):
        tips(Git((Remote("origin", url.format(mark), ()),), ("main",)), {"U": f"--upload-pack=touch {mark}"})
    assert not mark.exists()


@pytest.mark.parametrize("end", ["\u2028", "\u0085", "\x0b", "\x1c", "\x0c"])
def test_a_branchs_name_sets_no_other_variable(end: str) -> None:
    assert read_properties(f"GIT_BRANCH=x{end}LD_PRELOAD=/evil.so\n") == {"GIT_BRANCH": f"x{end}LD_PRELOAD=/evil.so"}


def test_files_whose_paths_are_too_long_are_left_out(tmp_path: Path) -> None:

    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "short").write_text("x")
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path / "workspace")
        for _ in range(20):  # far below what a path may name
            Path("y" * 250).mkdir()
            os.chdir("y" * 250)
            Path("z" * 250).touch()
    finally:
        os.fchdir(before)
        os.close(before)
    paths = matching(str(tmp_path / "workspace"), ["**"], [])
    target = tmp_path / "files" / ("longer" * 30)
    collect(str(tmp_path / "workspace"), paths, str(target), Room(99, 1 << 20))
    assert (target / "short").read_text() == "x"
