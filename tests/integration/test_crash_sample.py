"""A few kills and faults of those that `test_kills` and `test_faults` try in full."""

from __future__ import annotations

import errno

import pytest
from crash_client import Landers
from test_faults import Fault, cut, failed
from test_kills import cases, killed

pytestmark = [pytest.mark.agent]


@pytest.mark.parametrize("vcs", ["git", pytest.param("bzr", marks=pytest.mark.slow)])
def test_a_sample(vcs: str) -> None:
    moves = "git.push" if vcs == "git" else "bzr.move"
    torn = {"do": "tear", "when": "after", "act": "all", "name": moves, "nth": 1}
    full = {"do": "fail", "when": "before", "errno": errno.ENOSPC, "name": "certificate.write", "nth": 1}
    with Landers(vcs) as landers:
        dry = landers.dry("plain")
        assert dry.unnamed == (), "\n".join(dry.unnamed)
        (case,) = (case for case in cases("plain", dry.effects, moves) if case.when == "after")
        assert killed(landers, case) == [], case
        if vcs == "git":
            assert cut(landers, Fault("plain", torn)) == []
        else:
            assert failed(landers, Fault("plain", full)) == []
