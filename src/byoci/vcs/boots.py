"""Private repositories after a power failure: what was not synced may be half there, under the name of the whole.

Nothing in them is worth a sync for every landing, since all of it can be fetched again. So each notes the boot in which
it is written to; where that was another one, it is looked through before it is used, and what is damaged goes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAME: Final = "written-in"
_NOTE = effects.declare(
    "boot.note",
    "the boot in which a private repository is written to",
    half="It is looked through again.",
    done="It is known to be whole.",
)


def look_through(private: Path, mend: Callable[[], None]) -> None:
    """Call `mend` if the private folder was last written to before the machine was started, or nobody knows when.

    The note needs no sync: one that is damaged, or lost, is of no boot.
    """
    note, now = private / _NAME, _BOOT.read_text()
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        if note.read_text() == now:
            return
    mend()
    with _NOTE:
        private.mkdir(parents=True, exist_ok=True)
        note.write_text(now)
