"""What is wrong with a configuration, in words: the file's line, the key as it stands there, and what to write."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from byoci.config.older import told
from byoci.config.schema import LATER_KEYS
from byoci.config.schema_types import NOT_YET
from byoci.config.walk import known_keys, names_at, pattern_of
from byoci.errors import ConfigError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

    from byoci.config.source import Key, Source

_SHOWN: Final = 20
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_WORDS: Final = {
    "string_type": "must be text, in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "missing": "is missing",
}


class Problem(NamedTuple):
    """One thing that is wrong: the line (0: none), the key as the file has it, what about it."""

    line: int
    key: str
    text: str


def dotted(path: Iterable[str]) -> str:
    """A key as TOML writes it, quoted where it must be, and safe to show."""
    return ".".join(part if _BARE.fullmatch(part) else '"' + printable(part)[:100] + '"' for part in path)


def error(source: Source, problems: Iterable[Problem]) -> ConfigError:
    """The error that tells all problems, each once, in the file's order."""
    lines = [
        f"{source.path}{f':{line}' if line else ''}: {key} {text}"
        for line, key, text in sorted(dict.fromkeys(problems))
    ]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return ConfigError(
        "the configuration is wrong" if len(lines) == 1 else f"the configuration is wrong in {len(lines)} places",
        details="\n".join(lines[:_SHOWN] + more),
        resolution="Correct the file; docs/configuration.md has every key and its meaning.",
    )


def problem(source: Source, namespace: str, path: Key, text: str) -> Problem:
    """A problem with the value at `path`, placed where it was written."""
    written, line = source.written(path, namespace)
    prefix = ("namespace", namespace) if written[:1] == ("namespace",) else ()
    return Problem(line, dotted((*prefix, *path)), text)


def explain(source: Source, namespace: str, found: ErrorDetails) -> Iterator[Problem]:
    """What the validation of a namespace found, in words."""
    path = tuple(str(part) for part in found["loc"] if isinstance(part, str) and part != "[key]")
    if found["type"] == "extra_forbidden":
        yield from _unknown(source, namespace, path, found["input"])
        return
    if found["type"] == "value_error":
        text = str(found["ctx"]["error"])
    elif found["type"] in ("greater_than_equal", "less_than_equal"):
        limits = found["ctx"]
        text = f"must be at least {limits['ge']}" if "ge" in limits else f"must be at most {limits['le']}"
    else:
        text = _WORDS.get(found["type"], "has a value that cannot be")
    entries = [part for part in found["loc"] if isinstance(part, int)]
    if entries:
        text = f"(entry {entries[-1] + 1}) {text}"
    yield problem(source, namespace, path, text)


def _unknown(source: Source, namespace: str, path: Key, value: object) -> Iterator[Problem]:
    pattern = tuple("*" if part == "NAME" else part for part in pattern_of(path))
    if pattern in LATER_KEYS:
        yield problem(source, namespace, path, f"is {NOT_YET}")
        return
    older = [(leaf, now) for leaf in _leaves(value) if (now := told((*path[-1:], *leaf)))]
    for leaf, now in older:
        yield problem(source, namespace, (*path, *leaf), f"is a name of the older byoci; {now}")
    if not older:
        yield problem(source, namespace, path, f"is not known{nearest(path)}")


def nearest(path: Key) -> str:
    """A half sentence: the known keys that an unknown one may have meant, or those that its table has."""
    name, siblings = path[-1][:100], names_at(path[:-1])
    if close := closest(name, siblings):
        return f"; the nearest known name is {dotted((*path[:-1], close))}"
    pattern = pattern_of(path)
    ends = [known.path for known in known_keys() if known.path[-1] == name]
    ends.sort(key=lambda known: known[: len(pattern) - 1] != pattern[:-1])
    if ends:
        return f"; there is {' and '.join(dotted(end) for end in ends[:2])}"
    return f"; known here: {', '.join(siblings)}" if siblings else ""


def _leaves(value: object, path: Key = ()) -> Iterator[Key]:
    """The paths of all values below a table; () for what is no table."""
    if not isinstance(value, dict) or not value:
        yield path
        return
    for key, inner in value.items():
        yield from _leaves(inner, (*path, key))


def cross_checks(tables: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """What no single key can be blamed for: names that nothing defines. `tables` may be wrong in any other way."""
    hooks = _tables(tables, "webhook")
    workers, images = ({**_tables(tables, "worker"), "default": {}}, _tables(tables, "image"))
    for name, project in _tables(tables, "project").items():
        worker = project.get("worker", "default")
        if isinstance(worker, str) and worker not in workers:
            yield ("project", name, "worker"), f"names no worker: {unknown_name(worker, workers)}"
        notify = project.get("notify")
        wanted = notify.get("webhooks") if isinstance(notify, dict) else None
        for hook in wanted if isinstance(wanted, (list, tuple)) else ():
            if isinstance(hook, str) and hook not in hooks:
                yield ("project", name, "notify", "webhooks"), f"names no webhook: {unknown_name(hook, hooks)}"
    for name, worker in _tables(tables, "worker").items():
        image = worker.get("image", "host")
        if isinstance(image, str) and image not in ("host", *images):
            yield ("worker", name, "image"), f"names no image: {unknown_name(image, ['host', *images])}"
    if "host" in images:
        yield ("image", "host"), "has a name that means the system's own folders"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for: the only one that starts so, or a letter or two are wrong."""
    names = list(known)
    starting = [other for other in names if len(name) > 1 and other.startswith(name)]
    close = starting if len(starting) == 1 else difflib.get_close_matches(name[:100], names, n=1)
    return close[0] if close else None


def unknown_name(name: str, known: Iterable[str]) -> str:
    """A half sentence about a name that is not among the `known` ones."""
    names = sorted(known)
    close = closest(name, names)
    shown = printable(name[:100])
    if close:
        return f'there is no "{shown}"; did you mean "{printable(close)}"?'
    listed = ", ".join(f'"{printable(other)}"' for other in names[:10])
    return f'there is no "{shown}"' + (f"; known: {listed}" if listed else "")


def _tables(tables: dict[str, Any], section: str) -> dict[str, dict[str, Any]]:
    below = tables.get(section)
    if not isinstance(below, dict):
        return {}
    return {name: table for name, table in below.items() if isinstance(table, dict)}
