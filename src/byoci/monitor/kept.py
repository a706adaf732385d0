"""Pages that were made a moment ago, by their tags: as long as nothing has changed, nobody waits for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response

_MOST: Final = 8 << 20  # bytes of all pages


class Kept:
    """See the module. A tag stands for all that a page shows, and for who looks."""

    def __init__(self) -> None:
        self._pages: dict[str, Response] = {}

    def page(self, tag: str, make: Callable[[], Response]) -> Response:
        """The page of that tag; made only where it is not known."""
        found = self._pages.pop(tag, None) or make()
        self._pages[tag] = found  # the last one that was asked for is the last to go
        while sum(len(page.body) for page in self._pages.values()) > _MOST:
            del self._pages[next(iter(self._pages))]
        return found
