"""Connections: of those on which nothing is asked only so many, for some time only; and what a request may cost.

Each connection takes a descriptor. Where too many wait, the one that has waited longest is closed: who really has a
question asks it at once.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

_PATIENCE: Final = 20.0  # seconds until a request's head must be there
_MOST: Final = 500  # connections that wait
_SHARE: Final = 4  # one in so many of the descriptors that this process may have
_MOST_HEAD: Final = 1 << 16  # bytes of a request that are none of its body's
_MOST_FRAMES: Final = 16  # such bytes for each byte of a body that comes in pieces


def most() -> int:
    """How many connections may wait."""
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE)


def at_once() -> int:
    """How many are taken in one turn: before the next one, those that are too many are closed."""
    return max(1, most() // 2)


class _Whole:
    """A transport on which the head of an answer waits for what comes after it: to send costs more than to make an
    answer, and wakes the one who reads. An answer in pieces must not be long about its first one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, or have it wait."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._head = data
            return
        self._transport.write(data)

    def close(self) -> None:
        """As the transport's."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send what waits."""
        if self._head:
            self.write(b"")


class Waiting(HttpToolsProtocol):
    """uvicorn's own protocol, with these limits."""

    _all: Final[dict[Waiting, None]] = {}  # those that wait, the longest first
    _closing: asyncio.TimerHandle | None = None
    _framing = 0  # bytes of the request that have come, but for those of its body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(cast("asyncio.Transport", _Whole(transport)))
        self._wait()
        if len(self._all) > most():
            next(iter(self._all))._close()  # noqa: SLF001 - of this class

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`. What the parser keeps until it is whole, names and values, has no end of its own."""
        self._framing += len(data)
        super().data_received(data)
        if self._framing > _MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")
        if self.cycle and not self.cycle.response_complete:
            self._wait_no_more()

    def on_body(self, body: bytes) -> None:
        """See `HttpToolsProtocol`."""
        self._framing = max(0, self._framing - (1 + _MOST_FRAMES) * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        self._framing = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """See `HttpToolsProtocol`."""
        cast("_Whole", self.transport).flush()  # the answer to a HEAD is nothing else
        self._wait_no_more()
        self._wait()
        super().on_response_complete()
        cycle = cast("Any", self.cycle)
        if self.transport.is_closing() or not cycle.response_complete:  # what came meanwhile is the next request
            self._wait_no_more()

    def _wait(self) -> None:
        self._all[self] = None
        self._closing = self.loop.call_later(_PATIENCE, self._close)

    def _wait_no_more(self) -> None:
        self._all.pop(self, None)
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _close(self) -> None:
        self._wait_no_more()
        self.transport.abort()
