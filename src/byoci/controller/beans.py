"""What the remote API tells of a thing: its `_class` and fields, and which of them a request asked for.

A request says how much it wants in one of two ways. `depth=N`: a thing that is asked for tells everything; things
within it tell everything down to N levels, and below that only what identifies them. `tree=a,b[c]{0,10}`: exactly
these fields, `*` for all that a level has, `{FROM,TO}` for a part of a list.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from byoci.errors import UsageError

Plain: TypeAlias = "str | int | float | bool | Sequence[Plain] | Mapping[str, Plain] | None"
Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Bean | Callable[[], Value] | None"
"""A callable one is what it gives, and is called only where a request wants it."""

_DEEPEST: Final = 24
_LONGEST: Final = 20_000
_OFTEN: Final = 200  # characters of a tree that is worth to be kept
_MOST_DEPTH: Final = 10
_PATIENCE: Final = 5.0  # seconds for one answer
_deadline: ContextVar[float] = ContextVar("_deadline", default=float("inf"))  # of `time.monotonic`
_NAME: Final = re.compile(r"\*|[A-Za-z_][A-Za-z0-9_]*")
_RANGE: Final = re.compile(r"\{([0-9]{0,9})(,?)([0-9]{0,9})\}")


def _nothing() -> Mapping[str, Value]:
    return {}


@dataclass(frozen=True, slots=True)
class Bean:
    """A thing that the API tells of.

    kind   what is told as `_class`: the name of Jenkins' own class, by which clients know what it is; "" for none
    brief  what identifies it; told wherever it appears
    full   makes the rest; called where the request reaches it
    inline whether that is told wherever it appears, too
    rare   fields that are told only where a tree names them, each made when it is
    """

    kind: str
    brief: Mapping[str, Value] = field(default_factory=dict)
    full: Callable[[], Mapping[str, Value]] = _nothing
    rare: Mapping[str, Callable[[], Value]] = field(default_factory=dict)
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """Fields that a request names, with what it wants of each; `*` is all that have no name of their own here.

    part  the part of a list that is wanted
    """

    fields: Mapping[str, Tree] = field(default_factory=dict)
    part: slice = field(default_factory=lambda: slice(None))


def parse_tree(text: str) -> Tree:
    """The tree that a request's `tree` parameter writes. Raises `UsageError` where it writes none."""
    if len(text) > _LONGEST:
        raise UsageError(f"a tree of {len(text)} characters is too long")
    return _parsed_again(text) if len(text) <= _OFTEN else _parsed(text)


def _parsed(text: str) -> Tree:
    fields, end = _tree_fields(text, 0, 0)
    if end != len(text):
        raise _wrong_tree(text, end)
    return Tree(fields)


_parsed_again = functools.lru_cache(100)(_parsed)  # clients that wait for something ask for the same again and again


def _tree_fields(text: str, at: int, depth: int) -> tuple[dict[str, Tree], int]:
    if depth > _DEEPEST:
        raise UsageError("a tree nests too deep")
    fields: dict[str, Tree] = {}
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        match = _NAME.match(text, at)
        if not match:
            raise _wrong_tree(text, at)
        at, part = match.end(), slice(None)
        inner: dict[str, Tree] = {}
        if text[at : at + 1] == "[":
            inner, at = _tree_fields(text, at + 1, depth + 1)
            if text[at : at + 1] != "]":
                raise _wrong_tree(text, at)
            at += 1
        if span := _RANGE.match(text, at):
            part, at = _part(span), span.end()
        before = fields.get(match[0], Tree())
        fields[match[0]] = Tree({**before.fields, **inner}, part)
        if text[at : at + 1] != ",":
            return fields, at
        at += 1


def _part(span: re.Match[str]) -> slice:
    first, comma, last = span.groups()
    start = int(first or 0)
    return slice(start, int(last) if last else None) if comma else slice(start, start + 1)


def _wrong_tree(text: str, at: int) -> UsageError:
    return UsageError(
        "the parameter tree cannot be read",
        details=f"at character {at + 1} of {text[:200]}",
        resolution="Write field names as in: tree=jobs[name,builds[number]{0,10}]",
    )


def select(value: Value, tree: Tree) -> Plain:
    """What `tree` asks of `value`."""
    value = _made(value)
    if isinstance(value, Bean):
        return _select_bean(value, tree)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [select(item, Tree(tree.fields)) for item in value[tree.part]]
    return value


def _select_bean(bean: Bean, tree: Tree) -> Plain:
    told: dict[str, Plain] = {"_class": bean.kind} if bean.kind else {}
    names = tree.fields
    known: Mapping[str, Value] = bean.brief
    if not names:
        return told
    if "*" in names or not names.keys() <= bean.brief.keys():
        known = {**bean.brief, **_all_of(bean)}
    for name in known:
        if name in names:
            told[name] = select(known[name], names[name])
        elif "*" in names:
            told[name] = cut(known[name], 0, names["*"])
    for name in names.keys() & bean.rare.keys():
        told[name] = select(bean.rare[name](), names[name])
    return told


def _all_of(bean: Bean) -> Mapping[str, Value]:
    """The rest of a thing. Raises `UsageError` where there is no time left for this answer."""
    if time.monotonic() > _deadline.get():
        raise UsageError(
            "the answer takes too long",
            details="Things tell of one another, so that each level of depth may be many times as much.",
            resolution="Ask for less: name fields with tree=, or take a lower depth.",
        )
    return bean.full()


def cut(value: Value, depth: int, tree: Tree | None = None) -> Plain:
    """`value` with things inside told in full down to `depth` levels, and below that by what identifies them.

    With a tree, things are told by that instead: `*[name]`.
    """
    value = _made(value)
    if isinstance(value, Bean):
        if tree and tree.fields:
            return _select_bean(value, tree)
        fields = {**value.brief, **_all_of(value)} if depth > 0 or value.inline else value.brief
        told: dict[str, Plain] = {"_class": value.kind} if value.kind else {}
        return told | {name: cut(item, depth - 1) for name, item in fields.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [cut(item, depth, tree) for item in value]
    return value


def _made(value: Value) -> str | int | float | bool | Sequence[Value] | Bean | None:
    while callable(value):
        value = value()
    return value


def answer(bean: Bean, *, tree: str | None, depth: str | None) -> Plain:
    """What a request with these parameters gets of the thing that it names. Nothing else is answered meanwhile."""
    _deadline.set(time.monotonic() + _PATIENCE)
    if tree:
        return select(bean, parse_tree(tree))
    if depth is not None and not re.fullmatch(r"-?[0-9]{1,4}", depth.strip()):
        raise UsageError("the parameter depth is no number", details=depth[:100])
    return cut(bean, min(max(int(depth or 0), 0), _MOST_DEPTH) + 1)
