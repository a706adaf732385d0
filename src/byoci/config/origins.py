"""Every value of a configuration and where it was set, for `byoci config`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from byoci.config.problems import dotted
from byoci.config.walk import kind_of, section_of, table_of
from byoci.log import MASK, SecretFilter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from byoci.config.schema import Root
    from byoci.config.source import Key, Source

_SECRET: Final = re.compile(r"passw|secret|token|credential|(api|access|private|signing)[_-]?key|^auth", re.IGNORECASE)
_BEARER: Final = re.compile(r"(?<=://)[^/@\s:]{16,}(?=@)")


class Origin(NamedTuple):
    """A value and where it comes from.

    key     dotted, as TOML writes it
    value   as TOML would hold it: text, number, true or false, a list; None where it is not set
    origin  "default", "FILE:LINE", or "FILE:LINE (namespace NAME)"
    """

    key: str
    value: object
    origin: str


def origins(root: Root, source: Source, namespace: str) -> list[Origin]:
    """All values of `root`, read from `source`, in the schema's order."""
    merged = source.merged(namespace)
    return [
        Origin(
            _clean(dotted(path)),
            _masked(path, value),
            _origin(path, source, namespace) if _set(merged, path) else "default",
        )
        for path, value in _values(root, ())
    ]


def _values(model: BaseModel, path: Key) -> Iterator[tuple[Key, object]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*path, name)
        if table_of(field):
            for key, inner in value.items():
                yield from _values(inner, (*here, key))
        elif section_of(field):
            yield from _values(value, here)
        elif isinstance(value, dict) and value:
            yield from (((*here, key), inner) for key, inner in value.items())
        else:
            yield here, _plain(value, field)


def _plain(value: object, field: FieldInfo) -> object:
    """The value as the configuration would write it."""
    kind = kind_of(field)
    if value is not None and kind is not None and kind.write is not None:
        return kind.write(value)
    return list(value) if isinstance(value, tuple) else value


def _set(tables: Mapping[str, Any], path: Key) -> bool:
    table: Any = tables
    for part in path:
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def _origin(path: Key, source: Source, namespace: str) -> str:
    written, line = source.written(path, namespace)
    suffix = f" (namespace {namespace})" if written[:1] == ("namespace",) else ""
    return f"{source.path}:{line}{suffix}"


def _masked(path: Key, value: object) -> object:
    if isinstance(value, list):
        return [_masked(path, item) for item in value]
    if not isinstance(value, str) or not value:
        return value
    return MASK if _SECRET.search(path[-1]) else _clean(value)


def _clean(text: str) -> str:
    """Without the passwords of URLs; a long user name alone is a token."""
    return _BEARER.sub(MASK, SecretFilter().clean(text))
