"""Connections on which nothing is asked: for some time only, and only so many, since each takes a descriptor.

Where there are too many, the one that has waited longest is closed: who really has a question asks it at once.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

_PATIENCE: Final = 20.0  # seconds until a request's head must be there
_MOST: Final = 500  # connections that wait
_SHARE: Final = 4  # one in so many of the descriptors that this process may have


def most() -> int:
    """How many connections may wait."""
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _SHARE)


def at_once() -> int:
    """How many are taken in one turn: before the next one, those that are too many are closed."""
    return max(1, most() // 2)


class Waiting(H11Protocol):
    """uvicorn's own protocol, with these limits."""

    _all: Final[dict[Waiting, None]] = {}  # those that wait, the longest first
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._wait()
        if len(self._all) > most():
            next(iter(self._all))._close()  # noqa: SLF001 - of this class

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        """See `H11Protocol`."""
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
