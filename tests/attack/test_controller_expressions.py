"""Regular expressions and patterns of others hold up neither the controller nor an agent.

Nothing here looks at a clock: what is not bounded takes longer than any test may.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from controller_process import ControllerProcess, running, wait_for

from byoci.controller import expressions
from byoci.controller.agentside.files import matching, sweep
from byoci.controller.api.xpath import pick
from byoci.controller.changes import read_changes
from byoci.controller.checkout import tips
from byoci.controller.jobxml_steps import job_names
from byoci.controller.repository import Git, Remote
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.controller
LONG = "a" * 60


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        yield process


def view(pattern: str) -> bytes:
    return f"<hudson.model.ListView><includeRegex>{pattern}</includeRegex></hudson.model.ListView>".encode()


def shown(controller: ControllerProcess, name: str) -> set[str]:
    reply = controller.get(f"view/{name}/api/json?tree=jobs[name]")
    assert reply.status == 200, reply.text
    return {job["name"] for job in reply.json["jobs"]}


@pytest.mark.slow
def test_a_views_expression(controller: ControllerProcess) -> None:
    controller.create("land-hello", "")
    controller.create(LONG, "")
    for number, hostile in enumerate(("(a+)+b", "(a|aa)*c", "(?i)" + "[\x80-\U0010ffff]" * 390, "(", "a" * 3000)):
        reply = controller.post(f"createView?name=hostile{number}", view(hostile))
        assert reply.status == 400, reply.text
        assert "expression" in reply.text
    for number, (pattern, names) in enumerate(
        {"land-.*": {"land-hello"}, "(?!land-).*": {LONG}, "(land|a)[a-z-]+": {"land-hello", LONG}}.items()
    ):
        assert controller.post(f"createView?name=good{number}", view(pattern)).status == 200
        assert shown(controller, f"good{number}") == names
    assert controller.post("view/good0/config.xml", view("(a+)+b")).status == 400
    assert shown(controller, "good0") == {"land-hello"}
    # One that is bad only for a job that is made later
    assert controller.post("createView?name=later", view("(z+)+b|land-hello")).status == 200
    controller.create("z" * 60, "")
    assert shown(controller, "later") <= {"land-hello"}
    assert controller.get("api/json?depth=2").status == 200


def test_a_conditions_expression(controller: ControllerProcess) -> None:
    run = "org.jenkins_ci.plugins.run_condition."
    single = "org.jenkinsci.plugins.conditionalbuildstep.singlestep.SingleConditionalBuilder"
    condition = f'<condition class="{run}core.ExpressionCondition"><expression>(a+)+b</expression><label>{LONG}</label>'
    runner = f'<runner class="{run}BuildStepRunner$Fail"/>'
    inner = '<buildStep class="hudson.tasks.Shell"><command>echo did</command></buildStep>'
    controller.create("condition", f"<builders><{single}>{condition}</condition>{runner}{inner}</{single}></builders>")
    controller.build("condition")
    wait_for(lambda: controller.get("job/condition/1/consoleText").text.startswith("Started"))
    assert controller.post("job/condition/1/stop").status == 302
    assert controller.finished("condition")["result"] in ("ABORTED", "FAILURE")  # it may have given up by itself


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("byoci-.*", "byoci-x", True),
        ("^byoci-.*$", "byoci-x", True),
        (r"refs/heads/a\.b|refs/a\.b", "refs/heads/a.b", True),
        ("refs/heads/[^/]*", "refs/heads/a/b", False),
        ("a++", "aa", True),
        ("a{2}", "aa", True),
        ("[ab]+", "ab", True),
    ],
)
def test_what_most_people_write(pattern: str, text: str, matches: bool) -> None:
    if not (pattern == "a++" and not expressions.is_harmless(pattern)):
        assert expressions.matching(pattern, [text]) == frozenset({text} if matches else ())


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "a*a*b", ".*.*.*.*x", "a?" * 30 + "b", "(?:.*)*", ".**", "\\d+\\d+", "a++"]
)
def test_what_may_take_long_is_not_done_here(pattern: str) -> None:
    assert not expressions.is_harmless(pattern)


@pytest.mark.slow
def test_a_branchs_pattern(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    subprocess.run(["git", "init", "-q", "-b", "main", origin], check=True)
    commit = [
        "git",
        "-C",
        origin,
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    ]
    subprocess.run(commit, check=True)
    subprocess.run(["git", "-C", origin, "branch", "a" * 200], check=True)
    remotes = (Remote("origin", str(origin), ()),)
    assert len(tips(Git(remotes=remotes, branches=("*a*a*",)), {})) == 1
    tips_of_hostile = Git(remotes=remotes, branches=("**a" * 30 + "**b", "main"))
    with pytest.raises(Exception, match="cannot be told") as caught:
        tips(tips_of_hostile, {})
    assert not isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("pattern", ["*a" * 40 + "*b", "**/" * 40 + "x", "**/a*/" * 30 + "y", "**a" * 30 + "b"])
def test_ants_patterns(tmp_path: Path, pattern: str) -> None:
    folder = tmp_path
    for _ in range(30):
        folder = folder / ("a" * 100)
        if len(str(folder)) > 3500:
            break
        folder.mkdir()
    (tmp_path / ("a" * 200)).touch()
    (folder.parent / ("a" * 20)).touch()
    assert matching(str(tmp_path), [pattern], []) == []
    assert len(matching(str(tmp_path), ["**"], [pattern])) == 2
    assert sweep(str(tmp_path), [pattern], [], folders=True, whole=False) == []


def test_texts_between_commas() -> None:
    assert job_names(" a ,b,, c" + " " * 300_000 + "d") == ("a", "b", "c" + " " * 300_000 + "d")


@pytest.mark.slow
def test_what_a_checkout_tells() -> None:
    entry = f"{'-' * 60}\nrevision-id: x\ncommitter: {' ' * 900}x{' ' * 900}\nmessage:\n  m\n"
    assert [change.id for change in read_changes(entry * 20, "")] == ["x"] * 20


@pytest.mark.slow
def test_xpath_in_words_without_end() -> None:
    document = ("<a>" + "<b><c>x</c></b>" * 500 + "</a>").encode()
    with pytest.raises(UsageError, match="concat"):
        pick(document, "concat(" + ",".join(["//*//*//c"] * 5000) + ")", "", [])
    assert pick(document, "concat(//b/c,'y')", "", []) == (b"xy", True)
