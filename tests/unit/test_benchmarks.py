"""The benchmarks' arithmetic. That they measure is seen by running them; nothing here is timed."""

from __future__ import annotations

import pytest
from benchmarks.runner import Figure, found, interleaved, table

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("", "ms", [1, 9, 4], "bare", [2, 2, 1], target=2), True),
        (Figure("", "ms", [1, 9, 4.1], "bare", [2, 2, 1], target=2), False),
        (Figure("", "ms", [1, 9, 4], "bare", [2, 2, 1], target=5, absolute=True), True),
        (Figure("", "MB", [81], target=80, absolute=True), False),
        (Figure("", "a second", [250, 190, 210], target=200, absolute=True, at_least=True), True),
        (Figure("", "a second", [150, 190, 210], target=200, absolute=True, at_least=True), False),
        (Figure("", "ms", [1]), None),
    ],
)
def test_a_target_is_judged_by_the_median_or_its_ratio(figure: Figure, met: bool | None) -> None:
    assert figure.met is met
    assert figure.as_json()["met"] is met
    assert ("NOT MET" in table([figure])) is (met is False)


def test_measures_take_turns_and_each_is_first_as_often() -> None:
    order: list[str] = []

    def measuring(name: str, value: float):  # type: ignore[no-untyped-def]
        return lambda: order.append(name) or value

    values = interleaved(3, measuring("a", 1), measuring("b", 2), measuring("c", 3))
    assert values == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]
    assert "".join(order) == "abcbcacab"


def test_every_benchmark_is_found() -> None:
    assert sorted(found()) == [
        "agents",
        "controller",
        "day",
        "landing",
        "memory",
        "monitor",
        "proof",
        "startup",
        "worker",
    ]
