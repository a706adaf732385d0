"""The controller as a process: from its state folder to an address that answers, and back."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from byoci import durable
from byoci.controller.api.app import App
from byoci.controller.client import ADMINISTRATOR, TOKEN_FILE
from byoci.controller.connection import LocalLink
from byoci.controller.controller import Controller
from byoci.controller.loopback import Loopback
from byoci.controller.places import LOOPBACK
from byoci.errors import UnavailableError
from byoci.identity.access import OWN_TOKEN, Access
from byoci.identity.people import People
from byoci.web import systemd
from byoci.web.serving import ADDRESS_FILE, listening

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import uvicorn

    from byoci.controller.background import Serving
    from byoci.controller.connection import Link
    from byoci.controller.nodexml import Node

_log = logging.getLogger(__name__)
_OTHER_PORT: Final = "Choose another with --port, or in the configuration: controller.port, controller.listen."


async def serve(home: Path, serving: Serving) -> int | None:
    """Serve until SIGTERM or SIGINT.

    Gives the port to serve again on, where somebody asked for a restart; None where it was ended.

    In `home`, which the caller holds, there are then `address`, the URL for this machine, and `admin-token`, an API
    token of `admin`. Raises `UsageError` where somebody else has the port.
    """
    with listening(serving.listen, serving.port, _OTHER_PORT) as listener:
        used = int(listener.getsockname()[1])
        own = _own_url(serving, used)
        url = serving.url or own
        loopback = Loopback(home)
        controller = Controller(home, url, lambda node: _dial(home, node, loopback), bounds=serving.bounds)
        people = People(home)
        tasks = []
        try:
            state = controller.state
            state.hand_over_tokens(people.tokens.add)
            access = Access(people, state.sessions, state.own("crumb"), f"byoci-{state.own('cookie')[:8]}")
            _first_person(home, access)
            await controller.open()
            gc.freeze()  # a thousand jobs stay: looking through them again and again would halt answers for 50 ms
            if loopback.wanted:
                tasks.append(asyncio.create_task(loopback.keep(controller)))
            _write(home / ADDRESS_FILE, own)
            await _answer(controller, App(controller, access), listener)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await controller.close()
            people.close()
        return used if controller.restart.is_set() else None


def _own_url(serving: Serving, port: int) -> str:
    """The address for this machine's own use; its path is that of the address for people."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(serving.listen, serving.listen)  # noqa: S104 - what one may set
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{urlsplit(serving.url).path or '/'}"


def _first_person(home: Path, access: Access) -> None:
    """Who administers, with a token that only this unix user can read; made again where it is gone or revoked."""
    path = home / TOKEN_FILE
    if not path.exists() or not access.is_token(ADMINISTRATOR, path.read_text(encoding="utf-8").strip()):
        token, _ = access.make_token(ADMINISTRATOR, OWN_TOKEN)
        _write(path, token)


def _write(path: Path, text: str) -> None:
    durable.replace(path, f"{text}\n".encode())


async def _dial(home: Path, node: Node, loopback: Loopback) -> Link:
    if node.ssh is None:
        return LocalLink(node.root, sys.executable)
    if node.name == LOOPBACK:
        await loopback.ready()
    from byoci.controller.ssh import dial

    return await dial(home, node.ssh, node.root)


async def _answer(controller: Controller, app: App, listener: socket.socket) -> None:
    import uvicorn

    from byoci.controller.waiting import Waiting, at_once

    options: dict[str, Any] = {"lifespan": "off", "log_config": None, "access_log": False, "server_header": False}
    config = uvicorn.Config(app, http=Waiting, ws="none", backlog=at_once(), **options)
    server = uvicorn.Server(config)
    # Python's own handlers, so that a signal ends the server and everything that is open here is closed in its order.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, controller, server)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    restarting = asyncio.create_task(_end_for_restart(controller, server))
    try:
        async with systemd.answering():
            await server._serve([listener])  # noqa: SLF001 - `serve` would take the signals for itself
    except SystemExit as error:
        raise UnavailableError("the server could not be started") from error
    finally:
        restarting.cancel()


async def _end_for_restart(controller: Controller, server: uvicorn.Server) -> None:
    await controller.restart.wait()
    _end(controller, server)


def _end(controller: Controller, server: uvicorn.Server) -> None:
    """Answer nobody any more; who follows a log would otherwise be answered for as long as its build takes."""
    if not controller.restart.is_set():
        systemd.notify(systemd.STOPPING)
    server.should_exit = True
    controller.closing = True
    for running in controller.running.values():
        running.tell()
