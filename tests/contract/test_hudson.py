"""The same session of one client against Hudson 1.395 and the controller: what it is answered has the same shape.

Hudson's war is never fetched: who has it puts it where `benchmarks.hudson` looks for it. Without, this is left out.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.hudson import missing, running_hudson
from controller_process import ControllerProcess
from jenkins_clients import environment_folder, run_client

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

JOB = """<?xml version="1.0" encoding="UTF-8"?><project><actions/><description>one &amp; two</description>
<keepDependencies>false</keepDependencies><scm class="hudson.scm.NullSCM"/><canRoam>true</canRoam>
<disabled>false</disabled><triggers class="vector"/><concurrentBuild>false</concurrentBuild>
<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<hudson.model.StringParameterDefinition><name>WHO</name><description/><defaultValue>world</defaultValue>
</hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>
<builders><hudson.tasks.Shell><command>echo hello $WHO; echo x &gt; kept.txt; exit $BUILD_NUMBER</command>
</hudson.tasks.Shell></builders><publishers><hudson.tasks.ArtifactArchiver><artifacts>*.txt</artifacts>
<latestOnly>false</latestOnly></hudson.tasks.ArtifactArchiver></publishers><buildWrappers/></project>"""
SESSION = """
import json, sys, time
import jenkins, requests
url, user, token, job = sys.argv[1:]
server = jenkins.Jenkins(url, user or None, token or None)
told = {}
def post(path):
    return server.jenkins_open(requests.Request("POST", url + path))
def wait_for(what):
    for _ in range(3000):
        try:
            found = what()
        except jenkins.JenkinsException:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")
told["none"] = server.job_exists("hudson-job")
server.create_job("hudson-job", job)
told["exists"] = server.job_exists("hudson-job")
told["fresh"] = server.get_job_info("hudson-job")
told["jobs"] = [entry for entry in server.get_info()["jobs"] if entry["name"] == "hudson-job"]
post("job/hudson-job/buildWithParameters?WHO=me&delay=0sec")
def ended():
    info = server.get_build_info("hudson-job", 1)
    return not info["building"] and info
told["build"] = wait_for(ended)
told["console"] = server.get_build_console_output("hudson-job", 1)
told["artifact"] = server.get_build_artifact_as_bytes("hudson-job", 1, "kept.txt").decode()
told["built"] = server.get_job_info("hudson-job")
server.disable_job("hudson-job")
told["disabled"] = server.get_job_info("hudson-job")
server.enable_job("hudson-job")
server.reconfig_job("hudson-job", job.replace("one &amp; two", "three"))
told["changed"] = server.get_job_info("hudson-job")
told["config"] = "three" in server.get_job_config("hudson-job")
told["queue"] = server.get_queue_info()
told["nodes"] = json.loads(server.jenkins_open(requests.Request("GET", url + "computer/api/json")))
told["root"] = server.get_info()
server.delete_build("hudson-job", 1)
told["gone"] = server.get_job_info("hudson-job")["builds"]
server.delete_job("hudson-job")
told["none again"] = server.job_exists("hudson-job")
print(json.dumps(told))
"""
# What Hudson told and Jenkins does not any longer, or tells by other words.
ELSEWHERE = {"assignedLabels", "overallLoad", "unlabeledLoad", "monitorData", "useSecurity", "primaryView", "scm"}


def session(url: str, user: str, token: str, folder: Path) -> dict[str, Any]:
    program = folder / "session.py"
    program.write_text(textwrap.dedent(SESSION))
    run = run_client("python", "-W", "ignore", program, url, user, token, JOB, folder=folder, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    answered: dict[str, Any] = json.loads(run.stdout)
    return answered


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where something that Hudson tells is missing, or of another type; what one of both does not know is no type."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{path}.{key} is missing" for key in theirs if key not in ours and key not in ELSEWHERE]
        for key in theirs.keys() & ours.keys() - ELSEWHERE:
            found += differences(theirs[key], ours[key], f"{path}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        return [
            text for one, two in zip(theirs[:1], ours[:1], strict=False) for text in differences(one, two, f"{path}[]")
        ]
    same = type(theirs) is type(ours) or theirs is None or ours is None
    return [] if same else [f"{path} is {ours!r}, not {theirs!r}"]


def test_a_session_is_answered_as_by_hudson(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(f"Hudson is not at hand: {why}")
    environment_folder()
    controller = ControllerProcess(tmp_path / "home")
    controller.start()
    try:
        ours = session(controller.url, "admin", controller.token, tmp_path)
    finally:
        controller.stop()
    with running_hudson(tmp_path / "hudson", print) as url:
        theirs = session(url, "", "", tmp_path)
    assert differences(theirs, ours) == []
    for name in ("none", "exists", "config", "artifact", "gone", "none again", "queue"):
        assert ours[name] == theirs[name], name
    for name in ("fresh", "built", "disabled", "changed"):
        for key in ("name", "displayName", "color", "buildable", "nextBuildNumber", "description", "inQueue"):
            told = theirs[name][key]
            assert ours[name][key] == ("notbuilt" if told == "grey" else told), (name, key)  # Jenkins' word for it
    for key in ("number", "result", "building", "fullDisplayName"):
        assert ours["build"][key] == theirs["build"][key], key
    for line in ("+ echo hello me", "hello me", "Finished: FAILURE"):
        assert line in ours["console"].splitlines()
        assert line in theirs["console"].splitlines()
