"""The Shelf protocol: where certificates are kept beside trunk, for everybody who can read trunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.model import Location


class Shelf(Protocol):
    """A place beside a trunk, in its own version control system: git notes, or a bzr branch next to it.

    Order: none. Idempotence: `put` again changes nothing. Concurrency: several landers may put at once; each one's
    stays. Errors: `UnreachableError` where trunk does not answer, `PublishRefusedError` where it does not take it.
    """

    def put(self, trunk: Location, revision: str, content: bytes) -> None:
        """Keep `content` for a revision of trunk, which is published already; what was kept for it is replaced."""

    def all(self, trunk: Location) -> Iterator[tuple[str, bytes]]:
        """Everything that is kept: revision and content. Untrusted: whoever may write to trunk can put anything."""
