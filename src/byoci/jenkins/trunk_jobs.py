"""The jobs `test-PROJECT` and `trigger-PROJECT-devs-test`: the tests of a trunk's tip, and what has them run."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from byoci.jenkins.freestyle import Freestyle
from byoci.jenkins.landing_job import MANAGED

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEW: Final = "byoci"
SUBUNIT: Final = "tests.subunit"
"""The artifact with the subunit stream of what ran."""
_OFTEN: Final = "H/5 * * * *"
_KEPT: Final = 50  # builds that only looked

_TRIGGER: Final = """#!/bin/sh
# 3 means that nothing has changed, which is no failure.
status=0
{detect} || status=$?
[ "$status" != 3 ] || status=0
exit "$status"
"""


def name_of_tests(project: str) -> str:
    """The job that tests a project's trunk."""
    return f"test-{project}"


def name_of_trigger(project: str) -> str:
    """The job that has the tests of a project's trunk run once it has changed."""
    return f"trigger-{project}-devs-test"


def command_of_tests(trunk: str, worker: str, byoci: Sequence[str]) -> str:
    """The shell commands that test a trunk's tip in a job's workspace, and keep a subunit stream beside it."""
    setup_tree = f'{shlex.join((*byoci, "agent", "setup-tree"))} {shlex.quote(trunk)} "$WORKSPACE/tree"'
    run_tests = f'{shlex.join((*byoci, "agent", "run-tests"))} --subunit {SUBUNIT} "$WORKSPACE/tree"'
    return f"{setup_tree}\n{run_tests} {shlex.quote(worker)}"


def command_of_trigger(project: str, vcs: str, trunk: str, byoci: Sequence[str]) -> str:
    """The shell command that has the tests run if the trunk has changed."""
    rest = shlex.join((vcs, trunk, VIEW, name_of_tests(project)))
    return f'{shlex.join((*byoci, "agent", "detect-changes"))} "$JENKINS_URL" {rest}'


def xml_of_tests(
    project: str, trunk: str, worker: str, byoci: Sequence[str], label: str = "", results: Sequence[str] = ()
) -> str:
    """The config.xml of the job that tests; see `landing_job.config_xml`.

    results  patterns of the JUnit XML files that the project's tests write
    """
    return Freestyle(
        description=f"{MANAGED}: tests what the trunk of {project} has now.",
        script=f"#!/bin/sh\nset -e\nrm -f {SUBUNIT}\n{command_of_tests(trunk, worker, byoci)}\n",
        label=label,
        artifacts=(SUBUNIT,),
        junit=[f"tree/{pattern}" for pattern in results],
    ).config_xml()


def xml_of_trigger(project: str, vcs: str, trunk: str, byoci: Sequence[str], label: str = "") -> str:
    """The config.xml of the job that looks every five minutes whether the trunk has changed."""
    return Freestyle(
        description=f"{MANAGED}: has {name_of_tests(project)} built once the trunk of {project} has changed.",
        script=_TRIGGER.format(detect=command_of_trigger(project, vcs, trunk, byoci)),
        label=label,
        timer=_OFTEN,
        keep=_KEPT,
    ).config_xml()
