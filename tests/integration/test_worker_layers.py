"""Layers on disk, made and removed by several processes, some of which are killed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from byoci.worker import sharing, tree
from byoci.worker.layers import Layer, Store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.worker

KEY = "0123456789abcdef"


class Maker:
    """Makes layers with some files, and counts them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.made = 0

    def __call__(self) -> Path:
        self.made += 1
        folder = self._folder / f"made-{os.getpid()}-{next(self._numbers)}"
        for name in ("home", "work/deep"):
            (folder / name).mkdir(parents=True)
            (folder / name / "file").write_text("whole")
        return folder


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "layers")


def is_whole(store: Store, key: str, maker: Maker) -> bool:
    layer = store.get(key, maker)
    try:
        return all((layer.path / name).read_text() == "whole" for name in ("home/file", "work/deep/file"))
    finally:
        layer.close()


def test_the_least_used_goes_when_all_together_are_too_large(
    store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, key in enumerate(("old", "older", "new")):
        store.get(key, maker).close()
        os.utime(store._folder / key, (1e9 - number, 4e9 - (number % 2)))
    size = int((store._folder / "new/size").read_text())
    monkeypatch.setattr(sharing, "TOTAL_BYTES", 2 * size)
    store.prune()
    assert sorted(path.name for path in store._folder.iterdir()) == ["new", "new.lock", "old", "old.lock"]


def test_what_is_used_stays(store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "AGE_SECONDS", -1.0)
    used = store.get(KEY, maker)
    store.prune()
    assert (used.work / "deep/file").exists()
    used.close()
    store.prune()
    assert list(store._folder.iterdir()) == []


def test_one_who_is_killed_while_removing_leaves_nothing_to_trip_over(
    store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a layer must not be taken for a whole one, nor keep others from tidying up."""
    store.get(KEY, maker).close()
    monkeypatch.setattr(sharing, "AGE_SECONDS", -1.0)
    child = os.fork()
    if not child:

        def remove_half(path: Path) -> None:
            (path / "size").unlink()
            shutil.rmtree(path / "home")
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(tree, "remove", remove_half)
        store.prune()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()
    assert is_whole(store, KEY, maker)
    assert maker.made == 2
    store.prune()
    assert sorted(path.name for path in store._folder.iterdir()) == [KEY, f"{KEY}.lock"]


def test_one_who_wanted_to_make_it_does_not_wait_for_those_who_use_it(store: Store, maker: Maker) -> None:
    """A worker holds its layer for as long as its tests take."""
    inside = threading.Barrier(8)
    used: list[Layer] = []

    def make() -> Path:
        time.sleep(0.05)  # all others have found by now that it is not there
        return maker()

    def use() -> None:
        inside.wait()
        used.append(store.get(KEY, make))

    threads = [threading.Thread(target=use, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    alive = [thread for thread in threads if thread.is_alive()]
    for layer in used:
        layer.close()
    assert not alive
    assert len(used) == 8
    assert maker.made == 1


def test_one_who_is_killed_while_making_leaves_nothing_that_counts(store: Store, maker: Maker) -> None:
    child = os.fork()
    if not child:

        def make_half() -> Path:
            maker()
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        store.get(KEY, make_half)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert is_whole(store, KEY, maker)
    assert maker.made == 1


@pytest.mark.slow
def test_many_who_use_make_and_remove_at_once(store: Store, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "AGE_SECONDS", -1.0)
    children = []
    for _ in range(6):
        child = os.fork()
        if not child:
            status = 1
            try:
                whole = [is_whole(store, f"{key}", maker) for _ in range(40) for key in range(3)]
                status = 0 if all(whole) else 2
            finally:
                os._exit(status)
        children.append(child)
    assert {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children} == {0}
