"""Signing in and out with a browser, for all servers: a cookie that scripts cannot read and other sites cannot send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import RedirectResponse

from byoci.identity.access import SESSION

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.responses import Response

    from byoci.identity.access import Access

HINT: Final = "byoci up names a file with the administrator's token; byoci controller user makes passwords."


def to_form(start: str, asked: str) -> Response:
    """Who is not signed in is asked to, and comes back to what he wanted to see.

    start  the path of the server's own address, with a slash at its end
    """
    return RedirectResponse(f"{start}login?from={quote(asked, safe='')}", status_code=303)


def target(start: str, wanted: str) -> str:
    """Where to go after signing in: a page of the server's own, whatever the address says."""
    odd = "\\" in wanted or any(ord(char) < 33 for char in wanted) or wanted[1:2] == "/"
    return wanted if wanted.startswith(start) and wanted.startswith("/") and not odd else start


def let_in(access: Access, word: str, start: str, wanted: str, *, secure: bool) -> Response:
    """The browser is given the session's word, and goes where it wanted to. `secure`: people come over https."""
    answer = RedirectResponse(target(start, wanted), status_code=303)
    answer.set_cookie(access.cookie, word, max_age=SESSION, path=start, httponly=True, samesite="lax", secure=secure)
    return answer


def let_out(access: Access, start: str) -> Response:
    """The browser forgets the word, and what it has seen."""
    answer = RedirectResponse(f"{start}login", status_code=303)
    answer.delete_cookie(access.cookie, path=start, httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def is_own(headers: Mapping[str, str], origins: Collection[str]) -> bool:
    """Whether a post comes from no other site's page, as far as a browser tells where it comes from."""
    origin = headers.get("origin")
    return (origin is None or origin in origins) and headers.get("sec-fetch-site", "none") in ("none", "same-origin")
