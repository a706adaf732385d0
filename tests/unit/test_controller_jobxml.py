"""Job descriptions that nobody's jenkins-job-builder wrote: refused in words, never half read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.job import Discarder, Job, Shell
from byoci.controller.jobxml import JobRefusedError
from byoci.controller.jobxml_freestyle import read_job
from byoci.errors import UsageError

pytestmark = pytest.mark.controller

SHELL = "<builders><hudson.tasks.Shell><command>true</command></hudson.tasks.Shell></builders>"

TIMER = "<triggers><hudson.triggers.TimerTrigger><spec>61 * * * *</spec></hudson.triggers.TimerTrigger></triggers>"
PARAMETER = """<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>
<hudson.model.StringParameterDefinition><name>LD;x</name></hudson.model.StringParameterDefinition>
</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>"""


def project(inner: str, declaration: str = "") -> bytes:
    return f"{declaration}<project>{inner}</project>".encode()


def refusals(inner: str) -> list[tuple[str, str]]:
    with pytest.raises(JobRefusedError) as caught:
        read_job(project(inner))
    return [(refusal.path, refusal.why) for refusal in caught.value.refusals]


def test_an_empty_project_is_a_job() -> None:
    assert read_job(b"<project/>") == Job()


def test_what_jenkins_writes_itself() -> None:
    declaration = "<?xml version='1.1' encoding='UTF-8'?>\n"
    rotator = (
        '<logRotator class="hudson.tasks.LogRotator"><daysToKeep>-1</daysToKeep><numToKeep>9</numToKeep></logRotator>'
    )
    job = read_job(project(rotator + SHELL, declaration))
    assert job == Job(steps=(Shell("true"),), discarder=Discarder(builds=9))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert refusals("<a><b/></a><disabled>maybe</disabled><quietPeriod>soon</quietPeriod>" + SHELL + SHELL) == [
        ("project/disabled", "is “maybe”, not true or false"),
        ("project/quietPeriod", "is “soon”, not a number"),
        ("project/builders", "is there more than once"),
        ("project/a", "is not known to the controller"),
    ]


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ("<assignedNode>a &amp;&amp;</assignedNode>", "a label is missing at its end"),
        (
            "<triggers><hudson.triggers.TimerTrigger><spec>61 * * * *</spec></hudson.triggers.TimerTrigger></triggers>",
            "line 1",
        ),
        ("<description><b>x</b></description>", "has elements where text is expected"),
        ('<builders reference="../x"/>', "attribute reference"),
        ("<keepDependencies>true</keepDependencies>", "which the controller does not do"),
        (PARAMETER, "cannot be a variable's name"),
    ],
)
def test_what_cannot_be_honoured_is_refused(inner: str, why: str) -> None:
    ((_, told),) = refusals(inner)
    assert why in told


@pytest.mark.parametrize("root", ["maven2-moduleset", "matrix-project", "flow-definition"])
def test_other_kinds_of_jobs_are_refused(root: str) -> None:
    with pytest.raises(JobRefusedError, match="no freestyle project"):
        read_job(f"<{root}/>".encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<project>",
        b"\xff\xfe\x00",
        b"<?xml version='1.0' encoding='no-such'?><project/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><project>&a;</project>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><project/>',
        b"<project>" + b" " * (4 * 1024**2) + b"</project>",
    ],
)
def test_what_is_no_xml_or_more_than_that_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        read_job(data)
    assert not isinstance(caught.value, JobRefusedError)


@given(st.text(alphabet='<>/="project abc&;!?', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        job = read_job(text.encode())
    except UsageError:
        return
    assert job == Job()
