"""The text of byoci.toml from the wishes of all namespaces: the same wishes give the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.config.problems import dotted
from byoci.config.writing import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from byoci.config.migrate.wishes import Key, Wish, Wishes

LATER: Final = "# later: "
_HEAD: Final = f"""\
# Made by `byoci migrate` from the configuration of an older byoci. `byoci config` shows every value.
# What begins with "{LATER.strip()}" is for a byoci that knows it: this version does not.
"""
_KEPT: Final = "# What the older byoci had, and what has no key yet:"
_NAMED: Final = frozenset(("project", "worker", "image", "machine", "team"))
_ORDER: Final = ("site", "controller", "project", "worker", "image", "machine")
_KEYS: Final = (
    *("landing.fullname", "landing.email", "landing.user", "engine", "url"),
    *("vcs", "forge", "trunk", "tests.command", "setup.command", "setup.network", "setup.credentials", "worker"),
    *("backend", "image", "memory", "disk", "base", "packages"),
    *("definition.kind", "definition.branch", "host.definition.dir", "secrets.kind", "secrets.branch"),
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The file, and the wish that each of its lines (from 1) was made from."""

    text: str
    lines: Mapping[int, Wish]


def render(made: Mapping[str, Wishes], kept: Iterable[tuple[str, str]]) -> Rendered:
    """The file.

    made  namespace → what it wishes for; what all of them have stands outside of the namespaces, as the first has it
    kept  older options that have no key yet, with their values
    """
    first = next(iter(made))
    common = {key for key in made[first].all if all(key in one.all for one in made.values())}
    lines: list[tuple[str, Wish | None]] = [(line, None) for line in _HEAD.splitlines()]
    lines += _tables((), [made[first].all[key] for key in common])
    for namespace, one in made.items():
        own = [wish for key, wish in one.all.items() if key not in common or _differs(wish, made[first].all[key])]
        lines += _tables(("namespace", namespace), own)
    rows = [f"#   {name} = {quoted(value)}" for name, value in kept]
    lines += [(line, None) for line in (["", _KEPT, *rows] if rows else [])]
    found = {number: wish for number, (_, wish) in enumerate(lines, 1) if wish is not None}
    return Rendered("".join(f"{line}\n" for line, _ in lines), found)


def _differs(wish: Wish, other: Wish) -> bool:
    return (wish.value, wish.here) != (other.value, other.here)


def _tables(prefix: Key, wishes: Iterable[Wish]) -> Iterator[tuple[str, Wish | None]]:
    """The tables that the wishes are of, each behind an empty line."""
    tables: dict[Key, list[Wish]] = {}
    for wish in sorted(wishes, key=_place):
        tables.setdefault(wish.key[: _depth(wish.key)], []).append(wish)
    for table, found in tables.items():
        here = any(wish.here for wish in found)
        yield "", None
        yield f"{'' if here else LATER}[{dotted((*prefix, *table))}]", None
        for wish in found:
            if wish.value != ():
                key = dotted(wish.key[len(table) :])
                yield f"{'' if wish.here else LATER}{key} = {_toml(wish.value)}", wish


def _depth(key: Sequence[str]) -> int:
    return 2 if key[0] in _NAMED else 1


def _place(wish: Wish) -> tuple[int, str, int, Key]:
    """Where a wish stands: by section, by name, then in the order in which people read the keys."""
    depth = _depth(wish.key)
    name = wish.key[1] if depth == 2 else ""
    rest = ".".join(wish.key[depth:])
    return _ORDER.index(wish.key[0]), name, _KEYS.index(rest) if rest in _KEYS else -1, wish.key


def _toml(value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(quoted(one) for one in value)}]"
    return quoted(value)
