"""The controller in the background: where it answers, and how it is started there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.controller.bounds import Bounds
from byoci.web import background
from byoci.web import serving as servers
from byoci.web.background import Found, find

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WHAT", "Found", "Serving", "command", "find", "hold", "is_as_started", "start", "stop"]

WHAT: Final = "controller"


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a controller answers.

    port    0: any free one
    listen  an address of this machine
    url     its address as people see it, with a slash at its end; "": the one that it listens at
    bounds  of what is kept of a build
    """

    port: int
    listen: str = "127.0.0.1"
    url: str = ""
    bounds: Bounds = field(default_factory=Bounds)


def hold(home: Path, held: int = -1) -> int:
    """Hold the folder for this process; the kernel gives it back however that ends. Gives the descriptor that does it.

    held  the one with which it is held already, by what this process was before

    Raises `UsageError` where another controller has the folder.
    """
    if held < 0:
        return servers.hold(home, WHAT, "Stop it first: byoci down.")
    os.set_inheritable(held, False)
    return held


def is_as_started(home: Path, configured: Serving) -> bool:
    """Whether the controller of this folder was started last with this program and these settings."""
    return background.is_as_started(home, _program(home, configured).mark)


def start(home: Path, configured: Serving, port: int | None = None) -> Found:
    """Start it and wait until it answers; `port` counts for once. Raises `UnavailableError` where it does not."""
    mark = _program(home, configured).mark
    serving = configured if port is None else Serving(port, configured.listen, configured.url, configured.bounds)
    return background.start(home, _program(home, serving), mark)


def stop(home: Path) -> bool:
    """End it and wait until it has ended; whether there was one. Builds on agents go on."""
    return background.stop(home, WHAT)


def command(home: Path, serving: Serving) -> tuple[str, ...]:
    """The controller's program, which serves until it is ended."""
    options = ("--listen", serving.listen, "--url", serving.url, "--most", *serving.bounds.words())
    return (sys.executable, "-I", "-m", "byoci.controller", *options, str(home), str(serving.port))


def _program(home: Path, serving: Serving) -> background.Program:
    return background.Program(WHAT, command(home, serving))
