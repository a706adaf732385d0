"""A freestyle job as typed values: what the controller runs, read from a config.xml by `jobxml`."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.repository import Repository


class Result(enum.StrEnum):
    """How a build ended, the best first."""

    SUCCESS = "SUCCESS"
    UNSTABLE = "UNSTABLE"
    FAILURE = "FAILURE"
    NOT_BUILT = "NOT_BUILT"
    ABORTED = "ABORTED"

    @property
    def rank(self) -> int:
        """0 for the best, and more for each that is worse."""
        return list(Result).index(self)


class ParameterKind(enum.StrEnum):
    """What a parameter's value may be."""

    STRING = "String"
    TEXT = "Text"
    BOOLEAN = "Boolean"
    CHOICE = "Choice"
    PASSWORD = "Password"  # noqa: S105 - the name of a kind


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a build is asked for.

    default  of a choice: its first
    choices  of a choice only
    trim     whether white space around a value is cut off
    """

    name: str
    kind: ParameterKind
    default: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()
    trim: bool = False


@dataclass(frozen=True, slots=True)
class Discarder:
    """How long builds and their artifacts are kept: days, and how many; None is for ever and all."""

    days: int | None = None
    builds: int | None = None
    artifact_days: int | None = None
    artifact_builds: int | None = None


@dataclass(frozen=True, slots=True)
class Shell:
    """A step: a shell script, which runs with `/bin/sh -xe` where it names no interpreter.

    unstable_status  the exit status that makes the build unstable and lets it go on
    """

    script: str
    unstable_status: int | None = None


@dataclass(frozen=True, slots=True)
class Inject:
    """A step: environment variables for what follows, as lines NAME=VALUE in which `$OTHER` is filled in.

    file  path in the workspace of more such lines, which come first; "" for none
    """

    content: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a build may take.

    idle   whether the time counts from its last output, not from its start
    fails  whether the build has failed then; otherwise it was aborted
    """

    seconds: float
    idle: bool = False
    fails: bool = False


class OnUnclear(enum.StrEnum):
    """What is done where a condition cannot be told; the build fails, becomes unstable, or nothing of that."""

    FAIL = "Fail"
    UNSTABLE = "Unstable"
    RUN_UNSTABLE = "RunUnstable"
    RUN = "Run"
    DONT_RUN = "DontRun"


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether something is done: a tree. Its kinds are those of the agent's `conditions`, and `cause` and `node`."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    operands: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditional:
    """A step: others, where the condition holds."""

    condition: Condition
    steps: tuple[Step, ...]
    on_unclear: OnUnclear = OnUnclear.FAIL


@dataclass(frozen=True, slots=True)
class Wait:
    """How bad the awaited builds' results must be at least: for this build to end, to be unstable, to have failed.

    None is never.
    """

    fails: Result | None = None
    unstable: Result | None = None
    failure: Result | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A step: builds of other jobs are started, and with `wait` their ends are awaited."""

    downstream: Downstream
    wait: Wait | None = None


@dataclass(frozen=True, slots=True)
class AfterSteps:
    """Steps after all others, also where these ended early, if the result so far is one of `results`.

    unstable  whether the build is unstable where one of them fails; otherwise it has failed
    """

    steps: tuple[Step, ...]
    results: frozenset[Result]
    unstable: bool = False


@dataclass(frozen=True, slots=True)
class Patterns:
    """Files of a workspace: patterns as Ant has them (`*`, `?`, `**`), less those that `excludes` match."""

    includes: tuple[str, ...]
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Files that are kept with the build.

    may_be_missing  whether a build without any is all right; otherwise it fails
    """

    files: Patterns
    may_be_missing: bool = False
    only_of_success: bool = False
    fingerprint: bool = False


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Files whose digests are remembered with the build; with `artifacts` those of everything that is kept, too."""

    files: Patterns
    artifacts: bool = False


@dataclass(frozen=True, slots=True)
class TestReports:
    """JUnit XML files in the workspace.

    may_be_missing    whether a build without any is all right; otherwise it fails
    never_unstable    whether failed tests leave the build's result alone
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    files: Patterns
    may_be_missing: bool = False
    never_unstable: bool = False


@dataclass(frozen=True, slots=True)
class PropertyFile:
    """A file in the workspace of lines NAME=VALUE; variables in its path are filled in.

    needed  whether nothing is started where it is missing
    """

    path: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Downstream:
    """Jobs that are started after the build, if its result is one of `results`.

    parameters  lines NAME=VALUE in which `$OTHER` is filled in from the build's environment
    inherit     whether the build's own parameters are handed on
    bare        whether they are started although there is nothing to hand on; only where parameters were asked for
    files       files of more such lines, which come before `parameters`
    """

    jobs: tuple[str, ...]
    results: frozenset[Result]
    parameters: str = ""
    inherit: bool = False
    bare: bool = True
    files: tuple[PropertyFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Upstream:
    """Jobs after whose builds this one is started, if they ended at least as well as `worst`."""

    jobs: tuple[str, ...]
    worst: Result


@dataclass(frozen=True, slots=True)
class Sweep:
    """What of a workspace is removed: everything, or where there are patterns what they match.

    folders  whether folders that match are removed with all that is in them, too
    """

    files: Patterns = Patterns(())
    folders: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is everything."""
        return not (self.files.includes or self.files.excludes)


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Removing a workspace's contents after a build, where its result is one of `results`."""

    results: frozenset[Result]
    sweep: Sweep = Sweep()


@dataclass(frozen=True, slots=True)
class Mailing:
    """Who is told of failures, of builds that become unstable, and of the end of both.

    every_unstable  whether also each further unstable build is told
    individuals     whether those are told, too, whose changes are new since the last good build
    """

    to: tuple[str, ...]
    every_unstable: bool = True
    individuals: bool = False


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is done at the end of a build where a condition holds."""

    condition: Condition
    downstream: tuple[Downstream, ...] = ()
    cleanup: tuple[Cleanup, ...] = ()
    mailings: tuple[Mailing, ...] = ()
    on_unclear: OnUnclear = OnUnclear.FAIL
    artifacts: tuple[Artifacts, ...] = ()
    tests: tuple[TestReports, ...] = ()

    @property
    def kept(self) -> tuple[Artifacts | TestReports, ...]:
        """What files are kept of, in the order of their groups."""
        return (*self.artifacts, *self.tests)


@dataclass(frozen=True, slots=True)
class Retry:
    """A build that failed is done again, with the same parameters.

    unstable  whether also one that is unstable
    most      how often at most, one after the other; 0 for as often as it fails
    seconds   to wait; `progressive`: that many more each time than the time before, but never more than `longest`
    longest   0 for any
    """

    unstable: bool = False
    most: int = 0
    seconds: int = 0
    progressive: bool = False
    longest: int = 0

    def delay(self, times: int) -> int:
        """How long to wait, where it was done again so many times."""
        if not self.progressive:
            return self.seconds
        found = self.seconds * (1 + times * (times + 1) // 2)
        return min(found, self.longest) if self.longest else found


Step: TypeAlias = Shell | Inject | Conditional | Trigger


@dataclass(frozen=True, slots=True)
class Job:
    """What a freestyle project asks for.

    labels       label expression of the nodes that it may run on; "" for any
    workspace    path of its own, in which variables are filled in; "" for the agent's usual one
    quiet        seconds to wait before a build starts; None for the controller's own
    token        who knows it may start builds without signing in; "" for nobody
    cron         lines of its timer; "" for none
    scm          what its builds check out
    poll         lines of the timer by which `scm` is looked at for new revisions; "" for none
    environment  lines NAME=VALUE for all its builds
    secrets      (name, value) of variables whose values are masked in the log
    priority     in the queue: the highest first
    """

    description: str = ""
    display_name: str = ""
    disabled: bool = False
    concurrent: bool = False
    wait_for_downstream: bool = False
    wait_for_upstream: bool = False
    labels: str = ""
    workspace: str = ""
    quiet: int | None = None
    token: str = ""
    cron: str = ""
    scm: Repository | None = None
    poll: str = ""
    parameters: tuple[Parameter, ...] = ()
    discarder: Discarder = Discarder()
    environment: tuple[Inject, ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    limits: tuple[Limit, ...] = ()
    timestamps: bool = False
    clean_before: tuple[Sweep, ...] = ()
    steps: tuple[Step, ...] = ()
    after: tuple[AfterSteps, ...] = ()
    artifacts: tuple[Artifacts, ...] = ()
    tests: tuple[TestReports, ...] = ()
    fingerprints: tuple[Fingerprints, ...] = ()
    upstream: tuple[Upstream, ...] = ()
    downstream: tuple[Downstream, ...] = ()
    cleanup: tuple[Cleanup, ...] = ()
    mailings: tuple[Mailing, ...] = ()
    publishing: tuple[Publishing, ...] = ()
    retry: Retry | None = None
    priority: int = 3

    @property
    def has_tests(self) -> bool:
        """Whether any of its builds may have test reports."""
        return bool(self.tests) or any(publishing.tests for publishing in self.publishing)

    @property
    def kept(self) -> tuple[Artifacts | TestReports, ...]:
        """Everything that its builds keep files of, in the order of the groups that agents are told of."""
        own: tuple[Artifacts | TestReports, ...] = (*self.artifacts, *self.tests)
        return own + tuple(kept for publishing in self.publishing for kept in publishing.kept)
