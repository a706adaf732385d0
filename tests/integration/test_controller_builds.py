"""Builds on the controller's own host: what jobs ask for is what happens, as told by the remote API."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from controller_process import ControllerProcess, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    folder = tmp_path_factory.mktemp("controller")
    process = ControllerProcess(folder / "home")
    (folder / "bin").mkdir()
    program = folder / "bin/sendmail"  # as strict as the real one's interface is simple: a message and addresses
    program.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-i --" ] || exit 64\nshift 2\n{{ echo "for $*"; cat; }} > {folder}/mail.$$\n'
    )
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)
        process.start()
    yield process
    process.stop()
    assert "Traceback" not in process.errors.read_text()


def parameters(*definitions: tuple[str, str, str]) -> str:
    inner = "".join(
        f"<hudson.model.{kind}ParameterDefinition><name>{name}</name><defaultValue>{default}</defaultValue>"
        f"</hudson.model.{kind}ParameterDefinition>"
        for kind, name, default in definitions
    )
    start = "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
    return f"{start}{inner}</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>"


def publishers(inner: str) -> str:
    return f"<publishers>{inner}</publishers>"


def wrappers(inner: str) -> str:
    return f"<buildWrappers>{inner}</buildWrappers>"


def timeout(seconds: int, operation: str) -> str:
    return wrappers(
        "<hudson.plugins.build__timeout.BuildTimeoutWrapper>"
        '<strategy class="hudson.plugins.build_timeout.impl.NoActivityTimeOutStrategy">'
        f"<timeoutSecondsString>{seconds}</timeoutSecondsString></strategy><operationList>"
        f"<hudson.plugins.build__timeout.operations.{operation}/></operationList>"
        "</hudson.plugins.build__timeout.BuildTimeoutWrapper>"
    )


def test_a_build_has_jenkins_variables_and_its_parameters(controller: ControllerProcess) -> None:
    script = (
        'echo "$BUILD_NUMBER|$JOB_NAME|$BUILD_TAG|$NODE_NAME|$EXECUTOR_NUMBER|$WHO|$FLAG"\n'
        'echo "$JENKINS_URL|$BUILD_URL|$WORKSPACE"; pwd'
    )
    controller.shell("variables", script, parameters(("String", "WHO", "x"), ("Boolean", "FLAG", "true")))
    facts, log = controller.run("variables", "WHO=a%20%24HOME")
    assert facts["result"] == "SUCCESS"
    assert "1|variables|jenkins-variables-1|built-in|0|a $HOME|true\n" in log
    workspace = f"{controller.home}/agent/workspace/variables"
    assert f"{controller.url}|{controller.url}job/variables/1/|{workspace}\n{workspace}\n" in log.replace("+ pwd\n", "")
    told = controller.get("job/variables/1/injectedEnvVars/api/json").json["envMap"]
    assert (told["WHO"], told["BUILD_CAUSE"]) == ("a $HOME", "MANUALTRIGGER")
    assert log.startswith(f"Started by user admin\nBuilding on Built-In Node in workspace {workspace}\n")
    assert log.endswith("Finished: SUCCESS\n")


def test_a_password_is_never_shown(controller: ControllerProcess) -> None:
    controller.shell("secret", 'echo "is $P"; echo "$P" | cut -c1-4', parameters(("Password", "P", "")))
    _, log = controller.run("secret", "P=correct-horse")
    assert "is ********\n" in log
    assert "corr\n" in log
    for path in (
        "job/secret/1/api/json?depth=5",
        "queue/item/{}/api/json",
        "job/secret/api/xml?depth=3",
        "api/json?depth=9",
    ):
        number = controller.get("job/secret/1/api/json").json["queueId"]
        assert "correct-horse" not in controller.get(path.format(number)).text


def test_a_failing_step_ends_the_build_and_a_chosen_status_makes_it_unstable(controller: ControllerProcess) -> None:
    controller.create(
        "steps",
        "<builders><hudson.tasks.Shell><command>exit 3</command><unstableReturn>3</unstableReturn></hudson.tasks.Shell>"
        "<hudson.tasks.Shell><command>#!/bin/sh\necho two; exit 4</command></hudson.tasks.Shell>"
        "<hudson.tasks.Shell><command>echo three</command></hudson.tasks.Shell></builders>",
    )
    facts, log = controller.run("steps")
    assert facts["result"] == "FAILURE"
    assert "two\n" in log
    assert "three" not in log
    controller.create(
        "unstable",
        "<builders><hudson.tasks.Shell><command>exit 3</command><unstableReturn>3</unstableReturn></hudson.tasks.Shell>"
        "<hudson.tasks.Shell><command>echo two</command></hudson.tasks.Shell></builders>",
    )
    facts, log = controller.run("unstable")
    assert (facts["result"], "two\n" in log) == ("UNSTABLE", True)
    assert controller.get("job/unstable/api/json").json["color"] == "yellow"


def test_variables_are_injected(controller: ControllerProcess) -> None:
    controller.create(
        "injected",
        "<properties><EnvInjectJobProperty><info><propertiesContent>A=1\nB=${A}2\nPATH=$PATH:/x</propertiesContent></info>"
        "<on>true</on></EnvInjectJobProperty></properties>"
        "<builders><hudson.tasks.Shell><command>echo C=$B > more.props; echo $PATH</command></hudson.tasks.Shell>"
        "<EnvInjectBuilder><info><propertiesFilePath>more.props</propertiesFilePath></info></EnvInjectBuilder>"
        "<hudson.tasks.Shell><command>echo c is $C</command></hudson.tasks.Shell></builders>",
    )
    facts, log = controller.run("injected")
    assert facts["result"] == "SUCCESS"
    assert "c is 12\n" in log
    assert ":/x\n" in log


def test_secrets_are_shown_nowhere(controller: ControllerProcess) -> None:
    password = "hudson.model.PasswordParameterDefinition"
    definitions = (
        "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
        f"<{password}><name>WORD</name><defaultValue>sesame-1</defaultValue></{password}></parameterDefinitions>"
        "</hudson.model.ParametersDefinitionProperty></properties>"
    )
    inject = "<EnvInjectBuilder><info><propertiesContent>COPY=is $WORD</propertiesContent></info></EnvInjectBuilder>"
    script = "<hudson.tasks.Shell><command>test $WORD = opensesame; echo told $COPY</command></hudson.tasks.Shell>"
    controller.create("hidden", f"{definitions}<builders>{inject}{script}</builders>")
    facts, log = controller.run("hidden", "WORD=opensesame")
    assert facts["result"] == "SUCCESS"
    assert "told is ********\n" in log
    told = controller.get("job/hidden/1/injectedEnvVars/api/json")
    assert (told.json["envMap"]["WORD"], told.json["envMap"]["COPY"]) == ("********", "is ********")
    for path in ("1/api/json?depth=3", "api/json?depth=3", "1/consoleText", "1/injectedEnvVars/api/xml"):
        assert "sesame" not in controller.get(f"job/hidden/{path}").text


@pytest.mark.parametrize(("operation", "result"), [("AbortOperation", "ABORTED"), ("FailOperation", "FAILURE")])
def test_a_silent_build_is_ended_in_time(controller: ControllerProcess, operation: str, result: str) -> None:
    controller.shell(f"slow-{result}", "sleep 1000", timeout(1, operation))
    facts, log = controller.run(f"slow-{result}")
    assert facts["result"] == result
    assert "nothing was printed" in log


def test_stopping_a_build_ends_every_process_of_it(controller: ControllerProcess, tmp_path: Path) -> None:
    script = f"(setsid sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done' &) ; sleep 1000"
    controller.shell("tree", script)
    controller.build("tree")
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert controller.post("job/tree/1/stop").status == 302
    assert controller.finished("tree")["result"] == "ABORTED"
    assert not alive(pid)
    assert "Aborted by admin\nFinished: ABORTED\n" in controller.get("job/tree/1/consoleText").text


def alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_a_build_leaves_running_is_ended_with_it(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("left", f"(setsid sleep 1000 & echo $! > {tmp_path}/pid); sleep 0.1")
    assert controller.run("left")[0]["result"] == "SUCCESS"
    assert not alive(int((tmp_path / "pid").read_text()))


def test_artifacts_are_kept_with_their_fingerprints(controller: ControllerProcess) -> None:
    archiver = (
        "<hudson.tasks.ArtifactArchiver><artifacts>out/**/*.txt</artifacts><excludes>**/no*</excludes>"
        "<fingerprint>true</fingerprint></hudson.tasks.ArtifactArchiver>"
    )
    script = (
        "rm -rf out; mkdir -p out/deep; echo one > out/deep/a.txt; echo no > out/no.txt; ln -s /etc/passwd out/link.txt"
    )
    controller.shell("kept", script, publishers(archiver))
    facts, _ = controller.run("kept")
    assert [artifact["relativePath"] for artifact in facts["artifacts"]] == ["out/deep/a.txt"]
    digest = hashlib.md5(b"one\n", usedforsecurity=False).hexdigest()
    assert [(print_["fileName"], print_["hash"]) for print_ in facts["fingerprint"]] == [("a.txt", digest)]
    reply = controller.get("job/kept/1/artifact/out/deep/a.txt")
    assert reply.body == b"one\n"
    assert "sandbox" in reply.headers["Content-Security-Policy"]
    for path in ("out/no.txt", "out/link.txt", "..%2f..%2flog", "out/deep/../deep/a.txt"):
        assert controller.get(f"job/kept/1/artifact/{path}").status == 404


def test_fingerprints_of_files_that_are_not_kept(controller: ControllerProcess) -> None:
    printer = "<hudson.tasks.Fingerprinter><targets>*.bin</targets></hudson.tasks.Fingerprinter>"
    controller.shell("printed", "echo one > a.bin; ln -s /etc/passwd b.bin", publishers(printer))
    facts, _ = controller.run("printed")
    digest = hashlib.md5(b"one\n", usedforsecurity=False).hexdigest()
    assert [(found["fileName"], found["hash"]) for found in facts["fingerprint"]] == [("a.bin", digest)]
    assert facts["artifacts"] == []


def test_no_artifacts_are_a_failure(controller: ControllerProcess) -> None:
    archiver = "<hudson.tasks.ArtifactArchiver><artifacts>nothing*</artifacts></hudson.tasks.ArtifactArchiver>"
    controller.shell("none", "true", publishers(archiver))
    facts, log = controller.run("none")
    assert facts["result"] == "FAILURE"
    assert "No artifacts match" in log


def test_failed_tests_make_a_build_unstable(controller: ControllerProcess) -> None:
    report = (
        '<testsuite name="s"><testcase classname="c" name="good" time="0.5"/><testcase classname="c" name="bad">'
        '<failure message="broke">trace</failure></testcase><testcase name="left"><skipped/></testcase></testsuite>'
    )
    archiver = "hudson.tasks.junit.JUnitResultArchiver"
    junit = f"<{archiver}><testResults>r/*.xml</testResults></{archiver}>"
    controller.shell("tests", f"mkdir -p r; cat > r/x.xml <<'E'\n{report}\nE\necho '<x' > r/y.xml", publishers(junit))
    facts, log = controller.run("tests")
    assert facts["result"] == "UNSTABLE"
    assert "Tests: 3, failed: 1, skipped: 1\n" in log
    assert "The test report y.xml cannot be read" in log.replace("r/y.xml", "y.xml")
    told = controller.get("job/tests/1/testReport/api/json?depth=2").json
    assert (told["passCount"], told["failCount"], told["skipCount"]) == (1, 1, 1)
    cases = {case["name"]: (case["status"], case["errorDetails"]) for case in told["suites"][0]["cases"]}
    assert cases == {"good": ("PASSED", None), "bad": ("FAILED", "broke"), "left": ("SKIPPED", None)}


def test_jobs_downstream_are_started_with_parameters(controller: ControllerProcess) -> None:
    trigger = "hudson.plugins.parameterizedtrigger"
    controller.shell("down", "echo got $A $B", parameters(("String", "A", "none"), ("String", "B", "none")))
    controller.shell(
        "up",
        "true",
        publishers(
            f"<{trigger}.BuildTrigger><configs><{trigger}.BuildTriggerConfig><configs>"
            f"<{trigger}.PredefinedBuildParameters><properties>A=from $JOB_NAME\nUNKNOWN=1</properties>"
            f"</{trigger}.PredefinedBuildParameters></configs><projects>down</projects><condition>SUCCESS</condition>"
            f"</{trigger}.BuildTriggerConfig></configs></{trigger}.BuildTrigger>"
        ),
    )
    reverse = "jenkins.triggers.ReverseBuildTrigger"
    started = f"<triggers><{reverse}><upstreamProjects>down</upstreamProjects></{reverse}></triggers>"
    controller.shell("last", "true", started)
    controller.run("up")
    assert controller.finished("down")["result"] == "SUCCESS"
    log = controller.get("job/down/1/consoleText").text
    assert "got from up none\n" in log
    assert log.startswith("Started by upstream project “up” build number 1\n")
    assert controller.finished("last")["result"] == "SUCCESS"
    assert [job["name"] for job in controller.get("job/down/api/json").json["upstreamProjects"]] == ["up"]


def test_parameters_are_handed_on_in_a_file(controller: ControllerProcess) -> None:
    trigger = "hudson.plugins.parameterizedtrigger"

    def handing(path: str) -> str:
        return publishers(
            f"<{trigger}.BuildTrigger><configs><{trigger}.BuildTriggerConfig><configs>"
            f"<{trigger}.FileBuildParameters><propertiesFile>{path}</propertiesFile>"
            f"<failTriggerOnMissing>true</failTriggerOnMissing></{trigger}.FileBuildParameters></configs>"
            f"<projects>handed</projects></{trigger}.BuildTriggerConfig></configs></{trigger}.BuildTrigger>"
        )

    controller.shell("handed", "echo got $A", parameters(("String", "A", "none")))
    controller.shell("handing-none", "true", handing("no.props"))
    controller.run("handing-none")
    controller.shell("handing", "echo A=file of $JOB_NAME > $JOB_NAME.props", handing("$JOB_NAME.props"))
    controller.run("handing")
    assert controller.finished("handed")["result"] == "SUCCESS"
    assert "got file of handing\n" in controller.get("job/handed/1/consoleText").text


def test_only_a_concurrent_job_is_built_twice_at_once(controller: ControllerProcess, tmp_path: Path) -> None:
    def both(name: str) -> Any:
        return [controller.build(name, f"N={number}") for number in (1, 2)]

    wait = f"touch {tmp_path}/$JOB_NAME-$N; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; pwd"
    controller.shell("one", wait, parameters(("String", "N", "")))
    controller.shell("two", wait, parameters(("String", "N", "")) + "<concurrentBuild>true</concurrentBuild>")
    _, second = both("one")
    wait_for((tmp_path / "one-1").exists)
    wait_for(
        lambda: "Build #1 is already in progress (ETA:" in str(controller.get(f"{second}api/json").json.get("why"))
    )
    assert not (tmp_path / "one-2").exists()
    (tmp_path / "go").touch()
    controller.finished("one", 2)
    (tmp_path / "go").unlink()
    both("two")
    wait_for((tmp_path / "two-1").exists)
    wait_for((tmp_path / "two-2").exists)
    (tmp_path / "go").touch()
    controller.finished("two", 1)
    controller.finished("two", 2)
    places = {controller.get(f"job/two/{number}/consoleText").text.splitlines()[-2] for number in (1, 2)}
    assert len(places) == 2


def test_old_builds_are_not_kept(controller: ControllerProcess) -> None:
    rotator = "<logRotator><daysToKeep>-1</daysToKeep><numToKeep>2</numToKeep></logRotator>"
    controller.shell("rotated", "test $BUILD_NUMBER = 1", rotator)
    for number in (1, 2, 3, 4):
        controller.build("rotated")
        controller.finished("rotated", number)

    def numbers() -> list[int]:
        return [build["number"] for build in controller.get("job/rotated/api/json").json["builds"]]

    assert wait_for(lambda: numbers() == [4, 3, 1])  # the last good one stays
    assert not (controller.home / "jobs/rotated/builds/2").exists()


def test_old_artifacts_are_not_kept(controller: ControllerProcess) -> None:
    rotator = "<logRotator><daysToKeep>-1</daysToKeep><artifactNumToKeep>1</artifactNumToKeep></logRotator>"
    archiver = "<hudson.tasks.ArtifactArchiver><artifacts>x</artifacts></hudson.tasks.ArtifactArchiver>"
    controller.shell("artifacts", "touch x", rotator + publishers(archiver))
    controller.run("artifacts")
    controller.run("artifacts", number=2)
    assert wait_for(lambda: controller.get("job/artifacts/1/api/json").json["artifacts"] == [])
    assert controller.get("job/artifacts/1/artifact/x").status == 404
    assert controller.get("job/artifacts/2/artifact/x").status == 200


def test_the_log_is_told_while_it_grows(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("growing", f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo last")
    controller.build("growing")

    def part(start: int = 0) -> Any:
        reply = controller.get(f"job/growing/1/logText/progressiveText?start={start}")
        return reply if reply.status == 200 else None

    first = wait_for(lambda: (found := part()) and "first\n" in found.text and found)
    assert first.headers["X-More-Data"] == "true"
    (tmp_path / "go").touch()
    controller.finished("growing")
    rest = part(int(first.headers["X-Text-Size"]))
    assert "X-More-Data" not in rest.headers
    assert first.text + rest.text == controller.get("job/growing/1/consoleText").text
    assert rest.text.endswith("last\nFinished: SUCCESS\n")


def test_a_workspace_is_cleaned_before_and_after(controller: ControllerProcess) -> None:
    controller.shell("stays", "ls; touch mark")
    controller.run("stays")
    assert "mark\n" in controller.run("stays", number=2)[1].replace("touch mark\n", "")
    controller.shell("before", "ls; touch mark", wrappers("<hudson.plugins.ws__cleanup.PreBuildCleanup/>"))
    controller.run("before")
    assert "mark\n" not in controller.run("before", number=2)[1].replace("touch mark\n", "")
    controller.shell("after", "touch mark", publishers("<hudson.plugins.ws__cleanup.WsCleanup/>"))
    controller.run("after")
    assert wait_for(lambda: not (controller.home / "agent/workspace/after/mark").exists())


def test_a_part_of_a_workspace_is_cleaned(controller: ControllerProcess) -> None:
    pattern = "hudson.plugins.ws__cleanup.Pattern"
    patterns = "".join(
        f"<{pattern}><pattern>{text}</pattern><type>{kind}</type></{pattern}>"
        for text, kind in (("**/*.o", "INCLUDE"), ("out", "INCLUDE"), ("keep.o", "EXCLUDE"))
    )
    cleanup = "hudson.plugins.ws__cleanup.WsCleanup"
    inner = f"<{cleanup}><patterns>{patterns}</patterns><deleteDirs>true</deleteDirs></{cleanup}>"
    controller.shell(
        "partly", "mkdir -p d out/deep; ln -s /etc link; touch a.o d/b.o keep.o x out/deep/y", publishers(inner)
    )
    controller.run("partly")
    workspace = controller.home / "agent/workspace/partly"
    left = {"d", "keep.o", "link", "x"}
    assert wait_for(lambda: {str(path.relative_to(workspace)) for path in workspace.rglob("*")} == left)


def test_a_queue_tells_why_a_build_waits(controller: ControllerProcess) -> None:
    controller.shell("nowhere", "true", "<assignedNode>mars &amp;&amp; linux</assignedNode><canRoam>false</canRoam>")
    item = controller.build("nowhere")
    why = wait_for(lambda: "There are no nodes" in (told := controller.get(f"{item}api/json").json["why"]) and told)
    assert "mars && linux" in why
    assert controller.build("nowhere") == item  # the same wish, asked twice
    assert controller.post(f"queue/cancelItem?id={item.split('/')[2]}").status == 302
    assert controller.get(f"{item}api/json").json["cancelled"] is True


def test_a_quiet_period_is_waited_for(controller: ControllerProcess) -> None:
    controller.shell("quiet", "true", "<quietPeriod>1</quietPeriod>")
    began = time.time()
    item = controller.build("quiet")
    assert controller.get(f"{item}api/json").json["_class"] == "hudson.model.Queue$WaitingItem"
    assert controller.finished("quiet")["timestamp"] / 1000 >= began + 1


def test_a_disabled_job_is_not_built(controller: ControllerProcess) -> None:
    controller.shell("off", "true", "<disabled>true</disabled>")
    assert controller.post("job/off/build").status == 409
    assert controller.post("job/off/enable").status == 302
    assert controller.run("off")[0]["result"] == "SUCCESS"


def test_a_job_that_is_being_built_can_be_removed(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("gone", f"echo $$ > {tmp_path}/pid; exec sleep 1000")
    controller.build("gone")
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    assert controller.post("job/gone/doRename?newName=other").status == 400
    assert controller.post("job/gone/doDelete").status == 302
    assert controller.get("job/gone/api/json").status == 404
    wait_for(lambda: not alive(pid))
    wait_for(lambda: not (controller.home / "jobs/gone").exists())


def test_people_are_told_of_failures_and_of_their_end(controller: ControllerProcess) -> None:
    import email
    import email.policy

    mailer = "<hudson.tasks.Mailer><recipients>a@example.com b@example.com</recipients></hudson.tasks.Mailer>"
    controller.shell("mailed", "echo number $BUILD_NUMBER; test $BUILD_NUMBER != 2", publishers(mailer))
    for number in (1, 2, 3, 4):
        controller.run("mailed", number=number)
    found = wait_for(lambda: len(mails := sorted(controller.home.parent.glob("mail.*"))) == 2 and mails)
    told = {}
    for path in found:
        first, _, rest = wait_for(lambda path=path: path.read_bytes().partition(b"\n"))
        assert first == b"for a@example.com b@example.com"
        message = email.message_from_bytes(rest, policy=email.policy.default)
        told[str(message["Subject"])] = message.get_content()
    assert told.keys() == {"Build failed: mailed #2", "Build is back to normal: mailed #3"}
    text = told["Build failed: mailed #2"]
    assert text.startswith(f"See <{controller.url}job/mailed/2/>\n")
    assert "number 2\n" in text
    assert text.endswith("Finished: FAILURE\n")


def test_those_whose_changes_broke_a_build_are_told(controller: ControllerProcess, tmp_path: Path) -> None:
    import subprocess

    def git(*words: str) -> None:
        person = ("-c", "user.name=c", "-c", "user.email=culprit@example.com")
        subprocess.run(["git", *person, *words], cwd=tmp_path, check=True, capture_output=True)

    scm = (
        '<scm class="hudson.plugins.git.GitSCM"><userRemoteConfigs><hudson.plugins.git.UserRemoteConfig>'
        f"<url>{tmp_path}</url></hudson.plugins.git.UserRemoteConfig></userRemoteConfigs></scm>"
    )
    mailer = "<hudson.tasks.Mailer><sendToIndividuals>true</sendToIndividuals></hudson.tasks.Mailer>"
    controller.shell("individual", "test $BUILD_NUMBER = 1", scm + publishers(mailer))
    git("init", "--quiet")
    for number in (1, 2):
        git("commit", "--quiet", "--allow-empty", "--message", str(number))
        controller.run("individual", number=number)

    def told() -> list[bytes]:
        return [text for path in controller.home.parent.glob("mail.*") if b"individual" in (text := path.read_bytes())]

    (text,) = wait_for(told)
    assert text.startswith(b"for culprit@example.com\n")


@pytest.mark.parametrize("to", ["", "-oQ/tmp", "a@example.com -bs", "a b", "a@example.com&#10;Bcc: x"])
def test_an_address_that_is_none_is_refused(controller: ControllerProcess, to: str) -> None:
    mailer = f"<hudson.tasks.Mailer><recipients>{to}</recipients></hudson.tasks.Mailer>"
    reply = controller.post("createItem?name=mail", f"<project>{publishers(mailer)}</project>".encode())
    assert reply.status == 500
    assert "publishers: email" in reply.text
