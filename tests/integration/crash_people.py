"""What people, and other landers, do while a lander is at work: what the gate does not want, or does not know of."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from byoci.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from site_under_test import Story


class People:
    """Alice and bob, who have branches ready for it: `person`, `by-hand`, `amended` and `elsewhere`."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._repository = story.repository

    def do(self, act: str) -> None:
        """Do one of these."""
        acts: dict[str, Callable[[], None]] = {
            "push": self.push,
            "merge by hand": self.merge_by_hand,
            "revert": self.revert,
            "force-push trunk": lambda: self.force("amended"),
            "rewrite trunk": lambda: self.force("elsewhere"),
            "rewrite the source": self.rewrite_source,
            "take approval back": self.take_approval_back,
            "delete the database": self.delete_database,
            "land": self.land,
        }
        acts[act]()

    def push(self) -> None:
        """Move trunk on, if it has not moved."""
        self._push("person")

    def merge_by_hand(self) -> None:
        """Merge the proposal, if trunk has not moved."""
        self._push("by-hand")

    def revert(self) -> None:
        """Undo the landing, if it has happened."""
        if self._is_there():
            self._repository.remove(None, "new", "Undo it", "alice")

    def force(self, branch: str) -> None:
        """Force trunk to another history."""
        self._repository.overwrite(branch)
        pushed(self._story.folder).touch()

    def rewrite_source(self) -> None:
        """Put something else where a proposal's revisions were."""
        self._repository.overwrite("person", "topic")

    def take_approval_back(self) -> None:
        """Say that it must not land after all, if it has not landed."""
        (proposal,) = self._story.forge.list_proposals()
        if proposal.status is Status.APPROVED:
            self._story.forge.change_status(proposal.id, Status.NEEDS_REVIEW, acting_for="alice")

    def delete_database(self) -> None:
        """Remove the lander's database, which is a cache."""
        for path in self._story.site.config.state.glob("lander.sqlite*"):
            path.unlink()

    def land(self) -> None:
        """Start another lander, and wait for it; see `others`."""
        program = [sys.executable, "-c", "from byoci.cli.main import main; main()"]
        ran = subprocess.run(
            [*program, "--config", self._story.config, "land", "--all", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        with (self._story.folder / "others").open("a") as file:
            file.write(json.dumps({"code": ran.returncode, "said": json.loads(ran.stdout)}) + "\n")

    def _push(self, branch: str) -> None:
        """As a push does, which fails where trunk has moved on."""
        tip = self._repository.tip("main" if self._story.vcs == "git" else "trunk")
        if tip == self._repository.tip("base"):
            self._repository.overwrite(branch)
            pushed(self._story.folder).touch()

    def _is_there(self) -> bool:
        return "new" in self._repository.names()


def pushed(folder: Path) -> Path:
    """A file of a site where a person pushed to trunk what must be there then."""
    return folder / "pushed"


def others(folder: Path) -> list[dict[str, Any]]:
    """How other landers on the site fared, in order."""
    path = folder / "others"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
