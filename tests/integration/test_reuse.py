"""An equal tree in an equal worker need not be tested again, where the project says so, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from site_under_test import Story

from byoci.gate import testing
from byoci.gate.plan import TestPlan
from byoci.model import Outcome
from worker_harness import small_image

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.git]
COUNTING = "echo tested; test ! -e broken"


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    for folder in (tmp_path, *tmp_path.parents):  # an image has to be within the worker's user's reach
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    image = small_image(tmp_path / "image")
    more = f'tests.reuse = true\n[image.small]\npath = "{image}"'
    return Story(tmp_path, "git", tests=COUNTING, more=more, worker='image = "small"')


def logs(story: Story) -> int:
    return sum(path.read_text().count("tested") for path in (story.site.config.state / "logs").rglob("*.log"))


@pytest.mark.slow
def test_what_shadow_tested_lands_without_a_second_test(story: Story) -> None:
    story.propose("topic", {"new": "1\n"})
    story.shadow()
    assert logs(story) == 1
    row = story.land_one()
    assert row.outcome is Outcome.LANDED
    assert "on the same tree before" in row.reasons[0]
    assert logs(story) == 1


@pytest.mark.slow
def test_another_tree_and_another_image_are_tested(story: Story) -> None:
    story.propose("one", {"one": "1\n"})
    story.shadow()
    story.propose("two", {"two": "1\n"})
    (story.folder / "image/etc/changed").write_text("x")
    story.reopen()
    assert [row.landing.outcome for row in story.land()] == [Outcome.LANDED, Outcome.LANDED]
    assert logs(story) == 3


def test_a_failure_is_never_used_again(story: Story) -> None:
    proposal = story.propose("topic", {"broken": "1\n"})
    story.shadow()
    story.shadow(proposal.id, regardless=True)
    assert logs(story) >= 1
    assert story.shadow(proposal.id, regardless=True)[0].landing.outcome is Outcome.TESTS_FAILED


def test_what_must_not_be_used_again_has_no_key() -> None:
    plan = TestPlan(("true",), reuse=True)
    assert testing.key_of("tree", plan, "worker") is not None
    assert testing.key_of("tree", plan, None) is None
    assert testing.key_of("tree", TestPlan(("true",), reuse=True, network=True), "worker") is None
    assert testing.key_of("tree", TestPlan(("true",)), "worker") is None
    keys = {
        testing.key_of(tree, TestPlan(commands, environment=environment, reuse=True), worker)
        for tree in "ab"
        for commands in (("x",), ("x", "y"), ("x y",))
        for environment in ({}, {"A": "1"})
        for worker in "vw"
    }
    assert len(keys) == 24
