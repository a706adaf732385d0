"""How much of a build is kept: a log or artifacts without end must not fill the disks of agents and controller."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of each build.

    log        bytes of what it prints
    artifacts  bytes of all files that it keeps: artifacts and test reports
    files      how many of them
    """

    log: int = 2 << 30
    artifacts: int = 10 << 30
    files: int = 20_000

    def told(self) -> dict[str, int]:
        """As an agent's plan has it."""
        return asdict(self)

    def words(self) -> list[str]:
        """As arguments of a program, in the order of the fields."""
        return [str(number) for number in astuple(self)]


USUAL: Final = Bounds()
