"""Whether a source makes sense, in the chosen namespace and in every one that it lays an overlay for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from byoci.config.paths import NAMESPACES
from byoci.config.problems import Problem, cross_checks, error, explain, problem, unknown_name
from byoci.config.schema import Root
from byoci.config.trunks import canonical
from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from byoci.config.source import Key, Source


def check_namespaces(source: Source, namespace: str, home: Path) -> Root:
    """The checked values of `namespace`. Raises `ConfigError` with all that is wrong in any namespace of the file."""
    if namespace not in NAMESPACES:
        raise ConfigError(
            f"no such namespace: {unknown_name(namespace, NAMESPACES)}",
            resolution="Choose one with --namespace; without it the namespace is testing.",
        )
    problems = [
        Problem(
            source.lines.get(("namespace", name), 0), "namespace", f"has a wrong name: {unknown_name(name, NAMESPACES)}"
        )
        for name in source.overlays
        if name not in NAMESPACES
    ]
    chosen: Root | None = None
    for name in dict.fromkeys((namespace, *(known for known in NAMESPACES if known in source.overlays))):
        root = _check(source, name, home, problems)
        chosen = chosen or root
    if problems or chosen is None:
        raise error(source, problems)
    return chosen


def _check(source: Source, namespace: str, home: Path, problems: list[Problem]) -> Root | None:
    """The namespace's values, or None; what is wrong is added to `problems`."""
    tables = source.merged(namespace)
    for path, text in cross_checks(tables):
        problems.append(problem(source, namespace, path, text))
    try:
        root = Root.model_validate(tables, context={"folder": source.path.parent, "home": home})
    except ValidationError as wrong:
        for found in wrong.errors(include_url=False):
            problems.extend(explain(source, namespace, found))
        return None
    problems.extend(problem(source, namespace, path, text) for path, text in _shared(root))
    return root


def _shared(root: Root) -> Iterator[tuple[Key, str]]:
    """Trunks that two projects share, and verdicts re-used where the system's own folders are the image."""
    owners: dict[str, list[tuple[str | None, str]]] = {}
    for name, project in root.project.items():
        location = canonical(project.trunk)
        same = owners.setdefault(location.url, [])
        for branch, owner in same:
            if branch == location.branch:
                yield ("project", name, "trunk"), f'is the trunk of project "{owner}" already'
            elif project.vcs == "git" and None in (branch, location.branch):
                yield ("project", name, "trunk"), f'may be the trunk of project "{owner}": name the ;BRANCH of both'
        same.append((location.branch, name))
        worker = root.worker.get(project.worker)
        if project.tests.reuse and worker is not None and worker.image == "host":
            yield ("project", name, "tests", "reuse"), "needs a worker with an image: the system's own folders change"
