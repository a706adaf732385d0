"""What a person does with each of Jenkins' three clients, step by step, and what he is answered.

A session is a program that runs with the client, unmodified, in the clients' own environment. It knows no server: a
step that fails is told as such, and the rest goes on.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from jenkins_clients import run_client

if TYPE_CHECKING:
    from pathlib import Path

JOB = """<?xml version="1.0" encoding="UTF-8"?><project><actions/><description>one &amp; two</description>
<keepDependencies>false</keepDependencies><scm class="hudson.scm.NullSCM"/><canRoam>true</canRoam>
<disabled>false</disabled><triggers class="vector"/><concurrentBuild>false</concurrentBuild>
<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<hudson.model.StringParameterDefinition><name>WHO</name><description/><defaultValue>world</defaultValue>
</hudson.model.StringParameterDefinition></parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>
<builders><hudson.tasks.Shell><command>echo hello $WHO; echo x &gt; kept.txt; exit $BUILD_NUMBER</command>
</hudson.tasks.Shell></builders><publishers><hudson.tasks.ArtifactArchiver><artifacts>*.txt</artifacts>
<latestOnly>false</latestOnly></hudson.tasks.ArtifactArchiver></publishers><buildWrappers/></project>"""
_PLAIN = """<project><actions/><description/><keepDependencies>false</keepDependencies><scm class="hudson.scm.NullSCM"/>
<canRoam>true</canRoam><disabled>false</disabled><triggers class="vector"/><concurrentBuild>false</concurrentBuild>
<properties/><builders><hudson.tasks.Shell><command>{}</command></hudson.tasks.Shell></builders><publishers/>
<buildWrappers/></project>"""
_PRELUDE = f"""
import json, sys, time
url, user, token = sys.argv[1:]
JOB = {JOB!r}
PLAIN = {_PLAIN!r}
told = {{}}
def step(name, what):
    try:
        told[name] = {{"told": what()}}
    except Exception as error:
        told[name] = {{"refused": f"{{type(error).__name__}}: {{error}}"[:500]}}
def wait_for(what):
    for _ in range(600):
        try:
            if found := what():
                return found
        except Exception:
            pass  # not there yet
        time.sleep(0.1)
    raise AssertionError("waited in vain")
"""
PYTHON_JENKINS = """
import jenkins, requests
server = jenkins.Jenkins(url, user or None, token or None)
def post(path):
    server.jenkins_open(requests.Request("POST", url + path))
def get(path):
    return json.loads(server.jenkins_open(requests.Request("GET", url + path)))
def ended(name):
    return wait_for(lambda: not (info := server.get_build_info(name, 1))["building"] and info)
step("no job", lambda: server.job_exists("pj"))
step("create", lambda: server.create_job("pj", JOB))
step("exists", lambda: server.job_exists("pj"))
step("fresh", lambda: server.get_job_info("pj"))
step("name", lambda: server.get_job_name("pj"))
step("jobs", lambda: [job for job in server.get_jobs() if job["name"] == "pj"])
step("all jobs", lambda: [job["fullname"] for job in server.get_all_jobs()])
step("job by pattern", lambda: [job["name"] for job in server.get_job_info_regex("p[j]")])
step("count", server.jobs_count)
step("build", lambda: post("job/pj/buildWithParameters?WHO=me&delay=0sec"))
step("ended", lambda: ended("pj"))
step("console", lambda: server.get_build_console_output("pj", 1))
step("artifact", lambda: server.get_build_artifact_as_bytes("pj", 1, "kept.txt").decode())
step("no tests", lambda: server.get_build_test_report("pj", 1))
step("built", lambda: server.get_job_info("pj"))
step("disable", lambda: server.disable_job("pj"))
step("disabled", lambda: server.get_job_info("pj"))
step("enable", lambda: server.enable_job("pj"))
step("change", lambda: server.reconfig_job("pj", JOB.replace("one &amp; two", "three")))
step("changed", lambda: server.get_job_info("pj"))
step("config", lambda: "three" in server.get_job_config("pj"))
step("create another", lambda: server.create_job("long", PLAIN.format("echo begun; sleep 30")))
step("start", lambda: post("job/long/build?delay=0sec"))
step("running", lambda: wait_for(lambda: server.get_running_builds()))
step("running build", lambda: wait_for(lambda: server.get_build_info("long", 1)))
step("its ball", lambda: server.get_job_info("long")["color"])
step("begun", lambda: wait_for(lambda: "begun" in server.get_build_console_output("long", 1).splitlines()))
step("stop", lambda: server.stop_build("long", 1))
step("stopped", lambda: ended("long"))
step("wipe out", lambda: server.wipeout_job_workspace("long"))
step("be quiet", lambda: post("quietDown"))
step("ask for a build", lambda: post("job/long/build?delay=0sec"))
step("queue", lambda: wait_for(lambda: [item for item in server.get_queue_info() if item["buildable"]]))
step("waiting job", lambda: server.get_job_info("long")["inQueue"])
step("delete what waits", lambda: server.delete_job("long"))
step("queue again", lambda: server.get_queue_info())
step("be loud", lambda: post("cancelQuietDown"))
step("nodes", lambda: get("computer/api/json"))
step("node names", lambda: len(server.get_nodes()))
step("root", lambda: server.get_info())
step("views", lambda: server.get_views())
step("delete build", lambda: server.delete_build("pj", 1))
step("no builds", lambda: server.get_job_info("pj")["builds"])
step("script", lambda: server.run_script("println(1 + 1)"))
step("version", lambda: server.get_version())
step("who am I", lambda: server.get_whoami()["id"])
step("plugins", lambda: server.get_plugins_info())
step("copy", lambda: server.copy_job("pj", "pj2"))
step("rename", lambda: server.rename_job("pj2", "pj3"))
step("quiet", server.quiet_down)
step("be loud again", lambda: post("cancelQuietDown"))
step("next number", lambda: server.set_next_build_number("pj", 9))
step("item of the queue", lambda: server.get_queue_item(server.build_job("pj", {"WHO": "x"}))["task"]["name"])
step("create view", lambda: server.create_view("pv", jenkins.EMPTY_VIEW_CONFIG_XML))
step("create folder", lambda: server.create_folder("pf"))
where = {"host": "127.0.0.1", "port": "1", "username": "ci"}
step("create node", lambda: server.create_node("pn", 1, "", "/srv/ci", "linux", True, jenkins.LAUNCHER_SSH, where))
step("delete", lambda: server.delete_job("pj"))
step("no job again", lambda: server.job_exists("pj"))
"""
JENKINS_JOB_BUILDER = """
import pathlib, requests
from jenkins_jobs.cli.entry import JenkinsJobs
JOBS = \"\"\"
- job-template:
    name: jjb-{n}
    description: number {n}
    node: ""
    parameters: [{string: {name: WHO, default: world}}]
    triggers: [{timed: "0 0 1 1 *"}]
    builders: [{shell: "echo {n} for $WHO"}]
    publishers: [{fingerprint: {files: "*.txt"}}]
- project: {name: all, n: [1, 2, 3], jobs: ["jjb-{n}"]}
\"\"\"
def jobs(text, *arguments):
    pathlib.Path("jobs.yaml").write_text(text)
    JenkinsJobs(["--conf", "jjb.ini", *arguments]).execute()
    there = get("api/json?depth=1")["jobs"]
    return sorted([job["name"], job["description"]] for job in there if job["name"].startswith("jjb-"))
def get(path):
    return requests.get(url + path, auth=(user, token) if user else None).json()
pathlib.Path("jjb.ini").write_text(f"[jenkins]\\nurl={url}\\nuser={user}\\npassword={token}\\n")
fewer = JOBS.replace("[1, 2, 3]", "[2, 3]")
changed = fewer.replace("number", "the number")
step("create", lambda: jobs(JOBS, "update", "--jobs-only", "jobs.yaml"))
step("created", lambda: get("job/jjb-2/api/json"))
step("change", lambda: jobs(changed, "update", "--jobs-only", "jobs.yaml"))
step("delete old", lambda: jobs(changed, "update", "--jobs-only", "--delete-old", "jobs.yaml"))
step("delete one", lambda: jobs(changed, "delete", "--path", "jobs.yaml", "jjb-2"))
step("delete all", lambda: jobs(changed, "delete", "--path", "jobs.yaml", "--jobs-only", "jjb-3"))
view = "- view: {name: jjb-view, view-type: list, regex: 'jjb-.*'}"
step("view", lambda: jobs(view, "update", "--views-only", "jobs.yaml"))
"""
API4JENKINS = """
from api4jenkins import Jenkins
from api4jenkins.build import FreeStyleBuild
from api4jenkins.job import FreeStyleProject
server = Jenkins(url, auth=(user, token) if user else None)
step("exists", lambda: server.exists())
step("crumb", lambda: len(server.crumb))
step("create", lambda: server.create_job("a4j", PLAIN.format("for i in 1 2 3; do echo line $i; done")) and None)
job = FreeStyleProject(server, url + "job/a4j/")
step("job exists", lambda: job.exists())
step("config", lambda: "line $i" in job.configure())
step("describe", lambda: job.set_description("what <it> does"))
step("description", lambda: job.description)
step("disable", lambda: job.disable() and None)
step("disabled", lambda: job.buildable)
step("enable", lambda: job.enable() and None)
step("enabled", lambda: job.buildable)
step("next", lambda: job.next_build_number)
step("build", lambda: job.handle_req("POST", "build?delay=0sec") and None)
build = FreeStyleBuild(server, url + "job/a4j/1/")
step("ended", lambda: wait_for(lambda: not build.building))
step("result", lambda: build.result)
step("console", lambda: [line for line in build.console_text() if line.startswith("line")])
step("progress", lambda: [line for line in build.progressive_output() if line.startswith("line")])
step("describe build", lambda: build.set_description("a good one"))
step("build's description", lambda: build.description)
step("causes", lambda: build.get_causes())
step("parameters", lambda: len(build.get_parameters()))
step("queue", lambda: len(list(server.queue)))
step("be quiet", lambda: server.system.quiet_down() and None)
step("be loud", lambda: server.system.cancel_quiet_down() and None)
step("version", lambda: server.version)
step("get job", lambda: server.get_job("a4j").name)
step("jobs", lambda: [job.name for job in server.iter()])
step("last build", lambda: job.get_last_build().number)
step("builds", lambda: [build.number for build in job.iter()])
step("all builds", lambda: [build.number for build in job.iter_all_builds()])
step("nodes", lambda: len(list(server.nodes)))
step("views", lambda: len(list(server.views)))
step("plugins", lambda: len(list(server.plugins)))
step("item of the queue", lambda: job.build().get_job().name)
step("copy", lambda: server.copy_job("a4j", "a4j2") and None)
step("delete build", lambda: build.delete() and None)
step("delete", lambda: job.delete() and None)
step("is gone", lambda: job.exists())
"""
SESSIONS = {"python-jenkins": PYTHON_JENKINS, "jenkins-job-builder": JENKINS_JOB_BUILDER, "api4jenkins": API4JENKINS}

Told = dict[str, dict[str, Any]]
"""Of each step either what is `told`, or why it was `refused`."""


def session(client: str, url: str, user: str, token: str, folder: Path) -> Told:
    """Play one of `SESSIONS` with the server there."""
    folder.mkdir()
    program = folder / "session.py"
    program.write_text(_PRELUDE + textwrap.dedent(SESSIONS[client]) + "print(json.dumps(told))\n")
    run = run_client("python", "-W", "ignore", program, url, user, token, folder=folder, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    answered: Told = json.loads(run.stdout.splitlines()[-1])
    return answered
