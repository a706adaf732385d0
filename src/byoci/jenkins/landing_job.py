"""The job `land-PROJECT`: what it is called, what it is given, and the config.xml that does it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from byoci.jenkins.freestyle import Freestyle

if TYPE_CHECKING:
    from collections.abc import Sequence

PROPOSAL: Final = "PROPOSAL"
LANDING: Final = "LANDING"
RESULT: Final = "landing.json"
"""The artifact with the documented list of `byoci agent land --json`."""
MANAGED: Final = "Managed by byoci"
"""A job whose description begins so is byoci's to change and to delete; no other is."""

_SCRIPT: Final = """#!/bin/sh
# 3 means that there was nothing to do, which is no failure.
status=0
{land} >{result} || status=$?
cat {result}
[ "$status" != 3 ] || status=0
exit "$status"
"""


def job_name(project: str) -> str:
    """The job that lands a project's proposals."""
    return f"land-{project}"


def land_command(trunk: str, worker: str, byoci: Sequence[str]) -> str:
    """The shell command that lands $PROPOSAL in a job's workspace, and tells of it on standard output; see below."""
    land = shlex.join((*byoci, "agent", "land", "--json"))
    return f'{land} --proposal "$PROPOSAL" {shlex.quote(trunk)} "$WORKSPACE/tree" {shlex.quote(worker)}'


def config_xml(project: str, trunk: str, worker: str, byoci: Sequence[str], label: str = "") -> str:
    """The job's config.xml.

    trunk   as `byoci agent land` takes it
    worker  the kind of worker, by its name in the definition
    byoci   how the agent calls byoci: program and options
    label   the expression of labels that chooses the agent; "": any
    """
    return Freestyle(
        description=f"{MANAGED}: lands proposals into the trunk of {project}.",
        script=_SCRIPT.format(land=land_command(trunk, worker, byoci), result=RESULT),
        label=label,
        parameters={PROPOSAL: "The proposal to land.", LANDING: "By what the monitor finds this build again."},
        artifacts=(RESULT,),
    ).config_xml()
