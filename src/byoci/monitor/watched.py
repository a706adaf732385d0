"""What the monitor has to know of a project: where its proposals are, and what lets one land."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.forge.base import ReadableForge
    from byoci.gate.ballot import Policy
    from byoci.model import Location


@dataclass(frozen=True, slots=True)
class Watched:
    """A project whose proposals the monitor lands.

    tip   gives a branch's newest revision. Errors: as `Vcs.tip`
    near  whether asking the forge costs next to nothing, so that it can be asked often
    """

    project: str
    trunk: Location
    policy: Policy
    forge: ReadableForge
    tip: Callable[[Location], str]
    near: bool = False
