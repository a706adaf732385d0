"""The build steps of a config.xml, those within conditional steps among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.controller.job import Conditional, Result, Shell, Trigger, Wait
from byoci.controller.jobxml_conditions import read_condition, read_on_unclear
from byoci.controller.jobxml_downstream import PARAMETERS, read_handed_on
from byoci.controller.jobxml_steps import read_info, threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from byoci.controller.job import Step
    from byoci.controller.jobxml import Part

_DEEPEST: Final = 10  # conditional steps in conditional steps


def read_steps(parts: Iterable[Part], depth: int = 0) -> tuple[Step, ...]:
    """All of them; what the controller does not know is refused."""
    found: list[Step] = []
    for part in parts:
        name = part.name.replace("_-", "$").replace("__", "_")
        if name.startswith(_CONDITIONAL) and depth < _DEEPEST:
            found.append(_conditional(part, depth))
        elif name in _STEPS:
            found += _STEPS[name](part)
        else:
            part.refuse("is not known to the controller")
            continue
        part.end()
    return tuple(found)


_CONDITIONAL: Final = (
    "org.jenkinsci.plugins.conditionalbuildstep.ConditionalBuilder",
    "org.jenkinsci.plugins.conditionalbuildstep.singlestep.SingleConditionalBuilder",
)


def _conditional(part: Part, depth: int) -> Conditional:
    several = part.part("conditionalbuilders")
    single = part.part("buildStep")
    condition = read_condition(part.part("runCondition" if several else "condition"))
    steps = read_steps([*(several.parts() if several else ()), *([single] if single else ())], depth + 1)
    return Conditional(condition, steps, read_on_unclear(part))


def _shell(part: Part) -> list[Step]:
    unstable = part.number("unstableReturn")
    return [Shell(part.text("command"), unstable or None)]  # 0 is Jenkins' word for none


def _inject(part: Part) -> list[Step]:
    info = part.part("info")
    return [read_info(info, with_file=True)] if info else []


def _trigger(part: Part) -> list[Step]:
    found: list[Step] = []
    configs = part.part("configs")
    for config in configs.parts(f"{PARAMETERS}BlockableBuildTriggerConfig") if configs else ():
        config.only("condition", "ALWAYS")  # there is no result yet
        config.only("buildAllNodesWithLabel", "false")
        bare = config.flag("triggerWithNoParameters")
        downstream = read_handed_on(config, frozenset(Result), bare=bare)
        block = config.part("block")
        found.append(Trigger(downstream, _wait(block) if block else None))
        config.end()
    if configs:
        configs.end()
    return found


def _wait(part: Part) -> Wait:
    fails, unstable, failure = (
        threshold(part, name) for name in ("buildStepFailureThreshold", "unstableThreshold", "failureThreshold")
    )
    part.end()
    return Wait(fails, unstable, failure)


_STEPS: Final[dict[str, Callable[[Part], list[Step]]]] = {
    "hudson.tasks.Shell": _shell,
    "jenkins.tasks.Shell": _shell,  # as python-jenkins' own examples have it
    "EnvInjectBuilder": _inject,
    f"{PARAMETERS}TriggerBuilder": _trigger,
}
