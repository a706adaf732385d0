"""Jenkins' own clients, unmodified, against the controller: they cannot tell it from Jenkins in what they do here."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest
from controller_process import ControllerProcess, running
from jenkins_clients import environment_folder, run_client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

SHELL = "<project><builders><hudson.tasks.Shell><command>{}</command></hudson.tasks.Shell></builders></project>"
PRELUDE = """
import sys, time
url, token = sys.argv[1:]
SHELL = {shell!r}
def wait_for(what):
    for _ in range(6000):
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")
"""


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    environment_folder()
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        yield process


def talk(controller: ControllerProcess, script: str, folder: Path) -> None:
    """Run what a user of a client would write; an assertion of his that fails is ours."""
    program = folder / "program.py"
    program.write_text(PRELUDE.format(shell=SHELL) + textwrap.dedent(script))
    run = run_client("python", "-W", "ignore", program, controller.url, controller.token, folder=folder, check=False)
    assert run.returncode == 0, run.stdout + run.stderr + controller.errors.read_text()


def test_python_jenkins_keeps_jobs(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        import jenkins
        server = jenkins.Jenkins(url, "admin", token)
        assert server.get_whoami()["id"] == "admin"
        assert tuple(map(int, server.get_version().split("."))) > (2, 0)
        assert len(server.get_plugins()) == 0
        server.create_job("pj-one", SHELL.format("true"))
        assert server.job_exists("pj-one")
        assert server.get_job_info("pj-one")["nextBuildNumber"] == 1
        server.reconfig_job("pj-one", SHELL.format("echo changed"))
        assert "changed" in server.get_job_config("pj-one")
        server.copy_job("pj-one", "pj-two")
        server.rename_job("pj-two", "pj-three")
        assert sorted(job["name"] for job in server.get_jobs()) == ["pj-one", "pj-three"]
        server.disable_job("pj-three")
        assert server.get_job_info("pj-three")["color"] == "disabled"
        server.enable_job("pj-three")
        server.create_folder("pj-folder")
        server.create_job("pj-folder/inner", SHELL.format("true"))
        assert "pj-folder/inner" in [job["fullname"] for job in server.get_all_jobs()]
        try:
            unknown = "<hudson.plugins.emailext.ExtendedEmailPublisher/>"
            server.create_job("pj-bad", f"<project><publishers>{unknown}</publishers></project>")
        except jenkins.JenkinsException as error:
            assert "publishers: email-ext" in str(error), error
        else:
            raise AssertionError("a job that cannot be run was taken")
        for name in ("pj-one", "pj-three", "pj-folder"):
            server.delete_job(name)
        assert not server.job_exists("pj-folder/inner")
        """,
        tmp_path,
    )


def test_python_jenkins_builds(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        import jenkins
        server = jenkins.Jenkins(url, "admin", token)
        parameter = (
            "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
            "<hudson.model.StringParameterDefinition><name>WHO</name><defaultValue>world</defaultValue>"
            "</hudson.model.StringParameterDefinition></parameterDefinitions>"
            "</hudson.model.ParametersDefinitionProperty></properties>"
        )
        server.create_job("pj-build", SHELL.format("echo hello $WHO; echo x &gt; kept.txt").replace(
            "</project>",
            parameter + "<publishers><hudson.tasks.ArtifactArchiver><artifacts>*.txt</artifacts>"
            "</hudson.tasks.ArtifactArchiver></publishers></project>",
        ))
        for place in ("actions", "property"):
            (told,) = server.get_job_info("pj-build")[place]
            assert [entry["name"] for entry in told["parameterDefinitions"]] == ["WHO"]
        item = server.build_job("pj-build", {"WHO": "a & b"})
        number = wait_for(lambda: server.get_queue_item(item).get("executable"))["number"]
        info = wait_for(lambda: not (found := server.get_build_info("pj-build", number))["building"] and found)
        assert (info["result"], info["queueId"]) == ("SUCCESS", item)
        assert "hello a & b" in server.get_build_console_output("pj-build", number)
        assert server.get_build_artifact_as_bytes("pj-build", number, "kept.txt") == b"x\\n"
        assert server.get_job_info("pj-build")["lastSuccessfulBuild"]["number"] == number
        assert [b["number"] for b in server.get_job_info("pj-build", fetch_all_builds=True)["builds"]] == [1]
        server.create_job("pj-long", SHELL.format("sleep 1000"))
        item = server.build_job("pj-long")
        wait_for(lambda: [b for b in server.get_running_builds() if b["name"] == "pj-long"])
        server.stop_build("pj-long", 1)
        info = wait_for(lambda: not (found := server.get_build_info("pj-long", 1))["building"] and found)
        assert info["result"] == "ABORTED"
        server.delete_build("pj-long", 1)
        server.quiet_down()
        assert server.get_info()["quietingDown"]
        item = server.build_job("pj-long")
        assert [queued["id"] for queued in server.get_queue_info()] == [item]
        server.cancel_queue(item)
        assert server.get_queue_info() == []
        server.jenkins_open(__import__("requests").Request("POST", url + "cancelQuietDown"))
        server.delete_job("pj-build")
        server.delete_job("pj-long")
        """,
        tmp_path,
    )


def test_python_jenkins_keeps_views_and_nodes(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        import jenkins
        server = jenkins.Jenkins(url, "admin", token)
        server.create_job("pj-seen", SHELL.format("true"))
        server.create_view("pj-view", jenkins.EMPTY_VIEW_CONFIG_XML)
        assert server.view_exists("pj-view")
        shown = "<hudson.model.ListView><jobNames><string>pj-seen</string></jobNames></hudson.model.ListView>"
        server.reconfig_view("pj-view", shown)
        assert [job["name"] for job in server._get_view_jobs("pj-view")] == ["pj-seen"]
        assert "pj-view" in [view["name"] for view in server.get_views()]
        server.delete_view("pj-view")
        assert not server.view_exists("pj-view")
        server.delete_job("pj-seen")
        server.create_node("pj-node", 3, "words", "/srv/ci", "linux big", True, jenkins.LAUNCHER_SSH,
                           {"host": "127.0.0.1", "port": "1", "username": "ci"})
        info = server.get_node_info("pj-node")
        assert (info["numExecutors"], info["offline"], info["description"]) == (3, True, "words")
        server.disable_node("(built-in)", "for a while")
        assert server.get_node_info("(built-in)")["offlineCauseReason"] == "for a while"
        server.enable_node("(built-in)")
        assert not server.get_node_info("(built-in)")["offline"]
        config = server.get_node_config("pj-node")
        server.reconfig_node("pj-node", config.replace("<numExecutors>3", "<numExecutors>4"))
        assert server.get_node_info("pj-node")["numExecutors"] == 4
        assert "pj-node" in [node["name"] for node in server.get_nodes()]
        server.delete_node("pj-node")
        assert not server.node_exists("pj-node")
        """,
        tmp_path,
    )


def test_api4jenkins(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        from api4jenkins import Jenkins
        server = Jenkins(url, auth=("admin", token))
        assert server.version
        server.create_job("a4j/inner", SHELL.format("for i in 1 2 3; do echo line $i; done"), recursive=True)
        job = server.get_job("a4j/inner")
        assert (type(job).__name__, job.full_name) == ("FreeStyleProject", "a4j/inner")
        item = server.build_job("a4j/inner")
        build = wait_for(item.get_build)
        wait_for(lambda: not build.building)
        assert build.result == "SUCCESS"
        assert "line 2" in list(build.console_text())
        assert "line 3" in list(build.progressive_output())
        assert build.project == job
        assert job.get_last_build() == build
        assert [b.number for b in job.iter_all_builds()] == [1]
        assert [j.name for j in server.iter()].count("a4j") == 1
        assert [node.display_name for node in server.nodes] == ["Built-In Node"]
        made = server.user.generate_token("mine")
        assert Jenkins(url, auth=("admin", made.value)).get_job("a4j").exists()
        server.user.revoke_token(made.uuid)
        server.delete_job("a4j")
        assert not job.exists()
        """,
        tmp_path,
    )


def test_python_jenkins_sees_variables_and_sets_numbers(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        import jenkins
        server = jenkins.Jenkins(url, "admin", token)
        server.create_job("pj-numbers", jenkins.EMPTY_CONFIG_XML)
        server.set_next_build_number("pj-numbers", 7)
        assert server.get_job_info("pj-numbers")["nextBuildNumber"] == 7
        server.reconfig_job("pj-numbers", jenkins.RECONFIG_XML)
        server.build_job("pj-numbers")
        wait_for(lambda: (last := server.get_job_info("pj-numbers")["lastCompletedBuild"]) and last["number"] == 7)
        server.set_next_build_number("pj-numbers", 3)
        assert server.get_job_info("pj-numbers")["nextBuildNumber"] == 8
        told = server.get_build_env_vars("pj-numbers", 7)["envMap"]
        assert (told["BUILD_NUMBER"], told["BUILD_TAG"]) == ("7", "jenkins-pj-numbers-7")
        health = server.get_job_info("pj-numbers")["healthReport"]
        assert health[0]["description"] == "Build stability: No recent builds failed.", health
        server.delete_job("pj-numbers")
        """,
        tmp_path,
    )


def test_api4jenkins_describes_moves_and_fetches(controller: ControllerProcess, tmp_path: Path) -> None:
    talk(
        controller,
        """
        import io, zipfile
        from api4jenkins import Jenkins
        server = Jenkins(url, auth=("admin", token))
        archiver = (
            "<publishers><hudson.tasks.ArtifactArchiver><artifacts>**</artifacts></hudson.tasks.ArtifactArchiver>"
            "</publishers></project>"
        )
        script = "rm -rf *; mkdir d; echo one > d/a.txt; echo '&lt;b&gt;'"
        server.create_job("a4j-kept", SHELL.format(script).replace("</project>", archiver))
        server.create_job("a4j-in", "<com.cloudbees.hudson.plugins.folder.Folder/>")
        job = server.get_job("a4j-kept")
        job.set_description("what <it> does")
        assert job.description == "what <it> does"
        job.move("a4j-in")
        job = server.get_job("a4j-in/a4j-kept")
        assert job.exists()
        build = wait_for(server.build_job("a4j-in/a4j-kept").get_build)
        wait_for(lambda: not build.building)
        build.set_description("a good one")
        assert build.description == "a good one"
        with build.handle_stream("GET", "artifact/*zip*/archive.zip") as reply:
            data = b"".join(reply.iter_bytes())
        assert zipfile.ZipFile(io.BytesIO(data)).read("archive/d/a.txt") == b"one\\n"
        assert "&lt;b&gt;" in list(build.progressive_output(html=True))
        job.set_next_build_number(20)
        assert job.next_build_number == 20
        server.views.create("a4j-view", "<hudson.model.ListView/>")
        view = server.views.get("a4j-view")
        view.include("a4j-in")
        assert [item.name for item in view] == ["a4j-in"]
        view.exclude("a4j-in")
        assert list(view) == []
        view.delete()
        server.delete_job("a4j-in")
        """,
        tmp_path,
    )


def test_xpath_as_scripts_use_it(controller: ControllerProcess) -> None:
    def told(path: str) -> str:
        return controller.get(path).text

    crumb = controller.get("crumbIssuer/api/json").json["crumb"]
    assert told('crumbIssuer/api/xml?xpath=concat(//crumbRequestField,":",//crumb)') == f"Jenkins-Crumb:{crumb}"
    controller.shell("xp-one", "exit 1")
    controller.shell("xp-two", "true")
    controller.run("xp-one")
    assert told("job/xp-one/lastBuild/api/xml?xpath=/*/result/text()") == "FAILURE"
    assert told("job/xp-one/api/xml?xpath=//lastBuild/number") == "<number>1</number>"
    health = "<description>Build stability: All recent builds failed.</description>"
    assert told("job/xp-one/api/xml?xpath=//healthReport/description") == health
    names = told("api/xml?tree=jobs[name,color]&xpath=//job[color='red']/name&wrapper=names")
    assert names == "<names><name>xp-one</name></names>"
    assert "color" not in told("api/xml?tree=jobs[name,color]&exclude=//color")
    assert controller.get("api/xml?xpath=//nothing").status == 404
    for path in ("//job/name", "count(//job)", "//job[name()='x']", "//" * 3000):
        assert controller.get(f"api/xml?xpath={path}").status == 400
    for name in ("xp-one", "xp-two"):
        controller.post(f"job/{name}/doDelete")


VIEWS = """
- job: {name: v-one, builders: [{shell: "true"}]}
- job: {name: v-two, disabled: true}
- job: {name: v-folder, project-type: folder}
- job: {name: v-folder/v-three}
- view: {name: v-all, view-type: all}
- view: {name: v-list, view-type: list, job-name: [v-one], recurse: true, regex: "v-folder/.*"}
- view:
    name: v-nested
    view-type: nested
    views: [{name: v-inner, view-type: list, regex: "v-t.*"}, {name: v-outer, view-type: all}]
"""


def test_the_kinds_of_views_that_jenkins_job_builder_makes(controller: ControllerProcess, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(VIEWS)
    (tmp_path / "jjb.ini").write_text(f"[jenkins]\nurl={controller.url}\nuser=admin\npassword={controller.token}\n")
    for _ in range(2):
        run = run_client("jenkins-jobs", "--conf", "jjb.ini", "update", "jobs.yaml", folder=tmp_path, check=False)
        assert run.returncode == 0, run.stdout + run.stderr

    def shown(path: str) -> list[str]:
        jobs = controller.get(f"view/{path}/api/json").json["jobs"]
        return [job["name"] for job in jobs if job["name"].startswith("v-")]

    assert shown("v-all") == ["v-folder", "v-one", "v-two"]
    assert shown("v-list") == ["v-three", "v-one"]
    off = "<hudson.model.ListView><includeRegex>v-.*</includeRegex><statusFilter>false</statusFilter>"
    assert controller.post("createView?name=v-off", f"{off}</hudson.model.ListView>".encode()).status == 200
    assert shown("v-off") == ["v-two"]
    nested = controller.get("view/v-nested/api/json").json
    assert [view["name"] for view in nested["views"]] == ["v-inner", "v-outer"]
    assert shown("v-nested/view/v-inner") == ["v-two"]
    run_client("jenkins-jobs", "--conf", "jjb.ini", "delete-all", folder=tmp_path, said="y\n")


JOBS = """
- job-template:
    name: jjb-{n}
    description: number {n}
    builders:
      - shell: "echo {n}"
- project:
    name: all
    n: [1, 2, 3]
    jobs: ["jjb-{n}"]
- job: {name: jjb-folder, project-type: folder}
- job: {name: jjb-folder/inner, builders: [{shell: "true"}]}
- view: {name: jjb-view, view-type: list, regex: "jjb-.*"}
"""


def test_jenkins_job_builder(controller: ControllerProcess, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "jjb.ini").write_text(f"[jenkins]\nurl={controller.url}\nuser=admin\npassword={controller.token}\n")

    def jobs(*arguments: str, said: str = "") -> str:
        run = run_client("jenkins-jobs", "--conf", "jjb.ini", *arguments, folder=tmp_path, check=False, said=said)
        assert run.returncode == 0, run.stdout + run.stderr + controller.errors.read_text()
        return run.stdout + run.stderr

    assert "Number of jobs updated: 5" in jobs("update", "jobs.yaml")
    names = [job["name"] for job in controller.get("view/jjb-view/api/json").json["jobs"]]
    assert names == ["jjb-1", "jjb-2", "jjb-3", "jjb-folder"]
    assert controller.run("jjb-2")[0]["result"] == "SUCCESS"
    (tmp_path / "jobs.yaml").write_text(JOBS.replace("echo", "echo again"))
    jobs("update", "jobs.yaml")
    assert "again 2" in controller.run("jjb-2", number=2)[1]
    jobs("update", "--delete-old", "--jobs-only", "jobs.yaml")
    jobs("delete", "--path", "jobs.yaml", "jjb-1")
    assert controller.get("job/jjb-1/api/json").status == 404
    assert controller.get("job/jjb-folder/job/inner/api/json").status == 200
    jobs("delete-all", said="y\n")
    assert controller.get("api/json").json["jobs"] == []
