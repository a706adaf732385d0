"""Watch one command in its sandbox: hand its output on, and end it at its limits."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

from byoci.worker.base import Exceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.worker.base import Limits
    from byoci.worker.launch import Sandbox

_CHUNK: Final = 65536
_FIRST_CHECK: Final = 0.2  # seconds until the first look at what a worker uses
_CHECK_SECONDS: Final = 0.5


class Supervision:
    """The watch over one sandbox.

    output  the reading end of the pipe that the sandbox writes to
    check   asked every now and then which limit was exceeded
    """

    def __init__(
        self, sandbox: Sandbox, output: int, limits: Limits, check: Callable[[], Exceeded | None] | None = None
    ) -> None:
        self._sandbox = sandbox
        self._output = output
        self._limits = limits
        self._check = check
        self._written = 0
        self._exceeded: Exceeded | None = None

    def watch(self, on_output: Callable[[bytes], None]) -> Exceeded | None:
        """Return when nothing is left of the sandbox and its output was handed on; tells the limit that ended it."""
        deadline = time.monotonic() + self._limits.seconds
        next_check = time.monotonic() + _FIRST_CHECK
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        poll.register(self._sandbox, select.POLLIN)
        ended = False
        while not ended:
            now = time.monotonic()
            if now >= deadline:
                self._end(Exceeded.TIME)
            elif self._check is not None and now >= next_check:
                self._end(self._check())
                # What is costly to look at is looked at less often.
                next_check = time.monotonic() + max(_CHECK_SECONDS, 10 * (time.monotonic() - now))
            wake = min(deadline, next_check) if self._check is not None else deadline
            patience = None if self._exceeded else max(0.0, wake - time.monotonic()) * 1000 + 1
            for fd, _ in poll.poll(patience):
                if fd == self._output:
                    if not self._read(on_output):
                        poll.unregister(self._output)
                else:
                    ended = True
        while self._read(on_output):  # nobody is left who could write more: this ends
            pass
        return self._exceeded

    def _end(self, limit: Exceeded | None) -> None:
        if limit is not None and self._exceeded is None:
            self._exceeded = limit
            self._sandbox.kill()

    def _read(self, on_output: Callable[[bytes], None]) -> bool:
        chunk = os.read(self._output, _CHUNK)
        if not chunk:
            return False
        room = self._limits.output - self._written
        self._written += len(chunk)
        if room > 0:
            on_output(chunk[:room])
        if self._written > self._limits.output:
            self._end(Exceeded.OUTPUT)
        return True
