"""Workers where byoci is no root, and where it cannot write to control groups: all that holds for them holds there."""

from __future__ import annotations

import sys

import pytest

import elsewhere

pytestmark = [pytest.mark.worker, pytest.mark.slow, elsewhere.needs_root]

SUITES = (
    "tests/contract/test_worker.py",
    "tests/attack/test_worker_seal.py",
    "tests/attack/test_worker_trees.py",
    "tests/integration/test_worker_killed.py",
)
PLACES = {
    "an ordinary user": (elsewhere.STRANGER, ()),
    "root without control groups": (None, (elsewhere.CONTROL_GROUPS,)),
}
HOME_OF_GROUPS = "from byoci.worker import cgroup; print(cgroup.home())"


@pytest.mark.parametrize("place", PLACES)
def test_the_contract_and_the_seal_hold(place: str) -> None:
    user, without = PLACES[place]
    before = elsewhere.prefix(user, without=without)
    with elsewhere.home_of(user) as home:
        assert elsewhere.run([sys.executable, "-c", HOME_OF_GROUPS], before, home).stdout == "None\n"
        done = elsewhere.run_tests(SUITES, before, home)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
