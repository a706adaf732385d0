"""What is being done, on standard error: in a terminal one line that keeps changing, elsewhere a line each."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, TextIO

from byoci.log import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_TELL_SECONDS: Final = 2  # what takes less is not timed


class Status:
    """The line of one stream.

    stream  asked for each time, since standard error can be another one later
    """

    def __init__(self, stream: Callable[[], TextIO] = lambda: sys.stderr) -> None:
        self._stream = stream
        self._text = ""
        self._since = 0.0
        self._lock = threading.Lock()
        self._ticker: threading.Thread | None = None
        self.lasting = False
        """Whether every line stays, also in a terminal, because other output comes between them."""

    def tell(self, text: str) -> None:
        """Say what is being done from now on."""
        text = shown(text)
        with self._lock:
            if self.lasting or not self._is_terminal():
                self._write(f"{text}\n")
                return
            self._text, self._since = text, time.monotonic()
            self._draw()
            if self._ticker is None:
                self._ticker = threading.Thread(target=self._tick, daemon=True)
                self._ticker.start()

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        with self._lock:
            if self._text:
                self._text = ""
                self._write("\r\x1b[K")

    def _is_terminal(self) -> bool:
        stream = self._stream()
        return stream is not None and stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")

    def _tick(self) -> None:
        while True:
            time.sleep(1)
            with self._lock:
                if self._text:
                    self._draw()

    def _draw(self) -> None:
        seconds = int(time.monotonic() - self._since)
        text = f"{self._text} …" + (f" {seconds} s" if seconds >= _TELL_SECONDS else "")
        # The cursor goes back to the start: whatever else is printed takes the line's place.
        self._write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}\r")

    def _write(self, text: str) -> None:
        stream = self._stream()
        if stream is not None:
            stream.write(text)
            stream.flush()
