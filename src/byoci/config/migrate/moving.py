"""What moves in a migration: secrets, and what is cut out of the older files for their sake.

In STATE/NAMESPACE/secrets:

- ssh/KEY, ssh/KEY.pub: keys of the landing account and of the controller
- ssh_config: made here, so that git and bzr use the landing key
- launchpad/NAME, gitlab/NAME: tokens
- setup/PROJECT/NAME: what the project's setup command may see
- older/…: values that stood in the older files themselves
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.wrong import MigrationError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.migrate.files import OlderFile
    from byoci.config.migrate.syntax import Definition
MAX_SECRETS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret's new place and what goes there.

    folder  the secrets folder that the target is in
    source  the file that it is, which goes when the copy is safe; None for a text that is cut out of a file
    told    the source in words; "" for what is made here
    """

    target: Path
    folder: Path
    content: bytes = field(repr=False)
    source: Path | None
    told: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of an older file that is replaced, from `start` to `end` of its text."""

    file: OlderFile
    start: int
    end: int
    instead: str


class Secrets:
    """All that moves.

    cuts   what goes from the older files then
    moved  definition → where its secret is, below the state folder
    notes  what a person should know, a sentence each
    """

    def __init__(self, home: Path) -> None:
        self.cuts: list[Cut] = []
        self.moved: dict[Definition, str] = {}
        self.notes: list[str] = []
        self._home = home
        self._contents: dict[Path, bytes] = {}
        self._secrets: dict[tuple[Path, Path | None], Secret] = {}

    @property
    def all(self) -> tuple[Secret, ...]:
        """The secrets, in the order in which they were found."""
        return tuple(self._secrets.values())

    def folder(self, namespace: str) -> Path:
        """Where a namespace's secrets go."""
        return self._home / namespace / "secrets"

    def add(self, namespace: str, name: str, content: bytes, source: Path | None, told: str) -> Path:
        """Have a secret go to `name` in the namespace's folder. Raises `MigrationError` where another one does."""
        target = self.folder(namespace) / name
        if self._contents.setdefault(target, content) != content:
            raise MigrationError([f"{told}: another secret goes to {target} already"])
        if len(self._secrets) >= MAX_SECRETS:
            raise MigrationError([f"{told}: there are more than {MAX_SECRETS} secrets"])
        self._secrets.setdefault((target, source), Secret(target, self.folder(namespace), content, source, told))
        return target
