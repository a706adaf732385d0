"""The monitor as a process: the brain in a thread, what it shows over http; ended, it leaves landings alone."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from byoci import durable
from byoci.errors import UnavailableError
from byoci.identity.access import Access
from byoci.identity.people import OPERATOR, READER, People
from byoci.monitor.board import Board
from byoci.monitor.brain import Brain
from byoci.monitor.notifying import Notifier, NotifyingThread
from byoci.monitor.sight import Permissions
from byoci.monitor.state import State
from byoci.web import systemd
from byoci.web.serving import ADDRESS_FILE, hold, listening

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import uvicorn

    from byoci.jenkins.client import Jenkins
    from byoci.monitor.notifying import Audience
    from byoci.monitor.watched import Watched

_TURN: Final = 0.0005  # seconds that a thread has before another one's turn
_OTHER_PORT: Final = "Choose another in the configuration: monitor.port, monitor.listen."


@dataclass(frozen=True, slots=True)
class Serving:
    """How a monitor serves.

    folder     its state
    port       0: any free one
    url        its address as people see it; "": the one that it listens at
    longest    seconds between two looks at a forge where nothing happens
    webhooks   gives what webhooks may be signed with; where there is nothing, none is taken
    audience   project → who is told its news
    people     the folder with those who may sign in
    permissions  who may see what at the dashboard
    """

    folder: Path
    listen: str
    port: int
    url: str
    longest: float
    webhooks: Callable[[], Sequence[bytes]]
    audience: Callable[[str], Audience]
    people: Path
    permissions: Permissions = field(default_factory=Permissions)


def serve(
    serving: Serving,
    projects: Callable[[], Sequence[Watched]],
    find: Callable[[], Jenkins],
    tell: Callable[[str], None],
) -> None:
    """Work until SIGTERM or SIGINT. Raises `UsageError` where another monitor has the folder, or the port.

    projects  opens what is watched, in the thread that works with it
    find      looks where the controller is; it may not run yet
    """
    # Who answers waits for the brain's thread at most so long, several times an answer; usually it is ten times that.
    sys.setswitchinterval(_TURN)
    with contextlib.ExitStack() as ends:
        ends.callback(os.close, hold(serving.folder, "monitor", "Stop it first."))
        listener = ends.enter_context(listening(serving.listen, serving.port, _OTHER_PORT))
        thinking = _Thinking(serving, projects, find, tell)
        asyncio.run(_answer(serving, thinking, listener, tell))
    if thinking.failed is not None:
        raise thinking.failed


class _Thinking(threading.Thread):
    """The brain's thread. It ends when it is told to, or when the brain fails in a way that nobody foresaw."""

    def __init__(
        self,
        serving: Serving,
        projects: Callable[[], Sequence[Watched]],
        find: Callable[[], Jenkins],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(name="brain", daemon=True)
        self.board = Board()
        self.failed: Exception | None = None
        self.when_over: Callable[[], None] = lambda: None
        self._parts = (serving, projects, find, tell)
        self._bell = threading.Event()
        self._ending = False
        self._woken: set[str] = set()

    def run(self) -> None:
        try:
            self._think()
        except Exception as error:  # noqa: BLE001 - whoever waits for the process is told
            self.failed = error
        finally:
            self.when_over()

    def wake(self, forge: str) -> None:
        """Have the brain look at a forge again, now."""
        self._woken.add(forge)
        self._bell.set()

    def end(self) -> None:
        """Have it end after what it is at."""
        self._ending = True
        self._bell.set()

    def _think(self) -> None:
        serving, projects, find, tell = self._parts
        with contextlib.closing(State(serving.folder)) as state:
            brain = Brain(projects(), state, find, serving.longest, self.board, tell)
            while not self._ending:
                while self._woken:
                    brain.wake(self._woken.pop())
                self._bell.wait(brain.work())
                self._bell.clear()


async def _answer(serving: Serving, thinking: _Thinking, listener: socket.socket, tell: Callable[[str], None]) -> None:
    import uvicorn

    from byoci.monitor.app import App, At

    host, port = listener.getsockname()[:2]
    own = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    at = At(serving.url or own, own, serving.webhooks, thinking.wake)
    with contextlib.closing(State(serving.folder)) as state, contextlib.closing(People(serving.people)) as people:
        cookie = f"byoci-dashboard-{hashlib.sha256(bytes(serving.folder)).hexdigest()[:8]}"
        access = Access(people, state.sessions, secrets.token_hex(), cookie, (OPERATOR, READER))
        app = App(thinking.board, state, access, serving.permissions, at)
        options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "server_header": False}
        config = uvicorn.Config(app, ws="none", limit_concurrency=200, timeout_graceful_shutdown=5, **options)
        server = uvicorn.Server(config)
        loop = asyncio.get_running_loop()
        thinking.when_over = lambda: _end_soon(loop, server)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, thinking)
        thinking.start()
        notifying = NotifyingThread(lambda ends: _notifier(serving, ends, serving.url or own, tell))
        notifying.start()
        durable.replace(serving.folder / ADDRESS_FILE, f"{own}\n".encode())
        tell(f"the dashboard is at {serving.url or own}")
        try:
            async with systemd.answering(lambda: time.monotonic() - thinking.board.worked):
                await server._serve([listener])  # noqa: SLF001 - `serve` would take the signals for itself
        except SystemExit as error:
            raise UnavailableError("the server could not be started") from error
        finally:
            thinking.end()
            notifying.end()
            await asyncio.to_thread(thinking.join)


def _end(thinking: _Thinking) -> None:
    systemd.notify(systemd.STOPPING)
    thinking.end()


def _notifier(serving: Serving, ends: contextlib.ExitStack, url: str, tell: Callable[[str], None]) -> Notifier:
    state = ends.enter_context(contextlib.closing(State(serving.folder)))
    return Notifier(state.outbox, serving.audience, url, tell)


def _end_soon(loop: asyncio.AbstractEventLoop, server: uvicorn.Server) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(setattr, server, "should_exit", True)
