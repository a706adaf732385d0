"""What an agent tells, checked for its shape: an agent is a machine of others, and may tell anything.

The values are not to be trusted any more than before; but they are what the rest of the controller takes them for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.agentside.conditions import RESULTS
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEPEST: Final = 50  # conditions within conditions
_WORDS: Final = 2000  # characters of why a build was lost


def checked_message(line: bytes) -> dict[str, Any]:
    """The message that an agent's line is. Raises `UnavailableError` for nonsense."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnavailableError("the agent tells what is no message", details=str(error)[:200]) from error
    if not isinstance(message, dict) or not all(
        is_right(message[name]) for name, is_right in _MESSAGE.items() if name in message
    ):
        raise UnavailableError("the agent tells what makes no sense", details=repr(line[:200]))
    return message


def checked_end(ended: Any) -> dict[str, Any]:
    """What an agent told of an end, where it has the shape that it should have; otherwise that the build was lost."""
    if not isinstance(ended, dict):
        return _nonsense()
    if "result" not in ended:
        told = ended.get("lost") or ended.get("error")
        return {"lost": told[:_WORDS] if isinstance(told, str) else _nonsense()["lost"]}
    return ended if all(is_right(ended.get(name)) for name, is_right in _SHAPE.items()) else _nonsense()


def _nonsense() -> dict[str, Any]:
    return {"lost": "what the agent told of its end makes no sense"}


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_path(value: Any) -> bool:
    """Whether it leads down from where it begins."""
    return _is_text(value) and "\0" not in value and not {"", ".", ".."} & set(value.split("/"))


def _is_paths(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_path, value))


def _is_prints(value: Any) -> bool:
    pairs = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    return pairs and all(_is_path(path) and _is_text(digest) for path, digest in value)


def _all(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _is_condition(value: Any, depth: int = 0) -> bool:
    """Whether it is one that is settled; see the agent's `conditions`."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return False
    operands = value.get("operands")
    kind = value.get("kind")
    if kind in ("and", "or", "not") and isinstance(operands, list):
        return (kind != "not" or len(operands) == 1) and all(_is_condition(one, depth + 1) for one in operands)
    if kind == "status":
        return value.get("best") in RESULTS and value.get("worst") in RESULTS
    return kind in ("always", "never") or (kind == "failed" and _is_text(value.get("why")))


_SHAPE: Final[dict[str, Callable[[Any], bool]]] = {
    "result": lambda value: value in RESULTS,
    "reason": _is_text,
    "size": _is_size,
    "files": _all(_is_paths),
    "prints": _all(_is_prints),
    "variables": _is_texts,
    "workspace": _is_text,
    "texts": _is_texts,
    "conditions": _all(_is_condition),
    "changes": _is_text,
}


def _is_ask(value: Any) -> bool:
    parts = isinstance(value, dict) and all(map(_is_texts, (value.get("variables"), value.get("texts"))))
    return parts and _is_size(value.get("trigger"))


_MESSAGE: Final[dict[str, Callable[[Any], bool]]] = {
    "build": lambda value: _is_text(value) and re.fullmatch("[0-9]{1,18}", value) is not None,
    "bytes": _is_size,
    "log": _is_size,
    "file": lambda value: _is_path(value) and re.match("[0-9]{1,4}/", value) is not None,
    "ask": _is_ask,
}
