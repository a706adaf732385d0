"""The elements of a config.xml that tell which jobs a build starts, and what it hands on to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import Downstream, PropertyFile, Result
from byoci.controller.jobxml_steps import job_names, threshold

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
PARAMETERS: Final = "hudson.plugins.parameterizedtrigger."


def read_trigger(part: Part) -> dict[str, Any]:
    """The plain trigger of jenkins."""
    jobs = job_names(part.text("childProjects"))
    worst = threshold(part, "threshold") or Result.SUCCESS
    return {"downstream": (Downstream(jobs, frozenset(result for result in Result if result.rank <= worst.rank)),)}


def read_parameterized(part: Part) -> dict[str, Any]:
    """The publisher of the plugin parameterized-trigger."""
    found: list[Downstream] = []
    configs = part.part("configs")
    for config in configs.parts(f"{PARAMETERS}BuildTriggerConfig") if configs else ():
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
    results = _CONDITIONS.get(condition, _GOOD)
    bare = config.flag("triggerWithNoParameters")
    return read_handed_on(config, results, bare=bare)


def read_handed_on(config: Part, results: frozenset[Result], *, bare: bool) -> Downstream:
    """The jobs that one entry of that plugin starts, and what they are given."""
    lines: list[str] = []
    files: list[PropertyFile] = []
    inherit = False
    wanted = config.part("configs")
    for source in wanted.parts() if wanted else ():
        match source.name.removeprefix(PARAMETERS):
            case "PredefinedBuildParameters":
                lines.append(source.text("properties"))
                source.only("textParamValueOnNewLine", "false")
            case "CurrentBuildParameters":
                inherit = True
            case "BooleanParameters":
                lines += _booleans(source)
            case "FileBuildParameters":
                files += _files(source)
            case _:
                source.refuse("is not known to the controller")
                continue
        source.end()
    bare = bare or not (lines or inherit or files)
    jobs = job_names(config.text("projects"))
    return Downstream(jobs, results, "\n".join(lines), inherit, bare, tuple(files))


def _booleans(part: Part) -> list[str]:
    found = []
    entries = part.part("configs")
    for entry in entries.parts(f"{PARAMETERS}BooleanParameterConfig") if entries else ():
        name = entry.text("name")
        if not re.fullmatch(r"[\w.-]+", name):
            entry.refuse(f"is “{name[:50]}”, which cannot be a variable's name", "name")
        found.append(f"{name}={'true' if entry.flag('value') else 'false'}")
        entry.end()
    if entries:
        entries.end()
    return found


def _files(part: Part) -> list[PropertyFile]:
    part.only("encoding", "", "UTF-8", "utf-8")
    for name in ("textParamValueOnNewLine", "useMatrixChild", "onlyExactRuns"):
        part.only(name, "false")
    part.only("combinationFilter", "")
    needed = part.flag("failTriggerOnMissing")
    return [PropertyFile(path, needed) for path in job_names(part.text("propertiesFile"))]
