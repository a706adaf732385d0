"""The way to the controller, which may be restarted at another address, or not run yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.jenkins.client import Jenkins


class Line:
    """See the module. It belongs to one thread.

    find  looks where the controller is. Raises `UnavailableError` where it does not run
    """

    def __init__(self, find: Callable[[], Jenkins]) -> None:
        self._find = find
        self._found: Jenkins | None = None

    def controller(self) -> Jenkins:
        """The controller. Raises as `find`."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def lost(self) -> None:
        """It did not answer, or not as it should: look again where it is, before it is asked the next time."""
        self._found = None
