"""What trunks in git and in bzr have in common: the files, their commits, and who lands by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from byoci.model import Location

FILES: Final = 1000
TOPICS: Final = 60
START: Final = 1_000_000_000  # the first commit's date, seconds since 1970
EVERY: Final = 3600  # seconds from one commit to the next
NAME: Final = "Alice"
EMAIL: Final = "alice@example.com"
_LINES: Final = 40  # of a file, about 2 KB
_IN_FOLDER: Final = 50
_OF_TOPIC: Final = 3  # files that a topic changes


@dataclass(frozen=True, slots=True)
class Repositories:
    """A trunk, branches that may land on it, and how to land them without byoci.

    topics         branches of one commit each, in a repository of their own, with their tips; made from trunk as it is
    trunk_by_hand  an equal trunk
    by_hand        lands the topic of that number there, with the programs that a person would use
    """

    trunk: Location
    topics: Sequence[tuple[Location, str]]
    trunk_by_hand: Location
    by_hand: Callable[[int], None]


class Files:
    """The files of a trunk, as lines. The first commit adds them all, each later one changes a line of one."""

    def __init__(self) -> None:
        self._lines = [
            [b"line %d of file %d, which is as long as lines of text are\n" % (line, file) for line in range(_LINES)]
            for file in range(FILES)
        ]

    def commit(self, number: int) -> dict[int, list[bytes]]:
        """The files that trunk's commit of that number leaves changed; called for one after the other."""
        if number == 0:
            return self.now(range(FILES))
        file = number * 7919 % FILES
        self._lines[file][number % _LINES] = b"a line of file %d, as commit %d has left it behind\n" % (file, number)
        return self.now([file])

    def topic(self, number: int) -> dict[int, list[bytes]]:
        """The files that a topic from here changes, as it has them. No two topics change the same."""
        changed = range(number * _OF_TOPIC, (number + 1) * _OF_TOPIC)
        added = b"topic %d adds a line\n" % number
        return {file: [*lines, added] for file, lines in self.now(changed).items()}

    def now(self, files: Iterable[int]) -> dict[int, list[bytes]]:
        """Some files as they are on trunk."""
        return {file: list(self._lines[file]) for file in files}


def folder_of(file: int) -> str:
    """The folder of a file."""
    return f"part-{file // _IN_FOLDER}"


def name_of(file: int) -> str:
    """A file's name within its folder."""
    return f"file-{file}.txt"


def run(cwd: Path, *argv: str, stdin: bytes = b"") -> str:
    """Run a program as a person would who has no settings but a name; what it says."""
    environment = proc.base_environment() | {
        "HOME": str(cwd.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "BRZ_EMAIL": f"{NAME} <{EMAIL}>",
    }
    return proc.run(argv, env=environment, cwd=cwd, stdin=stdin).text
