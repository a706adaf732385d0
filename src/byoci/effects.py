"""Everything that a landing does to the world, by name: each write to a repository, forge, database or file, and each
program that is started. An effect is declared where it is done; all of them together are the catalogue.

With `-vv` every effect is told as it begins and as it ends, so that whoever finds a lander stuck or dead sees what it
was at. docs/effects.md is made from the catalogue.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_log = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# The formats of the three messages on an effect. The first argument is always its name.
BEGINS: Final = "%s begins: %s"
ENDS: Final = "%s ends"
FAILS: Final = "%s fails: %s"

# What the next run finds of most effects that a kill cut short, or that were done for nothing.
UNFINISHED: Final = "It is not found, or made anew."
READ_ONLY: Final = "Nothing depends on it: the program only reads, and ends when its output is closed."
REPEATED: Final = "It is done again, with the same result."


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """One thing that is done to the world; a context manager around doing it, and a decorator of what does it.

    It has no state: any number of threads may be in it at once, and it may be entered again from within.

    name    GROUP.VERB, unique
    writes  what it changes, in words
    half    what the next run makes of it if byoci dies in the midst of it
    done    the same if byoci dies when it is done, and before anything else is
    """

    name: str
    writes: str
    half: str
    done: str

    def __enter__(self) -> None:
        _log.debug(BEGINS, self.name, self.writes)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            _log.debug(ENDS, self.name)
        else:
            _log.debug(FAILS, self.name, error)

    def __call__(self, function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        """`function`, every call of which is this effect."""

        @functools.wraps(function)
        def told(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            with self:
                return function(*args, **kwargs)

        return told


_declared: Final[dict[str, Effect]] = {}


def declare(name: str, writes: str, *, half: str = UNFINISHED, done: str = REPEATED) -> Effect:
    """A new effect, in the catalogue from now on. `ValueError` for a name that is taken."""
    if name in _declared:
        raise ValueError(f"two effects are called {name}")
    effect = _declared[name] = Effect(name, writes, half, done)
    return effect


def catalogue() -> Mapping[str, Effect]:
    """All effects that the modules imported so far declare, by name."""
    return dict(sorted(_declared.items()))
