"""A project's landings as a feed: Atom, RFC 4287. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from byoci.web.words import machine_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from byoci.monitor.board import Tile
    from byoci.monitor.values import Started

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
_LONGEST: Final = 4000  # characters of reasons


def xml_text(text: str) -> str:
    """The same without what no XML may hold, however it is escaped."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def feed(tile: Tile, landings: Sequence[Started], url: str) -> str:
    """The landings that have ended, the newest first.

    url  the dashboard's address, with a slash at its end; what names an entry begins with it
    """
    name = quote(xml_text(tile.project), safe="")
    over = [item for item in landings if item.ended and item.outcome]
    latest = max((item.ended or 0.0 for item in over), default=0.0)
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{_text(tile.project)}: landings</title><id>{_text(f'{url}feed/{name}')}</id>"
        f"<updated>{machine_moment(latest)}</updated><author><name>byoci</name></author>"
        f'<link rel="self" href={_address(f"{url}feed/{name}")}/>'
        f'<link rel="alternate" type="text/html" href={_address(f"{url}project/{name}")}/>\n'
    )
    return head + "".join(_entry(item, f"{url}feed/{name}", f"{url}project/{name}") for item in over) + "</feed>\n"


def _entry(item: Started, feed_url: str, page: str) -> str:
    assert item.outcome is not None
    return "".join(
        (
            f"<entry><title>{_text(f'{item.outcome.value}: {item.proposal} {item.title}')}</title>",
            f"<id>{_text(f'{feed_url}#{item.id}')}</id><updated>{machine_moment(item.ended or 0.0)}</updated>",
            f"<link href={_address(page)}/>",
            *(f"<content>{_text(text)}</content>" for text in _told(item)),
            "</entry>\n",
        )
    )


def _told(item: Started) -> Iterator[str]:
    lines = [*([f"Revision {item.revision}"] if item.revision else []), *item.reasons]
    if lines:
        yield "\n".join(lines)[:_LONGEST]


def _text(text: str) -> str:
    return escape(xml_text(text))


def _address(text: str) -> str:
    return quoteattr(xml_text(text))
