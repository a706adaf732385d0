"""Which folders may change hands. Only the question is asked here: nothing is ever handed over by these tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from byoci.errors import UsageError
from byoci.worker.folders import Base, check_workspace

pytestmark = pytest.mark.worker


@pytest.mark.parametrize(
    "place",
    ["/", "/etc", "/usr/lib", "/usr", "/tmp", "/var", "/proc/self", "/dev/shm", "/home", "relative", sys.prefix],
)
def test_no_place_of_the_system_is_a_workspace(place: str, tmp_path: Path) -> None:
    base = Base(tmp_path / "base", 60900, tmp_path)
    with pytest.raises(UsageError):
        check_workspace(Path(place), base)


def test_what_holds_byoci_or_its_workers_is_none(tmp_path: Path) -> None:
    base = Base(tmp_path / "holder" / "base", 60900, tmp_path)
    base.path.mkdir(parents=True)
    with pytest.raises(UsageError):
        check_workspace(tmp_path / "holder", base)


def test_a_link_is_none(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UsageError):
        check_workspace(tmp_path / "link", Base(tmp_path / "base", None, tmp_path))


def test_a_folder_of_its_own_is_one(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    check_workspace(tmp_path / "workspace", Base(tmp_path / "base", 60900, tmp_path))
