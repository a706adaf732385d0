"""Configurations as a server of the family tells them again: which differences are its own, and which count."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

_DECLARATION: Final = re.compile(r"^\s*<\?xml[^>]*\?>")
_UNSET: Final = ("", "false")


def read(text: str) -> ET.Element | None:
    """A config.xml; None where it is no XML. Jenkins says version 1.1, which no library of Python's reads."""
    try:
        return ET.fromstring(_DECLARATION.sub("", text, count=1).strip())  # noqa: S314 - the site's own server
    except ET.ParseError:
        return None


def same(there: str, wanted: str) -> bool:
    """Whether a server's config.xml is the wanted one.

    What the server adds does not count: versions of plugins, and fields that are empty or false; at the top it may
    leave such out as well, and has an order of its own.
    """
    old, new = read(there), read(wanted)
    if old is None or new is None:
        return there.strip() == wanted.strip()
    for root in (old, new):
        root[:] = sorted((child for child in root if not _is_unset(child)), key=lambda child: child.tag)
    return _same(old, new)


def _same(old: ET.Element, new: ET.Element) -> bool:
    if old.tag != new.tag or _attributes(old) != _attributes(new):
        return False
    if not len(old) and not len(new):
        return (old.text or "") == (new.text or "")
    left = list(old)
    for child in new:
        while left and left[0].tag != child.tag and _is_unset(left[0]):
            left.pop(0)
        if not left or not _same(left.pop(0), child):
            return False
    return all(map(_is_unset, left))


def _is_unset(element: ET.Element) -> bool:
    return not len(element) and not _attributes(element) and (element.text or "").strip() in _UNSET


def _attributes(element: ET.Element) -> dict[str, str]:
    return {name: value for name, value in element.items() if name != "plugin"}
