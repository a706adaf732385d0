"""Small pieces of HTML that lists have by the hundred: made once each."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from markupsafe import Markup, escape

from byoci.web import words

_RING: Final = '<circle class="ring" cx="8" cy="8" r="6.2"/>'
_SHAPES: Final = {
    "success": '<circle cx="8" cy="8" r="7.5"/><path d="M4.5 8.3l2.4 2.4L11.6 6"/>',
    "unstable": '<path class="body" d="M8 1l7.3 13.5H.7z"/><path d="M8 6v4M8 12.2v.3"/>',
    "failure": '<circle cx="8" cy="8" r="7.5"/><path d="M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6"/>',
    "aborted": '<rect x=".5" y=".5" width="15" height="15" rx="3"/><path d="M5.5 5.5h5v5h-5z"/>',
    "running": f'{_RING}<path class="arc" d="M8 1.8a6.2 6.2 0 0 1 6.2 6.2"/>',
    "waiting": f'{_RING}<path class="arc" d="M8 4.5V8l2.5 1.6"/>',
    "not_built": f'{_RING}<path class="arc" d="M5 8h6"/>',
    "disabled": f'{_RING}<path class="arc" d="M5 8h6"/>',
}


@lru_cache(maxsize=64)
def icon(state: str) -> Markup:
    """A state as a shape of its own, so that nothing is told by colour alone; a word stands beside it."""
    start = f'<svg class="icon is-{state}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">'
    return Markup(f"{start}{_SHAPES[state]}</svg>")  # noqa: S704 - all of it is ours


@lru_cache(maxsize=256)
def badge(state: str, word: str) -> Markup:
    """A state with its word."""
    return Markup(f'<span class="badge is-{state}">{icon(state)}{escape(word)}</span>')  # noqa: S704 - escaped


@lru_cache(maxsize=4096)
def _when(seconds: int) -> Markup:
    return Markup(  # noqa: S704 - digits and signs only
        f'<time datetime="{words.machine_moment(seconds)}">{words.moment(seconds)}</time>'
    )


def when(seconds: float) -> Markup:
    """A time, which the script tells in the reader's own words."""
    return _when(int(seconds))
