"""The known keys, read off the schema's models: for suggestions, for the reference, for showing a configuration."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, get_args

from pydantic import BaseModel

from byoci.config.schema import Root
from byoci.config.schema_types import Kind, Named

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class Known(NamedTuple):
    """A key that may be set. In `path` NAME stands for a name of the writer's choice."""

    path: tuple[str, ...]
    field: FieldInfo


def table_of(field: FieldInfo) -> type[Named] | None:
    """The model of the tables that stand under names of the writer's choice in this field, if it is such a field."""
    for argument in get_args(field.annotation):
        if isinstance(argument, type) and issubclass(argument, Named):
            return argument
    return None


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the one table that this field is, if it is one."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def kind_of(field: FieldInfo) -> Kind | None:
    """What the schema says of the field's type, also where the field may be unset."""
    alternatives = [field.metadata, *(get_args(argument)[1:] for argument in get_args(field.annotation))]
    return next((item for items in alternatives for item in items if isinstance(item, Kind)), None)


@cache
def known_keys() -> tuple[Known, ...]:
    """Every key that holds a value, in the schema's order."""
    return tuple(_keys(Root, ()))


def _keys(model: type[BaseModel], path: tuple[str, ...]) -> list[Known]:
    found: list[Known] = []
    for name, field in model.model_fields.items():
        if table := table_of(field):
            found += _keys(table, (*path, name, "NAME"))
        elif section := section_of(field):
            found += _keys(section, (*path, name))
        else:
            found.append(Known((*path, name), field))
    return found


def pattern_of(path: tuple[str, ...]) -> tuple[str, ...]:
    """`path` with NAME in the place of a name of the writer's choice."""
    if len(path) > 1 and path[0] in Root.model_fields and table_of(Root.model_fields[path[0]]):
        return (path[0], "NAME", *path[2:])
    return path


def names_at(path: tuple[str, ...]) -> tuple[str, ...]:
    """The names that may stand directly in the table `path`, in the schema's order; () where any may."""
    pattern = pattern_of(path)
    below = (known.path[len(pattern)] for known in known_keys() if known.path[: len(pattern)] == pattern)
    return tuple(dict.fromkeys(name for name in below if name != "NAME"))
