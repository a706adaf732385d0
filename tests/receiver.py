"""A program that the monitor tells the news, as a server on loopback."""

from __future__ import annotations

import contextlib
import http.server
import json
from typing import TYPE_CHECKING, Any

from byoci.monitor.notifying import Hook
from loopback import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = b"0ff1ce"


class Receiver(http.server.ThreadingHTTPServer):
    """A program that is told things: what it heard, and how it answers."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answer = 200
        self.when_heard: Callable[[], None] = lambda: None
        super().__init__(("127.0.0.1", 0), Hearing)

    @property
    def hook(self) -> Hook:
        return Hook("chat", f"http://127.0.0.1:{self.server_port}/hook", SECRET)

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it was sent, oldest first."""
        return [json.loads(body) for _, body in self.heard]


class Hearing(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((dict(self.headers), body))
        self.server.when_heard()
        self.send_response(self.server.answer)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever told it was killed
            super().handle()

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    with served(receiver):
        yield receiver
