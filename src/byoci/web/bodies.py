"""What is sent to a server: bodies in bounds of size and time, and forms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from byoci.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request

_FORM: Final = "application/x-www-form-urlencoded"


class TooLargeError(UsageError):
    """A body is longer than it may be."""


class TooSlowError(UsageError):
    """A body was not there in time."""


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """A request's body. Raises `TooLargeError` and `TooSlowError`."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise TooLargeError(f"a request of more than {most} bytes is too large")
    except TimeoutError as error:
        raise TooSlowError(f"the request was not there within {seconds:g} seconds") from error
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
