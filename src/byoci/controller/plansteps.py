"""The steps of a build as its agent is told them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import Conditional, Downstream, Inject, PropertyFile, Result, Shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.controller.job import Condition, Step, Trigger, Wait
    from byoci.controller.nodexml import Node
    from byoci.controller.rows import BuildRow

_CAUSES: Final = {
    "hudson.model.Cause$UserIdCause": "USER_CAUSE",
    "hudson.model.Cause$RemoteCause": "REMOTE_CAUSE",
    "hudson.model.Cause$UpstreamCause": "UPSTREAM_CAUSE",
    "hudson.triggers.SCMTrigger$SCMTriggerCause": "SCM_CAUSE",
    "hudson.triggers.TimerTrigger$TimerTriggerCause": "TIMER_CAUSE",
}
_OWN_NAMES: Final = frozenset({"", "master", "built-in"})


class StepWriter:
    """Writes a build's steps; those that start other jobs are numbered, from 0 on, by which the agent names them."""

    def __init__(self, build: BuildRow, node: Node) -> None:
        self._build = build
        self._node = node
        self._triggers = 0

    def of(self, steps: Iterable[Step]) -> list[dict[str, Any]]:
        """The steps as JSON objects."""
        return [self._step(step) for step in steps]

    def _step(self, step: Step) -> dict[str, Any]:
        match step:
            case Shell():
                return {"shell": step.script, "unstable": step.unstable_status}
            case Inject():
                return {"inject": step.content, "file": step.file}
            case Conditional():
                inner = self.of(step.steps)
                return {"if": self.condition(step.condition), "unclear": str(step.on_unclear), "steps": inner}
            case _:
                return self._trigger(step)

    def _trigger(self, step: Trigger) -> dict[str, Any]:
        number, self._triggers = self._triggers, self._triggers + 1
        downstream = step.downstream
        return {
            "trigger": number,
            "jobs": list(downstream.jobs),
            "parameters": downstream.parameters,
            "inherit": downstream.inherit,
            "bare": downstream.bare,
            "needed": [file.path for file in downstream.files if file.needed],
            "read": [file.path for file in downstream.files],
            "wait": _wait(step.wait) if step.wait else None,
        }

    def condition(self, condition: Condition) -> dict[str, Any]:
        """The condition with what is known here already."""
        if condition.kind == "cause":
            holds = _CAUSES.get(self._build.request.kind) == condition.values["cause"]
            return {"kind": "always" if holds else "never"}
        if condition.kind == "node":
            names = _OWN_NAMES if self._node.name in _OWN_NAMES else {self._node.name}
            return {"kind": "always" if names & set(condition.values["nodes"]) else "never"}
        told: dict[str, Any] = {"kind": condition.kind, **condition.values}
        if condition.operands:
            told["operands"] = [self.condition(operand) for operand in condition.operands]
        return told


def _wait(wait: Wait) -> dict[str, str | None]:
    """Results by what they make of the build that waits."""
    told: dict[str, Result | None] = {"fails": wait.fails, "unstable": wait.unstable, "failure": wait.failure}
    return {name: None if result is None else str(result) for name, result in told.items()}


def find_trigger(steps: Iterable[Mapping[str, Any]], number: int) -> Mapping[str, Any] | None:
    """The step with that number, among them and within them."""
    for step in steps:
        if step.get("trigger") == number:
            return step
        found = find_trigger(step.get("steps", ()), number)
        if found is not None:
            return found
    return None


def downstream_of(step: Mapping[str, Any]) -> Downstream:
    """What a step starts."""
    files = tuple(PropertyFile(path, path in step["needed"]) for path in step["read"])
    jobs = tuple(step["jobs"])
    return Downstream(jobs, frozenset(Result), step["parameters"], step["inherit"], step["bare"], files)
