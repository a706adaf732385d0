"""What an agent is told to do for a build: a `Plan` of the agent's side, made from the job and the request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from byoci.controller.agentside.files import fill_in, read_properties
from byoci.controller.bounds import USUAL, Bounds
from byoci.controller.checkout import checkout_steps
from byoci.controller.job import ParameterKind
from byoci.controller.plansteps import StepWriter
from byoci.controller.repository import Git
from byoci.controller.rows import Request
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from byoci.controller.job import Downstream, Job, Patterns, Sweep
    from byoci.controller.nodexml import Node
    from byoci.controller.repository import Repository
    from byoci.controller.rows import BuildRow


_CAUSES: Final = {
    "hudson.model.Cause$UserIdCause": "MANUALTRIGGER",
    "hudson.model.Cause$RemoteCause": "REMOTECAUSE",
    "hudson.model.Cause$UpstreamCause": "UPSTREAMTRIGGER",
    "hudson.triggers.SCMTrigger$SCMTriggerCause": "SCMTRIGGER",
    "hudson.triggers.TimerTrigger$TimerTriggerCause": "TIMERTRIGGER",
}


def job_url(path: str) -> str:
    """A job's or folder's address, from the controller's own on: `job/FOLDER/job/NAME/`."""
    return "".join(f"job/{quote(name, safe='')}/" for name in path.split("/"))


def parameters_of(job: Job, given: Mapping[str, str], *, strict: bool = True) -> dict[str, str]:
    """The values of a job's parameters: what was given, and otherwise the defaults; nothing else is let through.

    strict  whether a value that a choice or a boolean does not have raises `UsageError`; otherwise it is as given
    """
    found = {}
    for parameter in job.parameters:
        value = given.get(parameter.name, parameter.default)
        if parameter.trim:
            value = value.strip()
        if parameter.kind is ParameterKind.BOOLEAN:
            value = "true" if value.lower() in ("true", "on") else "false"
        if strict and parameter.kind is ParameterKind.CHOICE and value not in parameter.choices:
            raise UsageError(
                f"“{value[:50]}” is no choice of the parameter {parameter.name}",
                details=f"Choices: {', '.join(parameter.choices)[:500]}",
            )
        found[parameter.name] = value
    return found


def secret_names(job: Job) -> tuple[str, ...]:
    """The parameters whose values nobody is shown."""
    return tuple(parameter.name for parameter in job.parameters if parameter.kind is ParameterKind.PASSWORD)


def environment_of(build: BuildRow, node: Node, url: str) -> dict[str, str]:
    """The variables that every build has, and its parameters; `url` is the controller's, with a slash at its end."""
    address = job_url(build.job)
    return {
        "BUILD_NUMBER": str(build.number),
        "BUILD_ID": str(build.number),
        "BUILD_DISPLAY_NAME": f"#{build.number}",
        "JOB_NAME": build.job,
        "JOB_BASE_NAME": build.job.rpartition("/")[2],
        "BUILD_TAG": f"jenkins-{build.job.replace('/', '-')}-{build.number}",
        "EXECUTOR_NUMBER": str(build.executor),
        "NODE_NAME": node.name or "built-in",
        "NODE_LABELS": " ".join(sorted(node.label_set)),
        "JENKINS_URL": url,
        "HUDSON_URL": url,
        "BUILD_CAUSE": _CAUSES.get(build.request.kind, "OTHERCAUSE"),  # in the words of the plugin envinject
        "JOB_URL": f"{url}{address}",
        "BUILD_URL": f"{url}{address}{build.number}/",
        "CI": "true",
        **build.request.parameters,
    }


def make_plan(
    job: Job, build: BuildRow, node: Node, url: str, turn: int, built: Sequence[str] = (), bounds: Bounds = USUAL
) -> dict[str, Any]:
    """What the agent does.

    turn   1, or more for a job's further builds at once on one node
    built  revisions that were built, the newest first
    """
    place = f"{node.root.rstrip('/')}/workspace/{build.job}"
    workspace = job.workspace or place.replace("$", "_")
    if job.workspace and not job.workspace.startswith(("/", "~", "$")):
        workspace = f"{node.root.rstrip('/')}/{job.workspace}"
    steps = StepWriter(build, node)
    hidden = [build.request.parameters.get(name, "") for name in build.request.secrets]
    return {
        "header": f"{build.request.cause}\nBuilding on {node.shown} in workspace {{workspace}}",
        "workspace": workspace + (f"@{turn}" if turn > 1 else ""),
        "turn": turn,
        "clean": [sweep_dict(sweep) for sweep in job.clean_before],
        "environment": environment_of(build, node, url) | dict(job.secrets),
        "before": [inject.content for inject in job.environment],
        "secrets": [value for value in (*hidden, *(value for _, value in job.secrets)) if value],
        "timestamps": job.timestamps,
        "most": bounds.told(),
        "limits": [{"seconds": limit.seconds, "idle": limit.idle, "fails": limit.fails} for limit in job.limits],
        "steps": [
            *(checkout_steps(job.scm, next(iter(built), ""), _told(job.scm, built)) if job.scm else ()),
            *steps.of(job.steps),
        ],
        "after": [
            {"steps": steps.of(after.steps), "results": sorted(after.results), "unstable": after.unstable}
            for after in job.after
        ],
        "conditions": [steps.condition(publishing.condition) for publishing in job.publishing],
        "keep": [_group(kept.files) for kept in job.kept],
        "prints": [_group(prints.files) for prints in job.fingerprints],
        "read": sorted({file.path for downstream in _all_downstream(job) for file in downstream.files}),
    }


def _told(repository: Repository, built: Sequence[str]) -> Sequence[str]:
    """The built revisions, where the checkout depends on them."""
    return built if isinstance(repository, Git) and repository.many else ()


def _all_downstream(job: Job) -> Iterator[Downstream]:
    yield from job.downstream
    for publishing in job.publishing:
        yield from publishing.downstream


def _group(patterns: Patterns) -> dict[str, list[str]]:
    return {"includes": list(patterns.includes), "excludes": list(patterns.excludes)}


def sweep_dict(sweep: Sweep) -> dict[str, Any]:
    """What the agent is told to remove."""
    return {**_group(sweep.files), "folders": sweep.folders, "whole": sweep.whole}


def downstream_request(build: BuildRow) -> Request:
    """That a job is started because of this build."""
    cause = f"Started by upstream project “{build.job}” build number {build.number}"
    return Request({}, cause, "hudson.model.Cause$UpstreamCause")


def handed_on(
    downstream: Downstream, build: BuildRow, environment: Mapping[str, str], texts: Mapping[str, str]
) -> dict[str, str] | None:
    """The parameters for jobs downstream; None where they are not to be started, since what they need is missing.

    environment  what the build set, which they may name, as they may its own parameters
    texts        by their paths, the files that were there
    """
    known = {**build.request.parameters, "BUILD_NUMBER": str(build.number), "JOB_NAME": build.job, **environment}
    found = dict(build.request.parameters) if downstream.inherit else {}
    for file in downstream.files:
        if file.path in texts:
            found |= read_properties(texts[file.path])
        elif file.needed:
            return None
    lines = read_properties(downstream.parameters)
    found |= {name: fill_in(value, known) for name, value in lines.items()}
    return found if found or downstream.bare else None
