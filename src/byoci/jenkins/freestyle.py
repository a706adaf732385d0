"""The config.xml of a job with one shell step, as Jenkins and its kin have it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONFIG: Final = """<?xml version="1.0" encoding="UTF-8"?>
<project>
  <description>{description}</description>
  <keepDependencies>false</keepDependencies>
  <properties>{properties}</properties>
  <scm class="hudson.scm.NullSCM"/>
  {label}
  <disabled>false</disabled>
  <triggers class="vector">{timer}</triggers>
  <concurrentBuild>false</concurrentBuild>
  <builders>
    <hudson.tasks.Shell>
      <command>{script}</command>
    </hudson.tasks.Shell>
  </builders>
  <publishers>{publishers}</publishers>
  <buildWrappers/>
</project>
"""
_PARAMETERS: Final = """
    <hudson.model.ParametersDefinitionProperty>
      <parameterDefinitions>{each}
      </parameterDefinitions>
    </hudson.model.ParametersDefinitionProperty>
  """
_PARAMETER: Final = """
        <hudson.model.StringParameterDefinition>
          <name>{name}</name>
          <description>{meaning}</description>
          <defaultValue></defaultValue>
        </hudson.model.StringParameterDefinition>"""
_KEEP: Final = """
    <jenkins.model.BuildDiscarderProperty>
      <strategy class="hudson.tasks.LogRotator">
        <daysToKeep>-1</daysToKeep>
        <numToKeep>{number}</numToKeep>
        <artifactDaysToKeep>-1</artifactDaysToKeep>
        <artifactNumToKeep>-1</artifactNumToKeep>
      </strategy>
    </jenkins.model.BuildDiscarderProperty>
  """
_TIMER: Final = """
    <hudson.triggers.TimerTrigger>
      <spec>{spec}</spec>
    </hudson.triggers.TimerTrigger>
  """
_ARTIFACTS: Final = """
    <hudson.tasks.ArtifactArchiver>
      <artifacts>{patterns}</artifacts>
      <latestOnly>false</latestOnly>
    </hudson.tasks.ArtifactArchiver>
  """
_JUNIT: Final = """
    <hudson.tasks.junit.JUnitResultArchiver>
      <testResults>{patterns}</testResults>
      <keepLongStdio>false</keepLongStdio>
      <testDataPublishers/>
    </hudson.tasks.junit.JUnitResultArchiver>
  """


@dataclass(frozen=True, slots=True)
class Freestyle:
    """Such a job.

    script      of a shell; its first line may name another interpreter
    label       the expression of labels that chooses the agent; "": any
    parameters  texts that a build is given: name → meaning
    timer       when it is built by itself, as cron has it with Jenkins' `H`; "": never
    keep        how many of its builds are kept at most; 0: all
    artifacts   patterns of the files in the workspace that are kept
    junit       patterns of the JUnit XML files there that its test report is made of
    """

    description: str
    script: str
    label: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    timer: str = ""
    keep: int = 0
    artifacts: Sequence[str] = ()
    junit: Sequence[str] = ()

    def config_xml(self) -> str:
        """Its config.xml."""
        each = "".join(_PARAMETER.format(name=name, meaning=escape(text)) for name, text in self.parameters.items())
        label = f"<assignedNode>{escape(self.label)}</assignedNode>\n  <canRoam>false</canRoam>" if self.label else ""
        artifacts = _ARTIFACTS.format(patterns=escape(",".join(self.artifacts))) if self.artifacts else ""
        junit = _JUNIT.format(patterns=escape(",".join(self.junit))) if self.junit else ""
        keep = _KEEP.format(number=self.keep) if self.keep else ""
        return _CONFIG.format(
            description=escape(self.description),
            properties=(_PARAMETERS.format(each=each) if each else "") + keep,
            label=label or "<canRoam>true</canRoam>",
            timer=_TIMER.format(spec=escape(self.timer)) if self.timer else "",
            script=escape(self.script),
            publishers=artifacts + junit,
        )
