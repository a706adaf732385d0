"""The job `land-PROJECT`: what it is called, what it is given, and the config.xml that does it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

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

_CONFIG: Final = """<?xml version="1.0" encoding="UTF-8"?>
<project>
  <description>{description}</description>
  <keepDependencies>false</keepDependencies>
  <properties>
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>
        <hudson.model.StringParameterDefinition>
          <name>PROPOSAL</name>
          <description>The proposal to land.</description>
          <defaultValue></defaultValue>
        </hudson.model.StringParameterDefinition>
        <hudson.model.StringParameterDefinition>
          <name>LANDING</name>
          <description>By what the monitor finds this build again.</description>
          <defaultValue></defaultValue>
        </hudson.model.StringParameterDefinition>
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  </properties>
  <scm class="hudson.scm.NullSCM"/>
  {label}
  <disabled>false</disabled>
  <triggers class="vector"/>
  <concurrentBuild>false</concurrentBuild>
  <builders>
    <hudson.tasks.Shell>
      <command>{script}</command>
    </hudson.tasks.Shell>
  </builders>
  <publishers>
    <hudson.tasks.ArtifactArchiver>
      <artifacts>{result}</artifacts>
      <latestOnly>false</latestOnly>
    </hudson.tasks.ArtifactArchiver>
  </publishers>
  <buildWrappers/>
</project>
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
    script = _SCRIPT.format(land=land_command(trunk, worker, byoci), result=RESULT)
    where = f"<assignedNode>{escape(label)}</assignedNode>\n  <canRoam>false</canRoam>" if label else ""
    return _CONFIG.format(
        description=escape(f"{MANAGED}: lands proposals into the trunk of {project}."),
        label=where or "<canRoam>true</canRoam>",
        script=escape(script),
        result=RESULT,
    )
