"""Jobs that the real jenkins-job-builder writes: read whole, or refused with the key that made what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from jenkins_clients import ROOT, run_client
from jjb_jobs import written

from byoci.controller.job import (
    Artifacts,
    Cleanup,
    Discarder,
    Downstream,
    Fingerprints,
    Inject,
    Limit,
    Mailing,
    Parameter,
    ParameterKind,
    Patterns,
    PropertyFile,
    Result,
    Shell,
    Sweep,
    TestReports,
    Upstream,
)
from byoci.controller.jobxml import JobRefusedError
from byoci.controller.jobxml_freestyle import read_job
from byoci.controller.repository import Bzr, Git, Remote

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.controller.job import Job

pytestmark = [pytest.mark.controller, pytest.mark.slow]

KNOWN = """
- job:
    name: known
    description: "with <b>markup</b> & more"
    display-name: Known
    node: 'linux && (big || !slow) && "odd name"'
    concurrent: true
    workspace: /tmp/ws/$JOB_NAME
    quiet-period: 3
    retry-count: 4
    auth-token: sesame
    block-upstream: true
    properties:
      - build-discarder: {days-to-keep: 7, num-to-keep: 20, artifact-days-to-keep: 3, artifact-num-to-keep: -1}
      - priority-sorter: {priority: 5}
      - inject: {properties-content: "FOO=bar", keep-system-variables: true, keep-build-variables: true}
    parameters:
      - string: {name: S, default: "a b", description: words, trim: true}
      - bool: {name: B, default: true}
      - choice: {name: C, choices: [one, two]}
      - text: {name: T, default: "l1\\nl2"}
      - password: {name: P, default: hidden}
    triggers:
      - timed: "H/15 * * * *\\n@daily"
      - reverse: {jobs: "up1, up2", result: unstable}
    builders:
      - inject: {properties-file: env.props, properties-content: "X=1"}
      - shell: "echo hi\\n"
      - shell: {command: "exit 3", unstable-return: 3}
    publishers:
      - archive: {artifacts: "out/*.txt, b/**", excludes: "x*", allow-empty: true, fingerprint: true}
      - junit: {results: "r/*.xml", allow-empty-results: true}
      - trigger: {project: "down1,down2", threshold: UNSTABLE}
      - trigger-parameterized-builds:
          - {project: [p1, p2], condition: UNSTABLE_OR_WORSE, predefined-parameters: A=$B, current-parameters: true,
             property-file: "a.props, b.props", fail-on-missing: true, boolean-parameters: {Y: true, N: false}}
      - fingerprint: {files: "*.bin, lib/**", record-artifacts: true}
      - email: {recipients: "a@example.com, b@example.com", notify-every-unstable-build: false,
               send-to-individuals: true}
      - workspace-cleanup:
          {clean-if: [{success: true}, {failure: false}], include: ["*.o"], exclude: ["k.o"], dirmatch: true}
    wrappers:
      - timeout: {timeout: 30, fail: true, type: absolute}
      - timeout: {timeout: 5, abort: true, type: no-activity}
      - timestamps
      - workspace-cleanup: {include: ["tmp*"]}
      - inject: {properties-content: "W=1"}
      - mask-passwords
      - inject-passwords: {global: false, mask-password-params: true, job-passwords: [{name: AB, password: cd}]}
"""
UNKNOWN = """
- job:
    name: unknown
    jdk: "17"
    scm: [{git: {url: "https://example.com/x.git", branches: [main], merge: {branch: main}}}]
    triggers: [{github: {}}]
    builders:
      - shell: "true"
      - conditional-step: {condition-kind: windows-shell, condition-command: dir, steps: [{shell: "true"}]}
      - conditional-step:
          {condition-kind: file-exists, condition-filename: x, condition-basedir: jenkins-home,
           steps: [{gradle: {tasks: all}}]}
    publishers:
      - email-ext: {recipients: a@example.com}
      - trigger-parameterized-builds: [{project: p, svn-revision: true}]
"""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return read_job(written(KNOWN, tmp_path_factory.mktemp("known")))


def test_what_a_job_is(known: Job) -> None:
    assert known.description.startswith("with <b>markup</b> & more")
    assert (known.display_name, known.concurrent, known.disabled) == ("Known", True, False)
    assert (known.wait_for_upstream, known.wait_for_downstream) == (True, False)
    assert known.labels == 'linux && (big || !slow) && "odd name"'
    assert (known.workspace, known.quiet, known.token) == ("/tmp/ws/$JOB_NAME", 3, "sesame")
    assert known.discarder == Discarder(days=7, builds=20, artifact_days=3, artifact_builds=None)
    assert known.parameters == (
        Parameter("S", ParameterKind.STRING, "a b", "words", trim=True),
        Parameter("B", ParameterKind.BOOLEAN, "true"),
        Parameter("C", ParameterKind.CHOICE, "one", choices=("one", "two")),
        Parameter("T", ParameterKind.TEXT, "l1\nl2"),
        Parameter("P", ParameterKind.PASSWORD, "hidden"),
    )


def test_what_starts_a_job_and_what_it_starts(known: Job) -> None:
    assert known.cron == "H/15 * * * *\n@daily"
    assert known.upstream == (Upstream(("up1", "up2"), Result.UNSTABLE),)
    fair = frozenset({Result.SUCCESS, Result.UNSTABLE})
    assert known.downstream == (
        Downstream(("down1", "down2"), fair),
        Downstream(
            ("p1", "p2"),
            frozenset(Result) - {Result.SUCCESS},
            "A=$B\nY=true\nN=false",
            inherit=True,
            bare=False,
            files=(PropertyFile("a.props", needed=True), PropertyFile("b.props", needed=True)),
        ),
    )
    assert known.priority == 5


def test_what_a_build_does(known: Job) -> None:
    assert known.steps == (Inject("X=1", "env.props"), Shell("echo hi\n"), Shell("exit 3", 3))
    assert known.environment == (Inject("FOO=bar"), Inject("W=1"))
    assert known.secrets == (("AB", "cd"),)
    assert known.limits == (Limit(1800, fails=True), Limit(300, idle=True))
    assert (known.timestamps, known.clean_before) == (True, (Sweep(Patterns(("tmp*",))),))
    files = Patterns(("out/*.txt", "b/**"), ("x*",))
    assert known.artifacts == (Artifacts(files, may_be_missing=True, fingerprint=True),)
    assert known.tests == (TestReports(Patterns(("r/*.xml",)), may_be_missing=True),)
    assert known.mailings == (Mailing(("a@example.com", "b@example.com"), every_unstable=False, individuals=True),)
    sweep = Sweep(Patterns(("*.o",), ("k.o",)), folders=True)
    assert known.cleanup == (Cleanup(frozenset(Result) - {Result.FAILURE}, sweep),)
    assert known.fingerprints == (Fingerprints(Patterns(("*.bin", "lib/**")), artifacts=True),)


GIT = """
- job:
    name: git
    retry-count: 2
    triggers: [{pollscm: {cron: "H/5 * * * *"}}]
    scm:
      - git:
          {url: "https://example.com/x.git", branches: ["origin/main"], basedir: src, wipe-workspace: false,
           clean: true, submodule: {recursive: true}, prune: true}
"""
GIT_MORE = """
- job:
    name: git-more
    scm:
      - git:
          remotes:
            - up: {url: "https://example.com/x.git", refspec: $REFSPEC}
            - own: {url: "https://example.com/x.git"}
          branches: ["feature/*", $BRANCH, "**"]
          clean: {before: {remove-stale-nested-repos: true}}
          submodule: {tracking: true, threads: 3}
          shallow-clone: true
          depth: 5
          do-not-fetch-tags: true
          honor-refspec: true
          prune-tags: true
          local-branch: "**"
          timeout: 7
          reference-repo: /srv/x
          git-config-name: n
          git-config-email: e@example.com
          committer: {name: c}
          sparse-checkout: {paths: [docs, src]}
          per-build-tag: true
          lfs-pull: true
          use-author: true
          ignore-notify: true
          force-polling-using-workspace: true
          scm-name: x
          choosing-strategy: default
          browser: gitlab
          browser-url: https://example.com
"""
GIT_BARE = """
- job: {name: git-bare, scm: [{git: {url: "https://example.com/x.git"}}]}
"""
GIT_REFUSED = """
- job:
    name: git-refused
    scm:
      - git:
          url: "https://example.com/x.git"
          credentials-id: secret
          branches: [":origin/(a|b)"]
          choosing-strategy: inverse
          excluded-regions: [docs]
          merge: {branch: main}
"""
BZR = """
- job:
    name: bzr
    scm: [{bzr: {url: "lp:x", clean-tree: true, lightweight-checkout: true}}]
"""


def test_repositories_and_their_polling(tmp_path: Path) -> None:
    for name in ("git", "bzr"):
        (tmp_path / name).mkdir()
    job = read_job(written(GIT, tmp_path / "git"))
    url = "https://example.com/x.git"
    assert job.scm == Git(
        (Remote("origin", url, ("+refs/heads/*:refs/remotes/origin/*",)),),
        ("origin/main",),
        folder="src",
        clean=True,
        submodules=("--recursive",),
        retries=2,
        prune=("--prune",),
    )
    (tmp_path / "more").mkdir()
    assert read_job(written(GIT_MORE, tmp_path / "more")).scm == Git(
        (Remote("up", url, ("$REFSPEC",)), Remote("own", url, ("+refs/heads/*:refs/remotes/own/*",))),
        ("feature/*", "$BRANCH", "**"),
        wipe=True,
        clean=True,
        submodules=("--remote", "--jobs=3"),
        depth=5,
        tags=False,
        prune=("--prune-tags",),
        local="**",
        minutes=7,
        reference="/srv/x",
        config=(("user.name", "n"), ("user.email", "e@example.com"), ("user.name", "c")),
        sparse=("docs", "src"),
        tag=True,
        lfs=True,
        by_author=True,
    )
    (tmp_path / "bare").mkdir()
    assert read_job(written(GIT_BARE, tmp_path / "bare")).scm.branches == ("**",)  # type: ignore[union-attr]
    (tmp_path / "refused").mkdir()
    with pytest.raises(JobRefusedError) as caught:
        read_job(written(GIT_REFUSED, tmp_path / "refused"))
    told = [(refusal.path.rpartition(".")[2].rpartition("/")[2], refusal.key) for refusal in caught.value.refusals]
    names = ["credentialsId", "name", "buildChooser", "PathRestriction", "PreBuildMerge"]
    assert told == [(name, "scm: git") for name in names]
    assert job.poll == "H/5 * * * *"
    assert read_job(written(BZR, tmp_path / "bzr")).scm == Bzr("lp:x", clean=True, light=True)


def test_what_is_not_known_is_refused_with_its_path_and_key(tmp_path: Path) -> None:
    with pytest.raises(JobRefusedError) as caught:
        read_job(written(UNKNOWN, tmp_path))
    publishers = "project/publishers"
    trigger = "hudson.plugins.parameterizedtrigger"
    steps = "project/builders/org.jenkinsci.plugins.conditionalbuildstep.singlestep.SingleConditionalBuilder"
    assert [(refusal.path, refusal.key) for refusal in caught.value.refusals] == [
        ("project/scm/extensions/hudson.plugins.git.extensions.impl.PreBuildMerge", "scm: git"),
        ("project/triggers/com.cloudbees.jenkins.GitHubPushTrigger", "triggers: github"),
        (f"{steps}[1]/condition", "builders: conditional-step"),
        (f"{steps}[2]/condition/baseDir", "builders: conditional-step"),
        (f"{steps}[2]/buildStep", "builders: gradle"),
        (f"{publishers}/hudson.plugins.emailext.ExtendedEmailPublisher", "publishers: email-ext"),
        (
            f"{publishers}/{trigger}.BuildTrigger/configs/{trigger}.BuildTriggerConfig/configs/{trigger}.SubversionRevisionBuildParameters",
            "publishers: trigger-parameterized-builds",
        ),
        ("project/jdk", "jdk"),
    ]


def test_the_table_of_keys_is_jenkins_job_builders_own() -> None:
    run = run_client("python", "-W", "ignore", ROOT / "tests/contract/jjb_keys.py", folder=ROOT)
    assert run.stdout == (ROOT / "src/byoci/controller/jjb_keys.tsv").read_text()
