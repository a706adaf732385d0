"""Signing in and out with a browser: the form, and what it leads to.

Posts from pages carry a crumb, made for that session alone. Nothing here reveals whether a name is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.controller.pages import frame
from byoci.identity.throttle import TooManyTriesError
from byoci.web import signing

if TYPE_CHECKING:
    from starlette.responses import Response

    from byoci.controller.api.http import Call


def form(call: Call, *, wrong: str = "", status: int = 200) -> Response:
    """`login?from=`: the form."""
    return frame.render(
        call,
        "signin.html",
        status=status,
        target=signing.target(frame.start_of(call), call.value("from")),
        name=call.form.get("name", "")[:200],
        wrong=wrong,
        label="Password or API token",
        hint=signing.HINT,
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
    secure = call.controller.url.startswith("https:")
    return signing.let_in(call.access, word, frame.start_of(call), call.value("from"), secure=secure)


def sign_out(call: Call) -> Response:
    """`logout`."""
    if call.session:
        call.access.sign_out(call.session)
    return signing.let_out(call.access, frame.start_of(call))


def to_form(call: Call) -> Response:
    """Who is not signed in is asked to, and comes back to what he wanted to see."""
    return signing.to_form(frame.start_of(call), call.asked)
