"""How long builds may take, told by those before; in Jenkins' words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.controller.rows import BuildRow
    from byoci.controller.state import State

ETA_FROM: Final = 6  # builds whose durations make the estimate
_UNITS: Final = ((86400, "day"), (3600, "hr"), (60, "min"))


def duration(seconds: float) -> str:
    """Two units of it at most: `1 hr 5 min`, `3 min 20 sec`, `0.4 sec`."""
    for place, (size, name) in enumerate(_UNITS):
        if seconds >= size:
            smaller, below = _UNITS[place + 1] if place + 1 < len(_UNITS) else (1, "sec")
            rest = int(seconds % size / smaller)
            return f"{int(seconds / size)} {name}" + (f" {rest} {below}" if rest else "")
    return f"{seconds:.0f} sec" if seconds >= 10 else f"{seconds:.1f} sec"


def in_progress(state: State, build: BuildRow) -> str:
    """Why another build of the job waits for this one."""
    usual = state.usual_seconds(build.job, ETA_FROM)
    left = "N/A" if usual is None else duration(max(0.0, build.began + usual - time.time()))
    return f"Build #{build.number} is already in progress (ETA: {left})"
