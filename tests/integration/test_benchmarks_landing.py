"""What the benchmark of landings compares is the same work; how long it takes is no test's business."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks import landing, memory, proof
from benchmarks.sites import measured

from byoci.vcs.urls import UrlPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.model import Location
    from byoci.vcs.base import Vcs

pytestmark = [pytest.mark.agent, pytest.mark.slow]

BOTH = pytest.mark.parametrize(
    "kind", [pytest.param("git", marks=pytest.mark.git), pytest.param("bzr", marks=pytest.mark.bzr)]
)


def reader(kind: str, private: Path) -> Vcs:
    if kind == "git":
        from byoci.vcs.git import GitVcs

        return GitVcs(private, UrlPolicy(local=True), {}, committer_email="")
    from byoci.vcs.bzr import BzrVcs

    return BzrVcs(private, UrlPolicy(local=True), {}, committer_email="")


def files(vcs: Vcs, trunk: Location, folder: Path) -> dict[str, bytes]:
    vcs.export(vcs.fetch(trunk, trusted=True), folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@BOTH
def test_by_hand_the_same_lands(kind: str, tmp_path: Path) -> None:
    with measured(tmp_path / "site", kind, 3) as site:
        before = files(reader(kind, tmp_path / "before"), site.repositories.trunk, tmp_path / "first")
        for number in range(2):
            site.approve(number)
            assert site.land() > 0
            site.repositories.by_hand(number)
        ours, by_hand = (
            files(reader(kind, tmp_path / f"private-{name}"), trunk, tmp_path / f"files-{name}")
            for name, trunk in (("ours", site.repositories.trunk), ("by-hand", site.repositories.trunk_by_hand))
        )
    assert ours == by_hand
    assert len(ours) == 1000
    assert sum(ours[name] != text for name, text in before.items()) == 2 * 3


@BOTH
def test_landings_are_measured(kind: str) -> None:
    figures = list(landing.compare(lambda _: None, kind, (2, 3), 1, 1.0, "the same by hand"))
    assert [figure.peer for figure in figures] == ["the same by hand", "the same by hand", "with 2"]
    assert all(figure.p50 > 0 and figure.ratio for figure in figures)


@pytest.mark.git
def test_memory_is_measured() -> None:
    figures = list(memory.peaks(lambda _: None, "git", 2, 2, 1.0))
    assert len(figures) == 2
    assert all(figure.p50 > 10 and figure.met is False for figure in figures)


@pytest.mark.git
def test_proving_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "_AUDITED", 3)
    monkeypatch.setattr(proof, "_ON_TRUNK", 4)
    figures = list(proof.measure(lambda _: None))
    assert [figure.unit for figure in figures] == ["ms", "s", "s", "s"]
    assert all(figure.p50 > 0 for figure in figures)
