"""Landings whose tests find the files in a tree that is kept on disk, or, where so configured, in a copy."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import pytest
from site_under_test import Story

from byoci import effects
from byoci.model import Outcome
from byoci.worker import folders, tree

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.skipif(not shutil.which("bwrap"), reason="missing: bwrap")]
VCS = [pytest.param("git", marks=pytest.mark.git), pytest.param("bzr", marks=[pytest.mark.bzr, pytest.mark.slow])]
TESTS = "cat greeting n*; ls; rm README; echo broken >greeting; echo left >n0"
RESULT = '<testsuite><testcase name="{}"/></testsuite>'


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
@pytest.mark.parametrize("kind", ["shared", "copied"])
def test_each_landing_tests_exactly_its_files(
    tmp_path: Path, vcs: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(tmp_path, vcs, tests=TESTS, more='tests.results = ["*.xml"]', worker=f'tree = "{kind}"')
    base = folders.base_of(story.site.config.state)
    caplog.set_level(logging.DEBUG, effects.__name__)
    names = ["README", "greeting"]
    try:
        for number in range(3):
            caplog.clear()
            new = {f"n{number}": f"{number}\n", f"r{number}.xml": RESULT.format(number)}
            names += new
            story.propose(f"topic-{number}", new)
            (row,) = story.land()
            assert row.landing.outcome is Outcome.LANDED
            (log,) = (story.site.config.state / "logs" / "hello" / row.landing.proposal).iterdir()
            texts = ["hello", *(f"{past}" for past in range(number + 1)), *sorted(names)]
            assert log.read_text() == "".join(f"{text}\n" for text in texts)
            assert f"{number + 1} " in " ".join(row.landing.reasons)  # results
            begun = [record.args[0] for record in caplog.records if record.msg is effects.BEGINS and record.args]
            updates = kind == "shared" and number > 0
            assert begun.count(f"{vcs}.update") == updates
            assert begun.count(f"{vcs}.export") == (not updates)
        assert (base.path / "trees").exists() == (kind == "shared")
    finally:
        folders.session(base).close()
        tree.remove(base.path)
