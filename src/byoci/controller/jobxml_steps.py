"""The elements of a config.xml that tell what a build does: its wrappers, and what readers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import Inject, Limit, Patterns, Result, Sweep

if TYPE_CHECKING:
    from byoci.controller.jobxml import Part

_TIMEOUT: Final = "hudson.plugins.build_timeout."


def job_names(text: str) -> tuple[str, ...]:
    """Names of jobs that are written with commas between them."""
    return tuple(name for name in map(str.strip, text.split(",")) if name)


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
    part.only("cleanupParameter", "")
    return {"clean_before": (read_sweep(part),)}


def read_sweep(part: Part) -> Sweep:
    """What the two clean-ups of workspaces remove."""
    includes: list[str] = []
    excludes: list[str] = []
    patterns = part.part("patterns")
    for pattern in patterns.parts("hudson.plugins.ws__cleanup.Pattern") if patterns else ():
        kind = pattern.text("type").strip()
        if kind not in ("INCLUDE", "EXCLUDE"):
            pattern.refuse(f"is “{kind[:50]}”, not INCLUDE or EXCLUDE", "type")
        (includes if kind == "INCLUDE" else excludes).append(pattern.text("pattern"))
        pattern.end()
    if patterns:
        patterns.end()
    part.only("externalDelete", "")
    part.flag("disableDeferredWipeout")  # how, not what
    return Sweep(Patterns(tuple(includes), tuple(excludes)), part.flag("deleteDirs"))


WRAPPERS: Final = {
    "hudson.plugins.build__timeout.BuildTimeoutWrapper": _timeout,
    "hudson.plugins.timestamper.TimestamperBuildWrapper": _timestamps,
    "hudson.plugins.ws__cleanup.PreBuildCleanup": _clean_before,
    "EnvInjectBuildWrapper": _inject_wrapper,
    "EnvInjectPasswordWrapper": _passwords,
    "com.michelin.cio.hudson.plugins.maskpasswords.MaskPasswordsBuildWrapper": _masking,
}
