"""Whether something is done: the run conditions of Jenkins' conditional steps, as trees of JSON objects.

Each has a `kind`. `and`, `or` and `not` have `operands`; the others are leaves: `always`, `never`; `failed`, which
could not be looked at; `status`, whether the build's result is from `best` to `worst`; and what `look` looks at.
"""

from __future__ import annotations

import os
import re
import signal
import time

from byoci.controller.agentside.files import fill_in

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from collections.abc import Callable, Mapping
    from typing import Any

RESULTS = ("SUCCESS", "UNSTABLE", "FAILURE", "NOT_BUILT", "ABORTED")  # the best first
_TRUE = ("1", "y", "yes", "t", "true", "on", "run")
_TOKEN = re.compile(r"\$\{ENV,\s*var=\"([^\"]*)\"\}")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "LessThan": lambda left, right: left < right,
    "GreaterThan": lambda left, right: left > right,
    "EqualTo": lambda left, right: left == right,
    "NotEqualTo": lambda left, right: left != right,
    "LessThanOrEqualTo": lambda left, right: left <= right,
    "GreaterThanOrEqualTo": lambda left, right: left >= right,
}


_PATIENCE = 10  # seconds for an expression


class Unclear(Exception):  # noqa: N818 - no error of ours: a job's condition makes no sense now
    """A condition cannot be told: text where a number is needed, for example."""


def holds(condition: Mapping[str, Any], leaf: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether it does; `leaf` tells that of leaves other than `always`, `never` and `failed`. Raises `Unclear`."""
    kind = condition["kind"]
    if kind in ("and", "or"):
        together = all if kind == "and" else any
        return together(holds(operand, leaf) for operand in condition["operands"])
    if kind == "not":
        return not holds(condition["operands"][0], leaf)
    if kind == "failed":
        raise Unclear(condition["why"])
    return leaf(condition) if kind not in ("always", "never") else kind == "always"


def settled(condition: Mapping[str, Any], leaf: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """The same condition with all but `status` looked at."""
    if "operands" in condition:
        return {"kind": condition["kind"], "operands": [settled(operand, leaf) for operand in condition["operands"]]}
    if condition["kind"] == "status":
        return dict(condition)
    try:
        return {"kind": "always" if holds(condition, leaf) else "never"}
    except Unclear as error:
        return {"kind": "failed", "why": str(error)}


def is_between(condition: Mapping[str, Any], result: str) -> bool:
    """What a `status` says of a result."""
    best, found, worst = (RESULTS.index(word) for word in (condition["best"], result, condition["worst"]))
    return best <= found <= worst


def expand(text: str, environment: Mapping[str, str]) -> str:
    """A text with `$NAME`, `${NAME}` and `${ENV,var="NAME"}` filled in."""
    return fill_in(_TOKEN.sub(lambda match: environment.get(match[1], ""), text), environment)


def look(condition: Mapping[str, Any], environment: Mapping[str, str], began: float) -> bool:
    """What a leaf says that needs no more than the build's environment, and the times of its start and of now."""
    kind = condition["kind"]
    at = time.localtime(began if condition.get("from_start") else None)
    if kind == "day":
        return (at.tm_wday + 1) % 7 + 1 in condition["days"]  # Sunday is 1
    if kind == "time":
        return bool(condition["earliest"] <= [at.tm_hour, at.tm_min] <= condition["latest"])
    words = [expand(word, environment) for word in condition["words"]]
    if kind == "boolean":
        return words[0].strip().lower() in _TRUE
    if kind == "strings":
        return len({word.lower() if condition["ignore_case"] else word for word in words}) == 1
    if kind == "regex":
        try:
            return re.fullmatch(words[0], words[1]) is not None
        except re.error as error:
            raise Unclear(f"the expression {words[0][:200]} cannot be read: {error}") from error
    try:
        left, right = map(float, words)
    except ValueError as error:
        raise Unclear(f"“{words[0][:50]}” and “{words[1][:50]}” are not both numbers") from error
    return _COMPARE[condition["comparator"]](left, right)


def look_apart(
    condition: Mapping[str, Any], environment: Mapping[str, str], began: float, attend: Callable[[int], int]
) -> bool:
    """The same in a process of its own: an expression may take for ever, and what looks at it hears nobody.

    attend  waits for the end of a child, as long as the build may go on, and gives its status, of a signal's death 128
            and its number
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        status = 2
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            signal.alarm(_PATIENCE)
            status = int(look(condition, environment, began))
        except Unclear as error:
            os.write(writer, os.fsencode(str(error))[:2000])
        finally:
            os._exit(status)
    os.close(writer)
    try:
        status = attend(pid)
        why = os.read(reader, 4096).decode("utf-8", "replace")
    finally:
        os.close(reader)
    if status not in (0, 1):
        raise Unclear(why or "the expression takes too long")
    return status == 1
