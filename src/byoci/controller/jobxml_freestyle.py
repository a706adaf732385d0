"""A config.xml of a freestyle project, as jenkins-job-builder and Jenkins write it, read into a `Job`.

Each function below reads one element. What is set to its neutral value and has no meaning here (a git tool's name
where there is no git) is asked for by `only`, so that any other value is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.cron import parse_crontab
from byoci.controller.job import Discarder, Inject, Job, Parameter, ParameterKind, Result, Upstream
from byoci.controller.jobxml import JobRefusedError, names_told_twice, parse_xml, root_part
from byoci.controller.jobxml_builders import read_steps
from byoci.controller.jobxml_publishers import PUBLISHERS
from byoci.controller.jobxml_scm import read_scm
from byoci.controller.jobxml_steps import WRAPPERS, job_names, read_info, threshold
from byoci.controller.labels import parse_labels
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.controller.jobxml import Part

    _Readers = Mapping[str, Callable[[Part], dict[str, Any]]]

ROOTS: Final = ("project", "hudson.model.FreeStyleProject")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # of a parameter, which becomes an environment variable


def read_job(data: bytes) -> Job:
    """The job that a config.xml describes.

    Raises `JobRefusedError` with everything in it that the controller does not do; `UsageError` where it is no XML.
    """
    root = parse_xml(data)
    part, refusals = root_part(root)
    if root.tag not in ROOTS:
        part.refuse("is no freestyle project, the only kind of job that the controller runs")
        raise JobRefusedError(tuple(refusals))
    job = _project(part)
    part.end()
    if refusals:
        raise JobRefusedError(tuple(refusals))
    return job


def _project(part: Part) -> Job:
    found: dict[str, Any] = {
        "description": part.text("description"),
        "display_name": part.text("displayName"),
        "disabled": part.flag("disabled"),
        "concurrent": part.flag("concurrentBuild"),
        "wait_for_downstream": part.flag("blockBuildWhenDownstreamBuilding"),
        "wait_for_upstream": part.flag("blockBuildWhenUpstreamBuilding"),
        "workspace": part.text("customWorkspace").strip(),
        "quiet": part.number("quietPeriod"),
        "token": part.text("authToken"),
        "labels": _labels(part),
    }
    part.only("keepDependencies", "false")
    part.only("actions", "")
    retries = part.number("scmCheckoutRetryCount") or 0
    scm = part.part("scm")
    found["scm"] = read_scm(scm, retries) if scm else None
    if rotator := part.part("logRotator"):  # where older versions have it
        found["discarder"] = _rotation(rotator)
    for group, readers in (
        ("properties", _PROPERTIES),
        ("triggers", _TRIGGERS),
        ("buildWrappers", WRAPPERS),
    ):
        _group(part, group, readers, found)
    builders = part.part("builders")
    found["steps"] = read_steps(builders.parts() if builders else ())
    _group(part, "publishers", PUBLISHERS, found)
    _after_what_it_needs(part, found)
    if "poll" in found and not (scm and found["scm"]):
        part.refuse("has a repository polled that it does not have", "triggers")
    return Job(**found)


def _after_what_it_needs(part: Part, found: Mapping[str, Any]) -> None:
    """Steps after the others are done before test reports and artifacts are judged; none may depend on that."""
    fair = {Result.SUCCESS, Result.UNSTABLE}
    tests = found.get("tests") or any(publishing.tests for publishing in found.get("publishing", ()))
    if any(fair & after.results not in (fair, set()) for after in found.get("after", ())) and tests:
        part.refuse("has steps after the build that depend on test reports, which are read after them", "publishers")


def _group(
    part: Part, name: str, readers: Mapping[str, Callable[[Part], dict[str, Any]]], found: dict[str, Any]
) -> None:
    """Read a list of elements; what several of them give for one field is joined in their order."""
    group = part.part(name)
    for child in group.parts() if group else ():
        reader = readers.get(child.name)
        if reader is None:
            child.refuse("is not known to the controller")
            continue
        for field, value in reader(child).items():
            if isinstance(value, tuple):
                found[field] = (*found.get(field, ()), *value)
            elif field in found:
                child.refuse("is there more than once")
            else:
                found[field] = value
        child.end()


def _labels(part: Part) -> str:
    text = part.text("assignedNode").strip()
    if part.flag("canRoam", default=not text):
        return ""
    if text:
        try:
            parse_labels(text)
        except UsageError as error:
            part.refuse(f"{error.brief}: {error.details}", "assignedNode")
    return text


def _rotation(part: Part) -> Discarder:
    found = Discarder(*map(part.number, ("daysToKeep", "numToKeep", "artifactDaysToKeep", "artifactNumToKeep")))
    part.only("removeLastBuild", "false")
    part.end()
    return found


def _discarder(part: Part) -> dict[str, Any]:
    strategy = part.part("strategy")
    if strategy is None:
        return {}
    if strategy.name != "hudson.tasks.LogRotator":
        strategy.refuse("is not known to the controller")
        return {}
    return {"discarder": _rotation(strategy)}


def _parameters(part: Part) -> dict[str, Any]:
    found: list[Parameter] = []
    definitions = part.part("parameterDefinitions")
    for child in definitions.parts() if definitions else ():
        match = re.fullmatch(r"hudson\.model\.(\w+)ParameterDefinition", child.name)
        if not match or match[1] not in set(ParameterKind):
            child.refuse("is not known to the controller")
            continue
        found.append(_parameter(child, ParameterKind(match[1])))
        child.end()
    for name in names_told_twice([parameter.name for parameter in found]):
        part.refuse(f"defines the parameter {name[:100]} twice")
    return {"parameters": tuple(found)}


def _parameter(part: Part, kind: ParameterKind) -> Parameter:
    name = part.text("name")
    if not _NAME.fullmatch(name):
        part.refuse(f"is “{name[:50]}”, which cannot be a variable's name", "name")
    default = part.text("defaultValue")
    choices: tuple[str, ...] = ()
    if kind is ParameterKind.CHOICE:
        choices = _choices(part)
        default = choices[0] if choices else ""
    if kind is ParameterKind.BOOLEAN:
        default = "true" if default.strip() == "true" else "false"
    return Parameter(name, kind, default, part.text("description"), choices, part.flag("trim"))


def _choices(part: Part) -> tuple[str, ...]:
    """A Java list: either strings, or a list with one array of strings."""
    outer = part.part("choices")
    if outer is None:
        return ()
    found: list[str] = []
    for child in outer.parts():
        if child.name == "string-array":
            found += [item.value for item in child.parts("string")]
        elif child.name == "string":
            found.append(child.value)
        else:
            child.refuse("is no text")
        child.end()
    return tuple(found)


def _inject_property(part: Part) -> dict[str, Any]:
    on = part.flag("on", default=True)
    part.only("keepJenkinsSystemVariables", "true")
    part.only("keepBuildVariables", "true")
    part.only("overrideBuildParameters", "false")
    info = part.part("info")
    read: tuple[Inject, ...] = (read_info(info),) if info else ()
    return {"environment": read} if on else {}


def _timer(part: Part) -> dict[str, Any]:
    spec = part.text("spec")
    try:
        parse_crontab(spec, "")
    except UsageError as error:
        part.refuse(f"{error.brief}: {error.details}", "spec")
    return {"cron": spec}


def _poll(part: Part) -> dict[str, Any]:
    part.only("ignorePostCommitHooks", "true", "false")  # there are none to ignore
    return {"poll": _timer(part)["cron"]}


def _reverse(part: Part) -> dict[str, Any]:
    part.only("spec", "")
    jobs = job_names(part.text("upstreamProjects"))
    return {"upstream": (Upstream(jobs, threshold(part, "threshold") or Result.SUCCESS),)}


def _priority(part: Part) -> dict[str, Any]:
    """A job's priority as jenkins-job-builder tells it: the higher the sooner, and 3 for most.

    The plugin's three formats differ in that: version 1 had 100 for most, version 2 counts down from 1 to 5. From
    version 3 on it is the name of a group, where jenkins-job-builder writes its number.
    """
    if not part.flag("useJobGroup", default=True) or not part.flag("useJobPriority", default=True):
        part.text("jobGroupName")
        part.number("priority")
        return {}
    if part.name.endswith("JobInclusionJobProperty"):
        group = part.text("jobGroupName").strip()
        if not re.fullmatch(r"-?[0-9]{1,6}", group):
            part.refuse(f"is the group “{group[:50]}”; the controller knows numbers only", "jobGroupName")
            return {}
        return {"priority": int(group)}
    number = part.number("priority")
    if number is None:
        return {}
    return {"priority": 6 - number if part.name.endswith(".PriorityJobProperty") else number - 97}


_PROPERTIES: Final = {
    "jenkins.advancedqueue.jobinclusion.strategy.JobInclusionJobProperty": _priority,
    "jenkins.advancedqueue.priority.strategy.PriorityJobProperty": _priority,
    "hudson.queueSorter.PrioritySorterJobProperty": _priority,
    "jenkins.model.BuildDiscarderProperty": _discarder,
    "hudson.model.ParametersDefinitionProperty": _parameters,
    "EnvInjectJobProperty": _inject_property,
}
_TRIGGERS: Final = {
    "hudson.triggers.TimerTrigger": _timer,
    "hudson.triggers.SCMTrigger": _poll,
    "jenkins.triggers.ReverseBuildTrigger": _reverse,
}
