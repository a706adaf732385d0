"""What is sent to a server: bodies in bounds of size and time, and forms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from byoci.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

_FORM: Final = "application/x-www-form-urlencoded"


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """A request's body. Raises `UsageError` for one that is too large, or takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise UsageError(f"a request of more than {most} bytes is too large")
    except TimeoutError as error:
        raise UsageError(f"the request was not there within {seconds:g} seconds") from error
    return bytes(body)


def read_form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form; none where the body is none."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return {}
    return read_fields(body.decode("utf-8", "replace"))


def read_fields(text: str) -> dict[str, str]:
    """Names and values of a form or of an address. Raises `UsageError` where they are no UTF-8, or very many."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=10_000))
    except ValueError as error:
        raise UsageError("the parameters cannot be read", details=str(error)) from error
