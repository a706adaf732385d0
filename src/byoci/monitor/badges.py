"""A project's state as a small picture for other sites' pages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from byoci.monitor.feeds import xml_text

if TYPE_CHECKING:
    from byoci.monitor.board import Tile

_COLOURS: Final = {  # white on each has a contrast of 4.5 or more
    "success": "#1a7f4b",
    "waiting": "#2f5bd0",
    "running": "#2f5bd0",
    "unstable": "#9a5b00",
    "aborted": "#5b6376",
}
_LONGEST: Final = 40  # characters of a name
_LETTER: Final = 7.0  # pixels, a little more than most letters take


def badge(tile: Tile) -> str:
    """The project's name and how it stands, as SVG."""
    look, word = tile.state
    name = xml_text(tile.project if len(tile.project) <= _LONGEST else f"{tile.project[: _LONGEST - 1]}…")
    left, right = (round(len(text) * _LETTER + 12) for text in (name, word))
    text = 'fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11" text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img"'
        f" aria-label={quoteattr(f'{name}: {word}')}><title>{escape(f'{name}: {word}')}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="4"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#3b4254"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[look]}"/></g>'
        f'<text x="{left / 2}" y="14" {text}>{escape(name)}</text>'
        f'<text x="{left + right / 2}" y="14" {text}>{escape(word)}</text></svg>\n'
    )
