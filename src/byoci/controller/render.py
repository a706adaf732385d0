"""The remote API's answers as bytes: JSON, or XML with the element names that Jenkins makes of classes and fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from byoci.controller.beans import Plain

# What XML 1.0 cannot hold, not even as a reference.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")


def as_json(value: Plain, *, pretty: bool = False) -> bytes:
    """The answer of `api/json`."""
    separators = (", ", " : ") if pretty else (",", ":")
    return json.dumps(value, indent=2 if pretty else None, separators=separators).encode()


def as_xml(value: Plain) -> bytes:
    """The answer of `api/xml`: the root is called as the class is, a list's elements as its field in the singular."""
    kind = value.get("_class", "") if isinstance(value, Mapping) else ""
    name = str(kind).rpartition(".")[2].rpartition("$")[2] or "result"
    parts: list[str] = []
    _write(name[0].lower() + name[1:], value, parts)
    return "".join(parts).encode()


def _write(tag: str, value: Plain, parts: list[str]) -> None:
    tag = _NOT_NAME.sub("_", tag)
    tag = tag if tag[:1].isalpha() or tag[:1] == "_" else f"_{tag}"
    if isinstance(value, Mapping):
        kind = value.get("_class")
        attribute = f" _class={quoteattr(_text(kind))}" if kind else ""
        parts.append(f"<{tag}{attribute}>")
        for name, item in value.items():
            if isinstance(item, Sequence) and not isinstance(item, str):
                for element in item:
                    _write(_singular(name), element, parts)
            elif name != "_class" and item is not None:
                _write(name, item, parts)
        parts.append(f"</{tag}>")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts.append(f"<{tag}>")
        for element in value:
            _write(_singular(tag), element, parts)
        parts.append(f"</{tag}>")
    else:
        parts.append(f"<{tag}>{escape(_text(value))}</{tag}>")


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return name[:-3] + "y"
    return name[:-1] if name.endswith("s") and len(name) > 1 else name


def _text(value: Plain) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe_text(str(value))


def safe_text(text: str) -> str:
    """Text without what XML and JSON cannot hold; each such character is shown as one that is not known."""
    return _NOT_XML.sub("\ufffd", text)
