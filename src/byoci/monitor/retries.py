"""Whether a proposal whose landing did not come to an end is tried again, and when. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.monitor.values import Started

_FIRST: Final = 15.0  # seconds until a landing that failed for a reason of ours is tried again
_LONGEST: Final = 1800.0
_FINAL: Final = (Outcome.TESTS_FAILED, Outcome.CONFLICT, Outcome.LANDED)


def not_before(ended: Sequence[Started]) -> float | None:
    """From when on the same approval may be tried again, in seconds since 1970; None: never.

    ended  its landings so far, newest first

    What failed its tests or is in conflict needs another approval. Where byoci failed it is tried after a while, each
    time twice as long. Where the agent found that it has to wait, the same: the forge may have told us too much.
    """
    if not ended:
        return 0.0
    if ended[0].outcome in _FINAL:
        return None
    wait: float = min(_FIRST * 2 ** min(len(ended) - 1, 16), _LONGEST)
    return (ended[0].ended or ended[0].asked) + wait
