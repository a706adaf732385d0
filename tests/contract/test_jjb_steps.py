"""Steps with conditions, steps that start jobs, and what comes after the steps, as jenkins-job-builder writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jjb_jobs import written

from byoci.controller.job import (
    AfterSteps,
    Artifacts,
    Condition,
    Conditional,
    Downstream,
    Inject,
    Mailing,
    OnUnclear,
    Patterns,
    PropertyFile,
    Publishing,
    Result,
    Retry,
    Shell,
    TestReports,
    Trigger,
    Wait,
)
from byoci.controller.jobxml import JobRefusedError
from byoci.controller.jobxml_freestyle import read_job

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

CONDITIONS = """
- job:
    name: conditions
    builders:
      - conditional-step:
          condition-kind: and
          on-evaluation-failure: run-and-mark-unstable
          condition-operands:
            - {condition-kind: boolean-expression, condition-expression: "${{DO}}"}
            - {condition-kind: not, condition-operand: {condition-kind: never}}
            - condition-kind: or
              condition-operands:
                - {condition-kind: build-cause, cause: TIMER_CAUSE}
                - {condition-kind: day-of-week, day-selector: select-days, days: {SUN: true, TUES: true}}
                - {condition-kind: day-of-week, day-selector: weekday, use-build-time: true}
                - {condition-kind: execution-node, nodes: [one, master]}
                - {condition-kind: strings-match, condition-string1: a, condition-string2: $B}
                - {condition-kind: current-status, condition-worst: NOT_BUILD, condition-best: UNSTABLE}
                - {condition-kind: shell, condition-command: "exit 1"}
                - {condition-kind: file-exists, condition-filename: x}
                - {condition-kind: files-match, include-pattern: ["*.c", "*.h"], exclude-pattern: ["no"]}
                - {condition-kind: num-comp, lhs: "1", rhs: $N, comparator: greater-than-equal}
                - {condition-kind: regex-match, regex: "v.*", label: $TAG}
                - {condition-kind: time, earliest-hour: "08", latest-min: "15"}
          steps:
            - shell: one
            - inject: {properties-content: A=1}
      - conditional-step:
          {condition-kind: always, steps: [{conditional-step: {condition-kind: never, steps: [{shell: two}]}}]}
"""


def test_conditions(tmp_path: Path) -> None:
    first, second = read_job(written(CONDITIONS, tmp_path)).steps
    assert isinstance(first, Conditional)
    assert first.on_unclear is OnUnclear.RUN_UNSTABLE
    assert first.steps == (Shell("one"), Inject("A=1"))
    boolean, negated, either = first.condition.operands
    assert (first.condition.kind, either.kind) == ("and", "or")
    assert boolean == Condition("boolean", {"words": ["${DO}"]})
    assert negated == Condition("not", operands=(Condition("never"),))
    assert either.operands == (
        Condition("cause", {"cause": "TIMER_CAUSE"}),
        Condition("day", {"days": [1, 3], "from_start": False}),
        Condition("day", {"days": [2, 3, 4, 5, 6], "from_start": True}),
        Condition("node", {"nodes": ["one", "master"]}),
        Condition("strings", {"words": ["a", "$B"], "ignore_case": False}),
        Condition("status", {"worst": "NOT_BUILT", "best": "UNSTABLE"}),
        Condition("shell", {"script": "exit 1"}),
        Condition("file", {"words": ["x"]}),
        Condition("files", {"includes": ["*.c", "*.h"], "excludes": ["no"]}),
        Condition("compare", {"words": ["1", "$N"], "comparator": "GreaterThanOrEqualTo"}),
        Condition("regex", {"words": ["v.*", "$TAG"]}),
        Condition("time", {"earliest": [8, 0], "latest": [17, 15], "from_start": False}),
    )
    assert second == Conditional(Condition("always"), (Conditional(Condition("never"), (Shell("two"),)),))


TRIGGERS = """
- job:
    name: triggers
    builders:
      - trigger-builds:
          - {project: [a, b], current-parameters: true, predefined-parameters: X=1, property-file: f.props}
          - project: c
            block: true
            block-thresholds:
              {build-step-failure-threshold: never, unstable-threshold: UNSTABLE, failure-threshold: FAILURE}
"""


def test_steps_that_start_jobs(tmp_path: Path) -> None:
    always = frozenset(Result)
    files = (PropertyFile("f.props", needed=True),)
    assert read_job(written(TRIGGERS, tmp_path)).steps == (
        Trigger(Downstream(("a", "b"), always, "X=1", inherit=True, bare=False, files=files)),
        Trigger(Downstream(("c",), always), Wait(None, Result.UNSTABLE, Result.FAILURE)),
    )


AFTER = """
- job:
    name: after
    publishers:
      - conditional-publisher:
          - condition-kind: current-status
            condition-worst: FAILURE
            condition-best: UNSTABLE
            on-evaluation-failure: dont-run
            action:
              - trigger-parameterized-builds: [{project: a, predefined-parameters: X=1}]
              - email: {recipients: a@example.com}
              - archive: {artifacts: "*.log", allow-empty: true}
              - junit: {results: "*.xml"}
      - naginator: {rerun-unstable-builds: true, fixed-delay: 5, max-failed-builds: 3}
      - postbuildscript:
          mark-unstable-if-failed: true
          builders:
            - {build-on: [SUCCESS, UNSTABLE], build-steps: [{shell: one}]}
            - {build-on: [FAILURE, ABORTED], build-steps: [{shell: two}, {shell: three}]}
"""


def test_what_comes_after_the_steps(tmp_path: Path) -> None:
    job = read_job(written(AFTER, tmp_path))
    condition = Condition("status", {"worst": "FAILURE", "best": "UNSTABLE"})
    downstream = (Downstream(("a",), frozenset(Result), "X=1", bare=False),)
    mailings = (Mailing(("a@example.com",)),)
    artifacts, tests = Artifacts(Patterns(("*.log",)), may_be_missing=True), TestReports(Patterns(("*.xml",)))
    wanted = Publishing(condition, downstream, (), mailings, OnUnclear.DONT_RUN, (artifacts,), (tests,))
    assert job.publishing == (wanted,)
    assert job.retry == Retry(unstable=True, most=3, seconds=5)
    progressive = AFTER.replace("fixed-delay: 5", "progressive-delay-increment: 5, progressive-delay-maximum: 30")
    (tmp_path / "more").mkdir()
    retry = read_job(written(progressive, tmp_path / "more")).retry
    assert retry is not None
    assert [retry.delay(times) for times in range(5)] == [5, 10, 20, 30, 30]
    assert job.after == (
        AfterSteps((Shell("one"),), frozenset({Result.SUCCESS, Result.UNSTABLE}), unstable=True),
        AfterSteps((Shell("two"), Shell("three")), frozenset({Result.FAILURE, Result.ABORTED}), unstable=True),
    )


REFUSED = """
- job:
    name: refused
    builders:
      - trigger-builds: [{project: a, parameter-factories: [{factory: filebuild, file-pattern: "*"}]}]
      - conditional-step: {condition-kind: strings-match, condition-string1: "${{FILE,path=x}}", steps: [{shell: a}]}
    publishers:
      - junit: {results: "*.xml"}
      - postbuildscript: {builders: [{build-on: [UNSTABLE], build-steps: [{shell: one}]}], groovy: [{content: x}]}
      - conditional-publisher: [{condition-kind: always, action: [{fingerprint: {files: "*"}}]}]
      - naginator: {regular-expression: x}
"""


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobRefusedError) as caught:
        read_job(written(REFUSED, tmp_path))
    told = [(refusal.path.rpartition("/")[2], refusal.key) for refusal in caught.value.refusals]
    assert told == [
        ("configFactories", "builders: trigger-builds"),
        ("arg1", "builders: conditional-step"),
        ("org.jenkinsci.plugins.postbuildscript.model.Script", "publishers: postbuildscript"),
        ("hudson.tasks.Fingerprinter", "publishers: fingerprint"),
        ("checkRegexp", "publishers: naginator"),
        ("publishers", ""),
    ]
