"""What all tests share: a world without the caller's settings, and no silent gaps in a gate.

A test that cannot run for want of a program or a library skips with a reason that begins with "missing:". In a gate
(CI=true) that is a failure, because there it could have been installed. Other skips (only root can, …) stay skips.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Generator

IN_GATE = os.environ.get("CI", "").lower() in ("1", "true", "yes")
_CALLERS = ("GIT_", "BZR_", "BRZ_", "BYOCI_", "SSH_", "XDG_", "PYTHON", "EMAIL", "NAME", "DEBFULLNAME")

# A loaded machine is slow, and that is no failure; a gate tries the same examples for the same commit.
settings.register_profile(
    "byoci", deadline=None, derandomize=IN_GATE, database=None if IN_GATE else settings().database
)
settings.register_profile("quick", settings.get_profile("byoci"), max_examples=20)  # --hypothesis-profile quick
settings.load_profile("byoci")


@pytest.fixture(scope="session", autouse=True)
def _clean_world(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """An empty home, and nothing of the caller's that would change what git, breezy, ssh or byoci do."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_CALLERS)]:
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True)
def _own_log() -> Generator[None]:
    """What a command sets up for byoci's log, as `main` does, ends with the test."""
    logger = logging.getLogger("byoci")
    level, propagate, handlers = logger.level, logger.propagate, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.propagate, logger.handlers = propagate, handlers


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked for a VCS needs it."""
    if item.get_closest_marker("git") and not shutil.which("git"):
        pytest.skip("missing: git")
    if item.get_closest_marker("bzr") and not importlib.util.find_spec("breezy"):
        pytest.skip("missing: breezy")


def _refuse_gaps(report: Any) -> None:
    if not (IN_GATE and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if reason.startswith("missing:"):
        report.outcome = "failed"
        report.longrepr = f"{reason}, and a gate leaves nothing out that could have been installed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_gaps(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_gaps(report)
    return report
