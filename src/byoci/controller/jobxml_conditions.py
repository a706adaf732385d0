"""Run conditions in a config.xml, as the plugins conditional-buildstep and flexible-publish have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.agentside.conditions import RESULTS
from byoci.controller.job import Condition, OnUnclear
from byoci.controller.jobxml_steps import job_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.controller.jobxml import Part

_PREFIX: Final = re.compile(r"org\.jenkins_ci\.plugins\.run_condition\.(?:core|logic|contributed)\.")
_OTHER_MACRO: Final = re.compile(r"\$\{(?!ENV,\s*var=)[A-Z_]+,")
_CAUSES: Final = ("USER_CAUSE", "SCM_CAUSE", "TIMER_CAUSE", "REMOTE_CAUSE", "UPSTREAM_CAUSE", "CLI_CAUSE")
_COMPARATORS: Final = (
    *("LessThan", "GreaterThan", "EqualTo", "NotEqualTo"),
    *("LessThanOrEqualTo", "GreaterThanOrEqualTo"),
)
_DAYS: Final = {"Weekend": (1, 7), "Weekday": (2, 3, 4, 5, 6)}
_DEEPEST: Final = 20
_NEVER: Final = Condition("never")


def read_condition(part: Part | None, depth: int = 0) -> Condition:
    """The condition; what the controller does not know is refused."""
    if part is None or depth > _DEEPEST:
        if part is not None:
            part.refuse("nests too deep")
        return _NEVER
    kind = _PREFIX.sub("", part.name)
    if kind in ("And", "Or", "Not"):
        found = _joined(part, kind, depth)
    elif kind in _LEAVES:
        found = _LEAVES[kind](part)
    else:
        part.refuse("is a condition that is not known to the controller")
        return _NEVER
    part.end()
    return found


def read_on_unclear(part: Part) -> OnUnclear:
    """What the child `runner` says."""
    runner = part.part("runner")
    word = runner.name.rpartition("$")[2] if runner else "Fail"
    if word not in set(OnUnclear):
        (runner or part).refuse("is not known to the controller")
        return OnUnclear.FAIL
    return OnUnclear(word)


def _joined(part: Part, kind: str, depth: int) -> Condition:
    if kind == "Not":
        return Condition("not", operands=(read_condition(part.part("condition"), depth + 1),))
    operands = []
    group = part.part("conditions")
    for container in group.parts() if group else ():
        operands.append(read_condition(container.part("condition"), depth + 1))
        container.end()
    return Condition(kind.lower(), operands=tuple(operands))


def _word(part: Part, name: str) -> str:
    text = part.text(name)
    if _OTHER_MACRO.search(text):
        part.refuse("has a macro other than ${ENV,var=…}, which the controller does not know", name)
    return text


def _words(kind: str, *names: str) -> Callable[[Part], Condition]:
    return lambda part: Condition(kind, {"words": [_word(part, name) for name in names]})


def _strings(part: Part) -> Condition:
    words = [_word(part, name) for name in ("arg1", "arg2")]
    return Condition("strings", {"words": words, "ignore_case": part.flag("ignoreCase")})


def _cause(part: Part) -> Condition:
    cause = part.text("buildCause").strip()
    if cause not in _CAUSES:
        part.refuse(f"is “{cause[:50]}”, which starts nothing here", "buildCause")
    part.flag("exclusiveCause")  # a build has one cause
    return Condition("cause", {"cause": cause})


def _day(part: Part) -> Condition:
    from_start = part.flag("useBuildTime")
    selector = part.part("daySelector")
    kind = selector.name.rpartition("$")[2] if selector else ""
    days = list(_DAYS.get(kind, ()))
    if selector and kind == "SelectDays":
        group = selector.part("days")
        for day in group.parts() if group else ():
            number, selected = day.number("day"), day.flag("selected")
            days += [number] if selected and number is not None else []
            day.end()
        selector.end()
    elif selector and kind not in _DAYS:
        selector.refuse("is not known to the controller")
    return Condition("day", {"days": days, "from_start": from_start})


def _time(part: Part) -> Condition:
    limits = []
    for which, default in (("earliest", (9, 0)), ("latest", (17, 30))):
        told = [part.number(f"{which}{unit}") for unit in ("Hours", "Minutes")]
        limits.append([usual if number is None else number for number, usual in zip(told, default, strict=True)])
    return Condition("time", {"earliest": limits[0], "latest": limits[1], "from_start": part.flag("useBuildTime")})


def _node(part: Part) -> Condition:
    group = part.part("allowedNodes")
    names = [child.value.strip() for child in group.parts("string")] if group else []
    if group:
        group.end()
    return Condition("node", {"nodes": names})


def _status(part: Part) -> Condition:
    limits = {}
    for name, key in (("worstResult", "worst"), ("bestResult", "best")):
        limit = part.part(name)
        word = limit.text("name").strip() if limit else "SUCCESS"
        word = "NOT_BUILT" if word == "NOT_BUILD" else word  # as jenkins-job-builder writes it
        for fact in ("ordinal", "color", "completeBuild"):  # follow from the name
            if limit:
                limit.text(fact)
        if limit:
            limit.end()
        if word not in RESULTS:
            part.refuse(f"is “{word[:50]}”, which is no result", name)
            word = "SUCCESS"
        limits[key] = word
    return Condition("status", limits)


def _in_workspace(part: Part) -> None:
    place = part.part("baseDir")
    if place and not place.name.endswith("$Workspace"):
        place.refuse("is not known to the controller, which looks in the workspace only")


def _file(part: Part) -> Condition:
    _in_workspace(part)
    return Condition("file", {"words": [_word(part, "file")]})


def _files(part: Part) -> Condition:
    _in_workspace(part)
    values: dict[str, Any] = {name: list(job_names(part.text(name))) for name in ("includes", "excludes")}
    return Condition("files", values)


def _compare(part: Part) -> Condition:
    comparator = part.part("comparator")
    word = comparator.name.rpartition("$")[2] if comparator else ""
    if word not in _COMPARATORS:
        (comparator or part).refuse("is no comparison that the controller knows")
    return Condition("compare", {"words": [_word(part, "lhs"), _word(part, "rhs")], "comparator": word})


def _constant(kind: str) -> Callable[[Part], Condition]:
    return lambda _: Condition(kind)


_LEAVES: Final[dict[str, Callable[[Part], Condition]]] = {
    "AlwaysRun": _constant("always"),
    "NeverRun": _constant("never"),
    "BooleanCondition": _words("boolean", "token"),
    "CauseCondition": _cause,
    "DayCondition": _day,
    "ExpressionCondition": _words("regex", "expression", "label"),
    "FileExistsCondition": _file,
    "FilesMatchCondition": _files,
    "NodeCondition": _node,
    "NumericalComparisonCondition": _compare,
    "ShellCondition": lambda part: Condition("shell", {"script": part.text("command")}),
    "StatusCondition": _status,
    "StringsMatchCondition": _strings,
    "TimeCondition": _time,
}
