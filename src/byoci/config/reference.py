"""The reference of all keys, made from the schema; `python -m byoci.config.reference` writes docs/configuration.md."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from byoci.config.paths import NAMESPACES
from byoci.config.walk import kind_of, known_keys
from byoci.config.writing import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_WORDS: Final = {str: "text", bool: "true or false", int: "whole number"}
_INTRODUCTION: Final = """\
# Configuration

<!-- Made by `python -m byoci.config.reference`; a test compares the two. -->

The configuration is a TOML file, `byoci.toml`. `byoci init` writes one; `byoci config` shows every value and where it
came from. The first of these that exists counts, whole; files are never mixed:

1. the file that `--config` names,
2. the file that `$BYOCI_CONFIG` names,
3. `byoci.toml` in the working folder, if it belongs to you or root and no other user can write to it,
4. `$XDG_CONFIG_HOME/byoci/byoci.toml`, by default `~/.config/byoci/byoci.toml`,
5. `$BYOCI_HOME/NAMESPACE/definition/byoci.toml`, the definition that `byoci-install` made,
6. `byoci/byoci.toml` in the folders of `$XDG_CONFIG_DIRS`, by default `/etc/xdg`,
7. `/etc/byoci/byoci.toml`.

State lives under `$BYOCI_HOME/NAMESPACE`, by default `~/.byoci/NAMESPACE`.

```toml
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"

[project.hello]
vcs = "git"
trunk = "~/src/hello.git;main"
tests.command = "make check"

[namespace.production.project.hello]
trunk = "ssh://git.example.com/hello.git;main"
```

## Namespaces

A namespace ({namespaces}) has its own state; `--namespace` chooses one, and the default is testing. What stands under
`[namespace.NAME]` is laid over the rest when NAME is chosen: tables merge, any other value, lists too, replaces the one
below it. The overlays of all namespaces are checked, whichever is chosen.

## Values

- A *size* is a number of bytes or a text such as `"512M"`, `"2G"` or `"1.5GiB"`; K, M, G and T are powers of 1024.
- A *time* is a number of seconds or a text such as `"90s"`, `"30m"` or `"1h"`.
- A *path* may start with `~`, and a relative one starts from the file's folder.
- A NAME has letters, digits and `. _ + -`, at most 100, and starts with neither `.` nor `-`.

Unknown keys are refused, with the nearest known name.

## Keys
"""
_OLDER: Final = (
    "",
    "## Names of the older byoci",
    "",
    "They are refused with their successors, or with the reason why they have none. Their list is",
    "[older-options.md](older-options.md); [migrating.md](migrating.md) tells how a configuration is brought over.",
)


class Entry(NamedTuple):
    """A key of the configuration: dotted, its type in words, its default as TOML ("" where it must be set)."""

    key: str
    type: str
    default: str
    meaning: str


def reference() -> list[Entry]:
    """All keys in the schema's order; NAME stands for a name of the writer's choice."""
    return [
        Entry(".".join(path), _type(field), _default(field), field.description or "") for path, field in known_keys()
    ]


def _type(field: FieldInfo) -> str:
    kind = kind_of(field)
    return kind.words if kind is not None else _words(field.annotation)


def _words(annotation: object) -> str:
    arguments = [one for one in get_args(annotation) if one not in (None, types.NoneType, Ellipsis)]
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _words(arguments[0])
    if origin is tuple:
        return "list of texts"
    if origin is Mapping:
        return "table of texts"
    if hasattr(annotation, "__metadata__"):
        return _words(arguments[0])
    return _WORDS[annotation]  # type: ignore[index]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    kind = kind_of(field)
    return _toml(kind.write(value) if kind and kind.write and value is not None else value)


def _toml(value: object) -> str:
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case tuple() | list():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case dict():
            return "{}"
    return str(value)


def render_reference() -> str:
    """The text of docs/configuration.md."""
    named = ", ".join(NAMESPACES[:-1]) + f" or {NAMESPACES[-1]}"
    return "\n".join([_INTRODUCTION.replace("{namespaces}", named), *_sections(), *_OLDER]) + "\n"


def _sections() -> Iterator[str]:
    section = ""
    for entry in reference():
        head, _, rest = entry.key.partition(".")
        name = f"{head}.NAME" if rest.startswith("NAME.") else head
        if name != section:
            yield from (f"### `[{name}]`", "") if not section else ("", f"### `[{name}]`", "")
            yield from ("| key | type | default | meaning |", "|---|---|---|---|")
            section = name
        default = f"`{entry.default}`" if entry.default not in ("", "unset") else entry.default or "must be set"
        meaning = entry.meaning.replace("|", "\\|")
        yield f"| `{entry.key.removeprefix(f'{name}.')}` | {entry.type} | {default} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(render_reference())
