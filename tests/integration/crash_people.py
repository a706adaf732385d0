"""What people do while a lander is at work: what the gate does not want, or does not know of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from site_under_test import Story


class People:
    """Alice and bob, who have things ready for it: the branch `person`."""

    def __init__(self, story: Story) -> None:
        self._repository = story.repository
        self._forge = story.forge

    def do(self, act: str) -> None:
        """Do one of these."""
        acts: dict[str, Callable[[], None]] = {"push": self.push, "rewrite_source": self.rewrite_source}
        acts[act]()

    def push(self) -> None:
        """Move trunk on."""
        self._repository.overwrite("person")

    def rewrite_source(self) -> None:
        """Put something else where a proposal's revisions were."""
        self._repository.overwrite("person", "topic")
