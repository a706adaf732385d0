"""Whether a trunk is in trouble for long enough that people are to know, and when it is well again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from byoci.monitor.outbox import Outbox

_LASTING: Final = 60.0  # seconds of trouble that nobody is told of: as long as a restart takes


class Health:
    """A project's. It belongs to the thread of its outbox.

    The database is read once, and after that only asked where something changes.
    """

    def __init__(self, project: str, outbox: Outbox) -> None:
        self._project = project
        self._outbox = outbox
        self._known = outbox.trouble(project)

    def note(self, trouble: str) -> None:
        """Take note of how it is: "" is well."""
        if not trouble:
            if self._known is not None:
                self._outbox.trouble_ends(self._project)
                self._known = None
        elif self._known is None:
            self._outbox.trouble_begins(self._project, trouble)
            self._known = self._outbox.trouble(self._project)
        elif not self._known[1] and time.time() >= self._known[0] + _LASTING:
            self._outbox.trouble_lasts(self._project, trouble)
            self._known = self._known[0], True
