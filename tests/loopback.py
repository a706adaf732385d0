"""Servers of tests' own, on a free port of loopback, which end with the test."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import ThreadingHTTPServer


@contextlib.contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[str]:
    """Have a server answer; its address, with a slash at its end."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
