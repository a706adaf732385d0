"""The controller as a process of its own, on a free port of loopback, to be asked, killed and started again."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0


def wait_for(what: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """What it gives once that is true; a failed test where it never is."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited {patience} seconds in vain for {what}"
        time.sleep(0.01)
    return found


@dataclass
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class ControllerProcess:
    """Start, ask, kill."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = home.with_name(f"{home.name}.log")

    def start(self, port: int = 0) -> None:
        (self.home / "address").unlink(missing_ok=True)
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "byoci.controller", *self.options, self.home, str(port)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
            )
        wait_for(lambda: (self.home / "address").exists() or self.process.poll() is not None)  # type: ignore[union-attr]
        assert self.process.poll() is None, self.errors.read_text()
        wait_for(lambda: self.get("api/json").status == 200)

    @property
    def url(self) -> str:
        return (self.home / "address").read_text().strip()

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    @property
    def token(self) -> str:
        return (self.home / "admin-token").read_text().strip()

    def ask(
        self, path: str, body: bytes | None = None, *, auth: str | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """A GET, or with a body a POST; as the administrator, or as `NAME:WORD`, or ("") as nobody."""
        words = f"admin:{self.token}" if auth is None else auth
        sent = dict(headers or {})
        if words:
            sent["Authorization"] = f"Basic {base64.b64encode(words.encode()).decode()}"
        request = urllib.request.Request(self.url + path, data=body, headers=sent)
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(request, timeout=PATIENCE) as reply:
                return Reply(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())
        except (ConnectionError, urllib.error.URLError):
            return Reply(0, {}, b"")

    def get(self, path: str, **more: Any) -> Reply:
        return self.ask(path, **more)

    def post(self, path: str, body: bytes = b"", **more: Any) -> Reply:
        more.setdefault("headers", {"Content-Type": "text/xml; charset=utf-8"})
        return self.ask(path, body, **more)

    def create(self, name: str, inner: str) -> None:
        reply = self.post(f"createItem?name={name}", f"<project>{inner}</project>".encode())
        assert reply.status == 200, reply.text

    def shell(self, name: str, script: str, more: str = "") -> None:
        """Make a job with one shell step."""
        from xml.sax.saxutils import escape

        step = f"<builders><hudson.tasks.Shell><command>{escape(script)}</command></hudson.tasks.Shell></builders>"
        self.create(name, step + more)

    def build(self, name: str, parameters: str = "") -> str:
        """Start a build; the address of its item in the queue, from the controller's own on."""
        verb = f"buildWithParameters?{parameters}" if parameters else "build"
        reply = self.post(f"job/{name}/{verb}")
        assert reply.status == 201, reply.text
        return str(reply.headers["Location"]).removeprefix(self.url)

    def finished(self, name: str, number: int = 1) -> dict[str, Any]:
        """A build's facts once it has ended."""

        def ended() -> Any:
            reply = self.get(f"job/{name}/{number}/api/json")
            return reply.status == 200 and not reply.json["building"] and reply.json

        return wait_for(ended)  # type: ignore[no-any-return]

    def run(self, name: str, parameters: str = "", number: int = 1) -> tuple[dict[str, Any], str]:
        """Start a build and wait; its facts and its log."""
        self.build(name, parameters)
        facts = self.finished(name, number)
        return facts, self.get(f"job/{name}/{number}/consoleText").text

    def kill(self) -> None:
        """As the kernel does that has no memory left."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0, self.errors.read_text()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@contextlib.contextmanager
def running(home: Path, *options: str) -> Iterator[ControllerProcess]:
    """One that runs, and that nothing surprised when it is ended."""
    process = ControllerProcess(home, *options)
    try:
        process.start()
        yield process
    finally:
        process.stop()
    assert "Traceback" not in process.errors.read_text()
