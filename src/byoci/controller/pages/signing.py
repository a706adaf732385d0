"""Signing in and out with a browser: a form, and a cookie that scripts cannot read and other sites cannot send.

Posts from pages carry a crumb, made for that session alone. Nothing here reveals whether a name is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import RedirectResponse

from byoci.identity.access import SESSION
from byoci.controller.pages import frame
from byoci.identity.throttle import TooManyTriesError

if TYPE_CHECKING:
    from starlette.responses import Response

    from byoci.controller.api.http import Call


def form(call: Call, *, wrong: str = "", status: int = 200) -> Response:
    """`login?from=`: the form."""
    return frame.render(
        call,
        "signin.html",
        status=status,
        target=_target(call),
        name=call.form.get("name", "")[:200],
        wrong=wrong,
        label="Password or API token",
        hint="byoci up names a file with the administrator's token; byoci controller user makes passwords.",
    )


async def sign_in(call: Call) -> Response:
    """The form, filled in."""
    name, secret = call.form.get("name", "").strip(), call.form.get("secret", "")
    try:
        word = await call.access.sign_in(name, secret, call.peer)
    except TooManyTriesError as error:
        answer = form(call, wrong=f"Too many wrong passwords. {error.resolution}", status=429)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if word is None:
        return form(call, wrong="That name and that password or token do not belong together.", status=403)
    if call.session:
        call.access.sign_out(call.session)
    answer = RedirectResponse(_target(call), status_code=303)
    start, secure = frame.start_of(call), call.controller.url.startswith("https:")
    answer.set_cookie(
        call.access.cookie, word, max_age=SESSION, path=start, httponly=True, samesite="lax", secure=secure
    )
    return answer


def sign_out(call: Call) -> Response:
    """`logout`."""
    if call.session:
        call.access.sign_out(call.session)
    answer = RedirectResponse(f"{frame.start_of(call)}login", status_code=303)
    answer.delete_cookie(call.access.cookie, path=frame.start_of(call), httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def to_form(call: Call) -> Response:
    """Who is not signed in is asked to, and comes back to what he wanted to see."""
    return RedirectResponse(f"{frame.start_of(call)}login?from={quote(call.asked, safe='')}", status_code=303)


def _target(call: Call) -> str:
    """Where to go after signing in: a page of the controller's own, whatever the address says."""
    start, target = frame.start_of(call), call.value("from")
    odd = "\\" in target or any(ord(char) < 33 for char in target) or target[1:2] == "/"
    return target if target.startswith(start) and target.startswith("/") and not odd else start
