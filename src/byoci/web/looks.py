"""Pages as bytes: templates with everything escaped, files that never change, and the headers that keep pages safe.

Nothing comes from elsewhere: no fonts, no scripts. A page's own script and style are files of ours, so that whatever
slipped through the escaping still could not run.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from byoci.web import pieces, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

_HERE: Final = Path(__file__).parent
_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie, Authorization",
}


@functools.cache
def statics() -> Mapping[str, tuple[bytes, str]]:
    """The files that pages name: name → content and kind."""
    return {path.name: (path.read_bytes(), _KINDS[path.suffix[1:]]) for path in sorted((_HERE / "static").iterdir())}


@functools.cache
def edition() -> str:
    """Names what the files hold: another one after every change of them."""
    digest = hashlib.sha256()
    for content, _ in statics().values():
        digest.update(content)
    return digest.hexdigest()[:12]


def static(name: str, given: str) -> Response | None:
    """A file that pages name by `static/EDITION/NAME`; None where there is none."""
    if name not in statics():
        return None
    content, kind = statics()[name]
    headers = {"Cache-Control": _FOR_EVER if given == edition() else "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=kind, headers=headers)


def environment(*folders: Path) -> Environment:
    """Templates in `folders`, and those that all pages share."""
    from jinja2 import (  # not before there is a page to make
        ChoiceLoader,
        Environment,
        FileSystemLoader,
        StrictUndefined,
    )

    loaders = [FileSystemLoader(folder) for folder in (*folders, _HERE / "templates")]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"duration": words.duration, "size": words.size, "plural": words.plural}
    made.globals |= {"edition": edition(), "icon": pieces.icon, "badge": pieces.badge, "when": pieces.when}
    return made


def page(body: str, status: int = 200, etag: str = "") -> Response:
    """A page that was rendered."""
    headers = {**HEADERS, "ETag": etag} if etag else {**HEADERS, "Cache-Control": "no-store"}
    return Response(body.encode("utf-8", "replace"), status, headers=headers, media_type="text/html; charset=utf-8")


def unchanged(etag: str) -> Response:
    """What a browser has already."""
    return Response(b"", 304, headers={**HEADERS, "ETag": etag})


def has(etag: str, if_none_match: str) -> bool:
    """Whether a browser says that it has that."""
    return etag in {part.strip() for part in if_none_match.split(",")}
