"""The elements of a config.xml that tell what a build does: its wrappers, steps, and what comes after them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import (
    Artifacts,
    Cleanup,
    Downstream,
    Inject,
    Limit,
    Mailing,
    Patterns,
    Result,
    Shell,
    TestReports,
)
from byoci.controller.mail import ADDRESS

if TYPE_CHECKING:
    from byoci.controller.jobxml import Part

_ALWAYS: Final = frozenset(Result)
_GOOD: Final = frozenset({Result.SUCCESS})
_FAIR: Final = frozenset({Result.SUCCESS, Result.UNSTABLE})
_CONDITIONS: Final = {
    "SUCCESS": _GOOD,
    "UNSTABLE": frozenset({Result.UNSTABLE}),
    "UNSTABLE_OR_BETTER": _FAIR,
    "UNSTABLE_OR_WORSE": _ALWAYS - _GOOD,
    "FAILED": frozenset({Result.FAILURE}),
    "FAILED_OR_BETTER": _FAIR | {Result.FAILURE},
    "ALWAYS": _ALWAYS,
}
_PARAMETERS: Final = "hudson.plugins.parameterizedtrigger."
_TIMEOUT: Final = "hudson.plugins.build_timeout."


def job_names(text: str) -> tuple[str, ...]:
    """Names of jobs that are written with commas between them."""
    return tuple(name for name in re.split(r"\s*,\s*", text.strip()) if name)


def threshold(part: Part, name: str) -> Result | None:
    """The worst result that counts, which the child `name` tells in Jenkins' way; None where it does not."""
    found = part.part(name)
    if found is None:
        return None
    text = found.text("name").strip()
    for fact in ("ordinal", "color", "completeBuild"):  # follow from the name
        found.text(fact)
    found.end()
    if text in ("SUCCESS", "UNSTABLE", "FAILURE"):
        return Result(text)
    found.refuse(f"is “{text[:50]}”, not SUCCESS, UNSTABLE or FAILURE")
    return None


def read_info(part: Part, *, with_file: bool = False) -> Inject:
    """What the plugin envinject puts into the environment; only a step's file is in the workspace."""
    content = part.text("propertiesContent")
    file = part.text("propertiesFilePath").strip()
    if file and not with_file:
        part.refuse("names a file, which the controller reads in a step only", "propertiesFilePath")
    part.only("loadFilesFromMaster", "false")
    if groovy := part.part("secureGroovyScript"):
        groovy.only("sandbox", "false", "true")  # of a script that is not there
        groovy.only("script", "")
        groovy.end()
    part.end()
    return Inject(content, file)


def _shell(part: Part) -> dict[str, Any]:
    unstable = part.number("unstableReturn")
    return {"steps": (Shell(part.text("command"), unstable or None),)}  # 0 is Jenkins' word for none


def _inject_step(part: Part) -> dict[str, Any]:
    info = part.part("info")
    return {"steps": (read_info(info, with_file=True),)} if info else {}


def _inject_wrapper(part: Part) -> dict[str, Any]:
    info = part.part("info")
    return {"environment": (read_info(info),)} if info else {}


def _passwords(part: Part) -> dict[str, Any]:
    part.only("injectGlobalPasswords", "false")
    part.only("maskPasswordParameters", "true", "false")  # they always are
    entries = part.part("passwordEntries")
    found = []
    for entry in entries.parts("EnvInjectPasswordEntry") if entries else ():
        found.append((entry.text("name"), entry.text("value")))
        entry.end()
    if entries:
        entries.end()
    return {"secrets": tuple(found)}


def _timeout(part: Part) -> dict[str, Any]:
    fails = False
    operations = part.part("operationList")
    for operation in operations.parts() if operations else ():
        kind = operation.name.rpartition(".")[2]
        if kind not in ("AbortOperation", "FailOperation"):
            operation.refuse("is not known to the controller")
        fails |= kind == "FailOperation"
    strategy = part.part("strategy")
    if strategy is None:
        return {}
    seconds: float | None = None
    kind = strategy.name.removeprefix(f"{_TIMEOUT}impl.")
    if kind == "AbsoluteTimeOutStrategy":
        minutes = strategy.number("timeoutMinutes")
        seconds = None if minutes is None else minutes * 60.0
    elif kind == "NoActivityTimeOutStrategy":
        seconds = strategy.number("timeoutSecondsString")
    else:
        strategy.refuse("is not known to the controller")
        return {}
    if not seconds:
        strategy.refuse("tells no time")
        return {}
    strategy.end()
    return {"limits": (Limit(seconds, kind.startswith("NoActivity"), fails),)}


def _timestamps(part: Part) -> dict[str, Any]:
    del part  # it has no settings
    return {"timestamps": True}


def _masking(part: Part) -> dict[str, Any]:
    del part  # password parameters are masked in any case; its settings are refused as everything else
    return {}


def _clean_before(part: Part) -> dict[str, Any]:
    _whole_workspace(part)
    part.only("cleanupParameter", "")
    return {"clean_before": True}


def _whole_workspace(part: Part) -> None:
    """The settings that the two workspace clean-ups share; the controller's remove everything."""
    patterns = part.part("patterns")
    if patterns:
        patterns.end()
    part.flag("deleteDirs")  # of no meaning without patterns
    part.only("externalDelete", "")
    part.flag("disableDeferredWipeout")  # how, not what


def _clean_after(part: Part) -> dict[str, Any]:
    _whole_workspace(part)
    part.only("cleanupMatrixParent", "false")
    part.only("skipWhenFailed", "false")
    part.only("notFailBuild", "true", "false")  # what cannot be removed is told in the log
    flags = {
        Result.SUCCESS: "cleanWhenSuccess",
        Result.UNSTABLE: "cleanWhenUnstable",
        Result.FAILURE: "cleanWhenFailure",
        Result.NOT_BUILT: "cleanWhenNotBuilt",
        Result.ABORTED: "cleanWhenAborted",
    }
    results = [result for result, name in flags.items() if part.flag(name, default=True)]
    return {"cleanup": (Cleanup(frozenset(results)),)}


def _artifacts(part: Part) -> dict[str, Any]:
    part.only("latestOnly", "false")
    part.only("defaultExcludes", "true")
    part.only("caseSensitive", "true")
    part.only("followSymlinks", "false")
    files = Patterns(job_names(part.text("artifacts")), job_names(part.text("excludes")))
    return {
        "artifacts": (
            Artifacts(files, part.flag("allowEmptyArchive"), part.flag("onlyIfSuccessful"), part.flag("fingerprint")),
        )
    }


def _junit(part: Part) -> dict[str, Any]:
    part.flag("keepLongStdio")  # all output is kept
    part.flag("skipPublishingChecks")  # there is nowhere to publish them to
    part.only("healthScaleFactor", "1.0", "1")
    publishers = part.part("testDataPublishers")
    if publishers:
        publishers.end()
    files = Patterns(job_names(part.text("testResults")))
    empty, never = part.flag("allowEmptyResults"), part.flag("skipMarkingBuildUnstable")
    return {"tests": (TestReports(files, empty, never),)}


def _trigger(part: Part) -> dict[str, Any]:
    jobs = job_names(part.text("childProjects"))
    worst = threshold(part, "threshold") or Result.SUCCESS
    return {"downstream": (Downstream(jobs, frozenset(result for result in Result if result.rank <= worst.rank)),)}


def _parameterized(part: Part) -> dict[str, Any]:
    found: list[Downstream] = []
    configs = part.part("configs")
    for config in configs.parts(f"{_PARAMETERS}BuildTriggerConfig") if configs else ():
        found.append(_handed_on(config))
        config.end()
    if configs:
        configs.end()
    return {"downstream": tuple(found)}


def _handed_on(config: Part) -> Downstream:
    condition = config.text("condition", "SUCCESS").strip()
    if condition not in _CONDITIONS:
        config.refuse(f"is “{condition[:50]}”, which the controller does not know", "condition")
    config.only("triggerFromChildProjects", "false")
    lines: list[str] = []
    inherit = False
    wanted = config.part("configs")
    for source in wanted.parts() if wanted else ():
        kind = source.name.removeprefix(_PARAMETERS)
        if kind == "PredefinedBuildParameters":
            lines.append(source.text("properties"))
            source.only("textParamValueOnNewLine", "false")
        elif kind == "CurrentBuildParameters":
            inherit = True
        else:
            source.refuse("is not known to the controller")
            continue
        source.end()
    bare = config.flag("triggerWithNoParameters") or not (lines or inherit)
    results = _CONDITIONS.get(condition, _GOOD)
    return Downstream(job_names(config.text("projects")), results, "\n".join(lines), inherit, bare)


def _mail(part: Part) -> dict[str, Any]:
    to = tuple(part.text("recipients").replace(",", " ").split())
    for address in to:
        if not ADDRESS.fullmatch(address):
            part.refuse(f"has {address[:50]!a}, which is no address", "recipients")
    if not to:
        part.refuse("has nobody to send to", "recipients")
    part.only("sendToIndividuals", "false")
    return {"mailings": (Mailing(to, not part.flag("dontNotifyEveryUnstableBuild")),)}


STEPS: Final = {"hudson.tasks.Shell": _shell, "EnvInjectBuilder": _inject_step}
WRAPPERS: Final = {
    "hudson.plugins.build__timeout.BuildTimeoutWrapper": _timeout,
    "hudson.plugins.timestamper.TimestamperBuildWrapper": _timestamps,
    "hudson.plugins.ws__cleanup.PreBuildCleanup": _clean_before,
    "EnvInjectBuildWrapper": _inject_wrapper,
    "EnvInjectPasswordWrapper": _passwords,
    "com.michelin.cio.hudson.plugins.maskpasswords.MaskPasswordsBuildWrapper": _masking,
}
PUBLISHERS: Final = {
    "hudson.tasks.ArtifactArchiver": _artifacts,
    "hudson.tasks.junit.JUnitResultArchiver": _junit,
    "hudson.tasks.BuildTrigger": _trigger,
    "hudson.plugins.parameterizedtrigger.BuildTrigger": _parameterized,
    "hudson.plugins.ws__cleanup.WsCleanup": _clean_after,
    "hudson.tasks.Mailer": _mail,
}
