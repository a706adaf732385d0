"""Wait while a running site lands what may land, and tell what becomes of it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from byoci.controller import background as controllers
from byoci.errors import ByociError, UnavailableError
from byoci.gate.rounds import landable
from byoci.host.running import MONITOR
from byoci.monitor.state import State
from byoci.web import background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from byoci.gate.plan import Gate
    from byoci.monitor.values import Started
    from byoci.wiring import Site

_LOOK: Final = 0.3  # seconds between looks
_IDLE: Final = 60.0  # seconds in which a landing that may begin has begun
_LONGEST: Final = 3600.0  # seconds without anything that begins or ends


def follow(site: Site, names: Sequence[str], doing: Callable[[str], None]) -> set[str]:
    """Wait until the monitor has tried everything that may land of these projects; the proposals that it tried.

    doing  is told what begins and how it ends

    Raises `UnavailableError` where the site ends meanwhile, or does not get on with it.
    """
    gates = [site.gate(name, lambda _: None) for name in names]
    with contextlib.closing(State(site.config.monitor_folder)) as state:
        before = {item.id: item for name in names for item in state.newest(name) if item.ended}
        told = dict(before)
        moved = time.monotonic()
        while True:
            for line in _news(state, names, told):
                doing(line)
                moved = time.monotonic()
            waits = _wait(state, gates)
            if waits is None:
                return {item.proposal for item in told.values() if item.id not in before}
            _check(site, time.monotonic() - moved, _LONGEST if waits else _IDLE)
            time.sleep(_LOOK)


def _news(state: State, names: Sequence[str], told: dict[int, Started]) -> Iterator[str]:
    """A line for each landing that has begun or ended; `told` remembers them."""
    for name in names:
        for item in reversed(state.newest(name)):
            before, told[item.id] = told.get(item.id), item
            if before == item:
                continue
            about = f"{name} {item.proposal}: "
            if item.ended:
                yield f"{about}{item.outcome}"
            elif item.number is not None:
                yield f"{about}landing as build {item.number}, {item.url}"


def _wait(state: State, gates: Sequence[Gate]) -> bool | None:
    """Whether a landing is under way; None where none is, and nothing is to begin either."""
    # Those under way come first: what ends after that is seen as one that has ended.
    if any(state.under_way(str(gate.project.trunk)) for gate in gates):
        return True
    return False if any(_to_begin(state, gate) for gate in gates) else None


def _to_begin(state: State, gate: Gate) -> bool:
    """Whether the monitor has a landing of this project before it. One that it tried in vain is not waited for."""
    try:
        return any(not state.of_approval(gate.project.name, proposal) for proposal in landable(gate))
    except ByociError:
        return False  # the round that follows tells of it


def _check(site: Site, silent: float, longest: float) -> None:
    for what, home in ((MONITOR, site.config.monitor_folder), (controllers.WHAT, site.config.controller_folder)):
        if background.find(home) is None:
            raise UnavailableError(f"the {what} has ended", resolution=f"See {home / background.LOG_FILE}.")
    if silent > longest:
        log = site.config.monitor_folder / background.LOG_FILE
        raise UnavailableError("the monitor does not land", resolution=f"See its dashboard, and {log}.")
