"""What the plugins flexible-publish and postbuildscript do after a build's steps, in a config.xml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from byoci.controller.job import AfterSteps, Publishing, Result
from byoci.controller.jobxml_builders import read_steps
from byoci.controller.jobxml_conditions import read_condition, read_on_unclear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.controller.jobxml import Part

    Readers = Mapping[str, Callable[[Part], dict[str, Any]]]

_POST: Final = "org.jenkinsci.plugins.postbuildscript."
_CONDITIONAL: Final = "org.jenkins__ci.plugins.flexible__publish.ConditionalPublisher"


def read_flexible(part: Part, readers: Readers) -> dict[str, Any]:
    """Publishers that a condition decides on; `readers` are of those that may be among them."""
    found = []
    group = part.part("publishers")
    for child in group.parts(_CONDITIONAL) if group else ():
        condition, on_unclear = read_condition(child.part("condition")), read_on_unclear(child)
        fields: dict[str, Any] = {}
        several, single = child.part("publisherList"), child.part("publisher")
        for publisher in [*(several.parts() if several else ()), *([single] if single else ())]:
            reader = readers.get(publisher.name)
            if reader is None:
                publisher.refuse("is not known to the controller within a condition")
                continue
            for field, value in reader(publisher).items():
                fields[field] = (*fields.get(field, ()), *value)
            publisher.end()
        child.end()
        found.append(Publishing(condition, on_unclear=on_unclear, **fields))
    if group:
        group.end()
    return {"publishing": tuple(found)}


def read_post_build(part: Part) -> dict[str, Any]:
    """Steps after the others, of version 2 of the plugin or older."""
    config = part.part("config") or part
    unstable = config.flag("markBuildUnstable")
    for name in ("scriptFiles", "groovyScripts", "genericScriptFileList", "groovyScriptFileList"):
        scripts = config.part(name)
        if scripts:
            scripts.end()
    contents = config.part("groovyScriptContentList")
    if contents:
        contents.end()
    config.only("executeOn", "BOTH", "AXES", "MATRIX")  # of no meaning for a freestyle job
    if config is part:
        return {"after": _old_steps(part, unstable=unstable)}
    found = []
    group = config.part("buildSteps")
    for child in group.parts(f"{_POST}model.PostBuildStep") if group else ():
        child.only("role", "BOTH", "SLAVE")  # it runs where the build ran
        child.only("executeOn", "BOTH", "AXES", "MATRIX")
        results = _results(child)
        steps = child.part("buildSteps")
        found.append(AfterSteps(read_steps(steps.parts() if steps else ()), results, unstable=unstable))
        child.end()
    if group:
        group.end()
    config.end()
    return {"after": tuple(found)}


def _old_steps(part: Part, *, unstable: bool) -> tuple[AfterSteps, ...]:
    good, bad = part.flag("scriptOnlyIfSuccess", default=True), part.flag("scriptOnlyIfFailure")
    results = frozenset(Result)
    if good != bad:
        results = frozenset({Result.SUCCESS}) if good else frozenset(Result) - {Result.SUCCESS, Result.UNSTABLE}
    steps = part.part("buildSteps")
    return (AfterSteps(read_steps(steps.parts() if steps else ()), results, unstable=unstable),)


def _results(part: Part) -> frozenset[Result]:
    found = set()
    group = part.part("results")
    for child in group.parts("string") if group else ():
        word = child.value.strip()
        if word in set(Result):
            found.add(Result(word))
        else:
            child.refuse(f"is “{word[:50]}”, which is no result")
    if group:
        group.end()
    return frozenset(found)
