"""Steps with conditions, steps that start other jobs and wait for them, and what is done after the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
from controller_process import ControllerProcess, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

RUN = "org.jenkins_ci.plugins.run_condition."
TRIGGER = "hudson.plugins.parameterizedtrigger."
STRING = "hudson.model.StringParameterDefinition"
PARAMETER = (
    "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
    f"<{STRING}><name>P</name><defaultValue>none</defaultValue></{STRING}>"
    "</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>"
)


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        yield process


def shell(script: str, tag: str = "hudson.tasks.Shell", more: str = "") -> str:
    return f"<{tag}{more}><command>{escape(script)}</command></{tag}>"


def condition(kind: str, inner: str = "", tag: str = "condition") -> str:
    return f'<{tag} class="{RUN}{kind}">{inner}</{tag}>'


def step(found: str, script: str, runner: str = "Fail") -> str:
    single = "org.jenkinsci.plugins.conditionalbuildstep.singlestep.SingleConditionalBuilder"
    inner = shell(script, "buildStep", ' class="hudson.tasks.Shell"')
    return f'<{single}>{found}<runner class="{RUN}BuildStepRunner${runner}"/>{inner}</{single}>'


def builders(*steps: str) -> str:
    return f"<builders>{''.join(steps)}</builders>"


def inject(lines: str) -> str:
    return f"<EnvInjectBuilder><info><propertiesContent>{lines}</propertiesContent></info></EnvInjectBuilder>"


def comparator(kind: str) -> str:
    return f'<comparator class="{RUN}core.NumericalComparisonCondition${kind}"/>'


MIDNIGHT = "<earliestHours>0</earliestHours><earliestMinutes>0</earliestMinutes>"
CASES = [
    ("core.AlwaysRun", "", True),
    ("core.NeverRun", "", False),
    ("core.BooleanCondition", '<token>${ENV,var="YES"}</token>', True),
    ("core.BooleanCondition", "<token>$NO</token>", False),
    ("core.StringsMatchCondition", "<arg1>$JOB_NAME</arg1><arg2>CONDITIONS</arg2><ignoreCase>true</ignoreCase>", True),
    ("core.StringsMatchCondition", "<arg1>$JOB_NAME</arg1><arg2>CONDITIONS</arg2>", False),
    ("core.CauseCondition", "<buildCause>USER_CAUSE</buildCause>", True),
    ("core.CauseCondition", "<buildCause>TIMER_CAUSE</buildCause>", False),
    ("core.NodeCondition", "<allowedNodes><string>master</string></allowedNodes>", True),
    ("core.NodeCondition", "<allowedNodes><string>moon</string></allowedNodes>", False),
    ("contributed.ShellCondition", "<command>test -e there</command>", True),
    ("contributed.ShellCondition", "<command>test -e nowhere</command>", False),
    ("core.FileExistsCondition", "<file>there</file>", True),
    ("core.FileExistsCondition", "<file>nowhere</file>", False),
    ("core.FilesMatchCondition", "<includes>*.c, th*</includes>", True),
    ("core.FilesMatchCondition", "<includes>th*</includes><excludes>*e</excludes>", False),
    ("core.ExpressionCondition", "<expression>v[0-9]+</expression><label>$TAG</label>", True),
    ("core.ExpressionCondition", "<expression>v</expression><label>$TAG</label>", False),
    ("core.StatusCondition", "<worstResult><name>UNSTABLE</name></worstResult>", True),
    ("core.StatusCondition", "<worstResult><name>FAILURE</name></worstResult>", True),
    ("core.StatusCondition", "<bestResult><name>UNSTABLE</name></bestResult>", False),
    ("core.TimeCondition", f"{MIDNIGHT}<latestHours>23</latestHours><latestMinutes>59</latestMinutes>", True),
    ("core.TimeCondition", "<earliestHours>23</earliestHours><earliestMinutes>60</earliestMinutes>", False),
    ("core.DayCondition", f'<daySelector class="{RUN}core.DayCondition$SelectDays"/>', False),
    ("core.NumericalComparisonCondition", f"<lhs>2</lhs><rhs>$TEN</rhs>{comparator('LessThan')}", True),
    ("core.NumericalComparisonCondition", f"<lhs>2</lhs><rhs>$TEN</rhs>{comparator('EqualTo')}", False),
    ("logic.Not", condition("core.NeverRun"), True),
]


def test_conditions(controller: ControllerProcess) -> None:
    steps = [step(condition(kind, inner), f"echo did-{number}.") for number, (kind, inner, _) in enumerate(CASES)]
    controller.create("conditions", builders(shell("touch there"), inject("YES=Yes\nNO=no\nTAG=v12\nTEN=10"), *steps))
    facts, log = controller.run("conditions")
    assert facts["result"] == "SUCCESS", log
    lines = log.splitlines()
    assert [f"did-{number}." in lines for number in range(len(CASES))] == [expected for *_, expected in CASES]


@pytest.mark.parametrize(
    ("runner", "result", "runs"),
    [
        ("Fail", "FAILURE", False),
        ("Unstable", "UNSTABLE", False),
        ("RunUnstable", "UNSTABLE", True),
        ("Run", "SUCCESS", True),
        ("DontRun", "SUCCESS", False),
    ],
)
def test_a_condition_that_cannot_be_told(controller: ControllerProcess, runner: str, result: str, runs: bool) -> None:
    numbers = condition("core.NumericalComparisonCondition", f"<lhs>one</lhs><rhs>2</rhs>{comparator('LessThan')}")
    controller.create(f"unclear-{runner}", builders(step(numbers, "echo did", runner)))
    facts, log = controller.run(f"unclear-{runner}")
    assert facts["result"] == result
    assert ("did" in log.splitlines()) == runs
    assert "“one” and “2” are not both numbers" in log


def trigger(jobs: str, thresholds: str | None = None, parameters: str = "") -> str:
    block = "" if thresholds is None else f"<block>{thresholds}</block>"
    config = f"{TRIGGER}BlockableBuildTriggerConfig"
    inner = f"<configs>{parameters}</configs><projects>{jobs}</projects><condition>ALWAYS</condition>{block}"
    return f"<{TRIGGER}TriggerBuilder><configs><{config}>{inner}</{config}></configs></{TRIGGER}TriggerBuilder>"


def given(text: str) -> str:
    return f"<{TRIGGER}PredefinedBuildParameters><properties>{text}</properties></{TRIGGER}PredefinedBuildParameters>"


def limit(name: str, result: str) -> str:
    return f"<{name}><name>{result}</name></{name}>"


def test_a_step_waits_for_the_builds_that_it_starts(controller: ControllerProcess) -> None:
    controller.shell("sub-a", "sleep 0.3; echo got $P", PARAMETER)
    controller.shell("sub-b", "true")
    then = shell('echo "then $TRIGGERED_BUILD_NUMBER_sub_a $TRIGGERED_BUILD_RESULT_sub_b"')
    controller.create("waiting", builders(inject("X=here"), trigger("sub-a, sub-b", "", given("P=is $X")), then))
    facts, log = controller.run("waiting")
    assert facts["result"] == "SUCCESS", log
    assert "sub-a #1 completed. Result was SUCCESS\n" in log
    assert "then 1 SUCCESS\n" in log
    told = controller.get("job/sub-a/1/consoleText").text
    assert told.startswith("Started by upstream project “waiting” build number 1\n")
    assert "got is here\n" in told


@pytest.mark.parametrize(
    ("thresholds", "result", "goes_on"),
    [
        ("", "SUCCESS", True),
        (limit("unstableThreshold", "UNSTABLE"), "UNSTABLE", True),
        (limit("failureThreshold", "FAILURE"), "FAILURE", True),
        (limit("buildStepFailureThreshold", "FAILURE"), "FAILURE", False),
    ],
)
def test_how_bad_awaited_builds_may_be(
    controller: ControllerProcess, thresholds: str, result: str, goes_on: bool
) -> None:
    name = f"threshold-{result}-{goes_on}"
    controller.shell(f"{name}-sub", "exit 1")
    controller.create(name, builders(trigger(f"{name}-sub", thresholds), shell("echo went on")))
    facts, log = controller.run(name)
    assert (facts["result"], "went on\n" in log) == (result, goes_on)


def test_a_step_starts_a_job_and_goes_on(controller: ControllerProcess) -> None:
    controller.shell("later", "true")
    controller.create("starting", builders(trigger("later"), shell("true")))
    assert controller.run("starting")[0]["result"] == "SUCCESS"
    assert controller.finished("later")["result"] == "SUCCESS"
    controller.create("starting-none", builders(trigger("no-such-job"), shell("echo went on")))
    facts, log = controller.run("starting-none")
    assert facts["result"] == "FAILURE"
    assert "there is no job 'no-such-job'" in log


def test_a_build_that_waits_survives_the_controller(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("held", f"touch {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
    controller.create("holding", builders(trigger("held", limit("buildStepFailureThreshold", "FAILURE"))))
    controller.build("holding")
    wait_for((tmp_path / "began").exists)
    for _ in range(3):
        controller.kill()
        controller.start()
    (tmp_path / "go").touch()
    assert controller.finished("holding")["result"] == "SUCCESS"
    assert controller.get("job/held/api/json").json["nextBuildNumber"] == 2


def test_a_build_that_waits_can_be_stopped(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("endless", f"touch {tmp_path}/began; sleep 1000")
    controller.create("stopped", builders(trigger("endless", "")))
    controller.build("stopped")
    wait_for((tmp_path / "began").exists)
    controller.post("job/stopped/1/stop")
    assert controller.finished("stopped")["result"] == "ABORTED"
    controller.post("job/endless/1/stop")
    controller.finished("endless")


def flexible(found: str, publisher: str) -> str:
    start = "org.jenkins__ci.plugins.flexible__publish."
    inner = f"{found}<publisherList>{publisher}</publisherList>"
    inner = f"<publishers><{start}ConditionalPublisher>{inner}</{start}ConditionalPublisher></publishers>"
    return f"<publishers><{start}FlexiblePublisher>{inner}</{start}FlexiblePublisher></publishers>"


@pytest.mark.parametrize(("script", "started"), [("exit 1", True), ("true", False)])
def test_jobs_downstream_on_a_condition(controller: ControllerProcess, script: str, started: bool) -> None:
    name = f"conditional-{started}"
    status = condition(
        "core.StatusCondition",
        "<worstResult><name>FAILURE</name></worstResult><bestResult><name>FAILURE</name></bestResult>",
    )
    there = condition("contributed.ShellCondition", "<command>test -e there</command>")
    container = "org.jenkins__ci.plugins.run__condition.logic.ConditionContainer"
    containers = "".join(f"<{container}>{one}</{container}>" for one in (status, there))
    both = condition("logic.And", f"<conditions>{containers}</conditions>")
    to = f"<hudson.tasks.BuildTrigger><childProjects>{name}-down</childProjects>{limit('threshold', 'FAILURE')}"
    controller.shell(f"{name}-down", "true")
    controller.shell(name, f"touch there; {script}", flexible(both, f"{to}</hudson.tasks.BuildTrigger>"))
    controller.run(name)
    if started:
        assert controller.finished(f"{name}-down")["result"] == "SUCCESS"
    else:
        wait_for(lambda: controller.get("queue/api/json").json["items"] == [])
        assert controller.get(f"job/{name}-down/1/api/json").status == 404


@pytest.mark.parametrize(("script", "wanted"), [("exit 1", True), ("true", False)])
def test_what_is_kept_on_a_condition(controller: ControllerProcess, script: str, wanted: bool) -> None:
    name = f"keeps-{wanted}"
    bad = condition(
        "core.StatusCondition",
        "<worstResult><name>FAILURE</name></worstResult><bestResult><name>FAILURE</name></bestResult>",
    )
    kept = "<hudson.tasks.ArtifactArchiver><artifacts>*.log</artifacts></hudson.tasks.ArtifactArchiver>"
    junit = "hudson.tasks.junit.JUnitResultArchiver"
    kept += f"<{junit}><testResults>r.xml</testResults></{junit}>"
    report = "<testsuite><testcase classname='a' name='b'/></testsuite>"
    own = "<hudson.tasks.ArtifactArchiver><artifacts>own</artifacts></hudson.tasks.ArtifactArchiver>"
    publishers = flexible(bad, kept).replace("<publishers>", f"<publishers>{own}", 1)
    controller.shell(name, f'touch own a.log; echo "{report}" > r.xml; {script}', publishers)
    facts, _ = controller.run(name)
    assert facts["result"] == ("FAILURE" if wanted else "SUCCESS")
    assert {one["relativePath"] for one in facts["artifacts"]} == ({"own", "a.log"} if wanted else {"own"})
    assert controller.get(f"job/{name}/1/artifact/a.log").status == (200 if wanted else 404)
    assert controller.get(f"job/{name}/1/testReport/api/json").status == (200 if wanted else 404)
    files = controller.home / f"jobs/{name}/builds/1/files"
    assert sorted(path.name for path in files.rglob("*") if path.is_file()) == (
        ["a.log", "own", "r.xml", "tests-2.json"] if wanted else ["own"]
    )


def test_a_build_that_failed_is_done_again(controller: ControllerProcess) -> None:
    start = "com.chikli.hudson.plugin.naginator."
    inner = "<rerunIfUnstable>false</rerunIfUnstable><maxSchedule>2</maxSchedule>"
    delay = f'<delay class="{start}FixedDelay"><delay>0</delay></delay>'
    publisher = f"<publishers><{start}NaginatorPublisher>{inner}{delay}</{start}NaginatorPublisher></publishers>"
    controller.shell("again", 'test "$BUILD_NUMBER" = 5', publisher)
    controller.run("again")
    assert [controller.finished("again", number)["result"] for number in (2, 3)] == ["FAILURE"] * 2
    cause = controller.get("job/again/3/api/json?tree=actions[causes[*]]").text
    assert "Started again after build number 2 failed" in cause
    assert "NaginatorCause" in cause
    assert (
        controller.run("again", number=4)[0]["result"] == "FAILURE"
    )  # three times are enough; it begins anew with the next wish
    assert controller.finished("again", 5)["result"] == "SUCCESS"
    assert controller.get("queue/api/json").json["items"] == []
    assert controller.get("job/again/6/api/json").status == 404


def after(results: str, script: str) -> str:
    start = "org.jenkinsci.plugins.postbuildscript."
    words = "".join(f"<string>{word}</string>" for word in results.split())
    inner = f"<results>{words}</results><role>BOTH</role><buildSteps>{shell(script)}</buildSteps>"
    steps = f"<buildSteps><{start}model.PostBuildStep>{inner}</{start}model.PostBuildStep></buildSteps>"
    config = f"<config><scriptFiles/><groovyScripts/>{steps}<markBuildUnstable>false</markBuildUnstable></config>"
    return f"<publishers><{start}PostBuildScript>{config}</{start}PostBuildScript></publishers>"


@pytest.mark.parametrize(
    ("script", "results", "then", "result", "done"),
    [
        ("true", "SUCCESS", "true", "SUCCESS", True),
        ("exit 1", "SUCCESS UNSTABLE", "true", "FAILURE", False),
        ("exit 1", "FAILURE ABORTED", "true", "FAILURE", True),
        ("true", "SUCCESS", "exit 1", "FAILURE", True),
    ],
)
def test_steps_after_the_others(
    controller: ControllerProcess, script: str, results: str, then: str, result: str, done: bool
) -> None:
    name = f"after {script} {results} {then}".replace(" ", "-")
    controller.shell(name, script, after(results, f"echo after; {then}"))
    facts, log = controller.run(name)
    assert (facts["result"], "after" in log.splitlines()) == (result, done)


def test_steps_after_a_stopped_build_are_done(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("swept", f"touch {tmp_path}/began; sleep 1000", after("ABORTED", "echo swept up"))
    controller.build("swept")
    wait_for((tmp_path / "began").exists)
    controller.post("job/swept/1/stop")
    facts: Any = controller.finished("swept")
    assert facts["result"] == "ABORTED"
    assert "swept up\n" in controller.get("job/swept/1/consoleText").text
