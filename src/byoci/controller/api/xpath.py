"""The parameter xpath of `api/xml`: of XPath what scripts use, and no more.

A path is `/a/b`, `//b` and the like, with `*`, `.`, `..` and the conditions `[b='text']`, `[@x='text']`, `[b]`, `[N]`,
`[last()]`; at its end `/text()` stands for the texts. `concat(…)` joins the texts of paths and of quoted words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring
from xml.sax.saxutils import escape

from byoci.controller.catalog import MissingError
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 2000
_MOST_STEPS: Final = 20
_MOST_DEEP: Final = 3  # steps //, each of which finds what is below once for each thing that the one before found
_STEP: Final = (
    r"(?:\*|\.\.?|[A-Za-z_][\w.$-]*)(?:\[(?:@?[A-Za-z_]\w*(?:\s*=\s*(?:'[^']*'|\"[^\"]*\"))?|\d{1,6}|last\(\))\])*"
)
_PATH: Final = re.compile(rf"(?:/|//)?{_STEP}(?://?{_STEP})*(?:/text\(\))?")
_CONCAT: Final = re.compile(r"concat\((.*)\)", re.DOTALL)
_WORD: Final = re.compile(rf"\s*(?:'([^']*)'|\"([^\"]*)\"|({_PATH.pattern}))\s*(?:,|$)")
_MOST_WORDS: Final = 20  # in a concat()
_WRAPPER: Final = re.compile(r"[A-Za-z_][\w.-]{0,100}")


def pick(document: bytes, path: str, wrapper: str, exclude: Iterable[str]) -> tuple[bytes, bool]:
    """What `path` finds in a document, and whether that is text; below `wrapper` all of it, otherwise the only one.

    exclude  paths of what is taken out before
    Raises `MissingError` where nothing is found, `UsageError` for what is not known here.
    """
    try:
        root = fromstring(document)  # noqa: S314 - our own answer
    except ParseError as error:
        raise UsageError("the answer is no XML", details=str(error)) from error
    top = Element("top")
    top.append(root)
    for unwanted in exclude:
        gone = set(_find(top, unwanted))
        for parent in list(top.iter()):
            if not gone.isdisjoint(parent):
                parent[:] = [child for child in parent if child not in gone]
    if not path:
        return tostring(root), False
    if joined := _CONCAT.fullmatch(path.strip()):
        return _concat(top, joined[1]).encode(), True
    found_all = _find(top, path)
    if wrapper:
        return _wrapped(found_all, path, wrapper), False
    if not found_all:
        raise MissingError(f"XPath {path[:200]} matched nothing")
    if len(found_all) > 1:
        raise UsageError(
            f"XPath {path[:200]} matched {len(found_all)} nodes", resolution="Name an element for them with wrapper=."
        )
    if path.strip().endswith("/text()"):
        return (found_all[0].text or "").encode(), True
    return tostring(found_all[0]), False


def _find(top: Element, path: str) -> list[Element]:
    path = path.strip()
    if (
        len(path) > _LONGEST
        or not _PATH.fullmatch(path)
        or path.count("/") > _MOST_STEPS
        or path.count("//") > _MOST_DEEP
    ):
        raise UsageError(
            "this XPath is not known to the controller",
            details=path[:200],
            resolution="Use paths as //a/b[c='d']/text() or concat(), or use tree.",
        )
    wants_text = path.endswith("/text()")
    path = path.removesuffix("/text()")
    path = f".{path}" if path.startswith("/") else f"./*/{path}"
    try:
        found = top.findall(path)
    except (SyntaxError, KeyError) as error:
        raise UsageError("this XPath is not known to the controller", details=str(error)) from error
    return [element for element in found if not wants_text or element.text]


def _concat(top: Element, words: str) -> str:
    joined: list[str] = []
    at = 0
    while at < len(words):
        match = _WORD.match(words, at) if len(joined) < _MOST_WORDS else None
        if not match:
            raise UsageError("this concat() is not known to the controller", details=words[:200])
        single, double, path = match.groups()
        if path:
            found = _find(top, path)
            joined.append("".join(found[0].itertext()) if found else "")
        else:
            joined.append(single if single is not None else double)
        at = match.end()
    return "".join(joined)


def _wrapped(found: list[Element], path: str, wrapper: str) -> bytes:
    if not _WRAPPER.fullmatch(wrapper):
        raise UsageError("the parameter wrapper is no element's name", details=wrapper[:100])
    if path.strip().endswith("/text()"):
        return f"<{wrapper}>{escape(''.join(element.text or '' for element in found))}</{wrapper}>".encode()
    outer = Element("outer")
    inner = SubElement(outer, wrapper)
    inner.extend(found)
    return tostring(inner)
