"""What a Jenkins tells of jobs and nodes, compared with what is wanted, and what becomes of a node."""

from __future__ import annotations

import pytest

from byoci.errors import UnavailableError
from byoci.jenkins.configs import same
from byoci.jenkins.landing_job import config_xml
from byoci.jenkins.nodes import Node, modified

WANTED = Node("big", "[agent.big] of the definition", "/srv/ci", 4, ("linux", "big"), "start-slave-via-ssh big")
# As Jenkins 2 tells a node that a person made, with a launcher and properties of plugins.
THEIRS = """<?xml version='1.1' encoding='UTF-8'?>
<slave>
  <name>big</name>
  <description>Ask &lt;ann&gt; before you touch it</description>
  <remoteFS>/home/jenkins</remoteFS>
  <numExecutors>1</numExecutors>
  <mode>EXCLUSIVE</mode>
  <retentionStrategy class="hudson.slaves.RetentionStrategy$Demand">
    <inDemandDelay>0</inDemandDelay>
    <idleDelay>5</idleDelay>
  </retentionStrategy>
  <launcher class="hudson.plugins.sshslaves.SSHLauncher" plugin="ssh-slaves@2.9">
    <host>big</host>
    <port>22</port>
  </launcher>
  <label>old</label>
  <nodeProperties>
    <hudson.slaves.EnvironmentVariablesNodeProperty>
      <envVars serialization="custom"><unserializable-parents/></envVars>
    </hudson.slaves.EnvironmentVariablesNodeProperty>
  </nodeProperties>
</slave>"""


def test_of_a_node_only_what_byoci_wants_changes() -> None:
    new = modified(THEIRS, WANTED)
    expected = (
        THEIRS.replace("/home/jenkins", "/srv/ci")
        .replace("<numExecutors>1", "<numExecutors>4")
        .replace("<label>old", "<label>linux big")
    )
    launcher = expected[expected.index("  <launcher") : expected.index("  <label>")]
    command = "<agentCommand>start-slave-via-ssh big</agentCommand>"
    ours = f'  <launcher class="hudson.slaves.CommandLauncher">{command}</launcher>\n'
    assert new == expected.replace(launcher, ours).replace("<unserializable-parents/>", "<unserializable-parents />")
    assert modified(new, WANTED) == new


def test_a_launcher_of_the_right_kind_keeps_what_its_plugin_says() -> None:
    kind = '<slave><launcher class="hudson.slaves.CommandLauncher" plugin="command-launcher@1"><agentCommand>old'
    new = modified(f"{kind}</agentCommand></launcher></slave>", WANTED)
    assert f"{kind.removesuffix('old')}{WANTED.command}</agentCommand>" in new


def test_a_node_whose_configuration_is_no_xml_is_left_alone() -> None:
    with pytest.raises(UnavailableError, match="big is no XML"):
        modified("<html><br></html>", WANTED)


def test_what_a_server_adds_to_a_job_does_not_count_and_what_people_change_does() -> None:
    wanted = config_xml("hello", "/trunk", "default", ["byoci"])
    added = "<blockBuildWhenUpstreamBuilding>false</blockBuildWhenUpstreamBuilding>"
    theirs = (
        wanted.replace('<?xml version="1.0" encoding="UTF-8"?>', "<?xml version='1.1' encoding='UTF-8'?>")
        .replace("<project>", f"<project>{added}<actions/>")
        .replace('"$PROPOSAL"', "&quot;$PROPOSAL&quot;")
        .replace("<hudson.tasks.Shell>", '<hudson.tasks.Shell plugin="core@2">')
        .replace("</hudson.tasks.Shell>", "<configuredLocalRules/></hudson.tasks.Shell>")
    )
    assert same(theirs, wanted)
    for old, new in (
        ("<canRoam>true", "<canRoam>false"),
        ("</builders>", "<hudson.tasks.Shell><command>echo</command></hudson.tasks.Shell></builders>"),
        ("<project>", "<project><assignedNode>big</assignedNode>"),
        ("&quot;$PROPOSAL&quot;", "x"),
        ("<hudson.tasks.Shell plugin", '<hudson.tasks.Shell class="x" plugin'),
        ("</project>", "<project>"),
    ):
        assert not same(theirs.replace(old, new), wanted), old
