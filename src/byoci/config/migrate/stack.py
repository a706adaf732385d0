"""Which value of an option counts, and what its `{option}` references stand for.

For a machine, every section whose name the machine's name begins with counts, the longest first; then what stands
before the first section. Among equals the file that was named first counts. `{option}` is replaced by that option's
value, the innermost first, so `{{byoci}.master}` names one option by another's value; `{}` is the same option's value
one layer below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.wrong import MigrationError
from byoci.config.older import default, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from byoci.config.migrate.syntax import Definition

MAX_LENGTH: Final = 64 * 1024
MAX_STEPS: Final = 10_000
MAX_DEPTH: Final = 60
_NOTHING_BELOW: Final = "has a {} with no value below it"
_REFERENCE: Final = re.compile(r"(\{[^{}\n]*\})")


@dataclass(frozen=True, slots=True)
class Value:
    """What an option comes to.

    origin  where it is given; None for a default of the older programs
    used    all definitions that went into it, the origin too
    secret  whether an option that is a secret went into it
    """

    text: str = field(repr=False)
    origin: Definition | None = None
    used: frozenset[Definition] = frozenset()
    secret: bool = False


class _UnresolvedError(Exception):
    """A reference that stands for nothing, or for itself."""


@dataclass(slots=True)
class _Search:
    """One evaluation: whose values, what is fixed from outside, and how much it may still cost."""

    machine: str | None
    given: Mapping[str, str]
    steps: int = MAX_STEPS
    used: set[Definition] = field(default_factory=set)


class Stack:
    """The definitions of all files, to be asked for the values of a machine."""

    def __init__(self, definitions: Iterable[Definition], existing: Iterable[Definition] = ()) -> None:
        """`existing` are byov's own notes on machines: they count last, and for the machine of that very name only."""
        self.lost: dict[Definition, Definition] = {}  # what did not count when it was asked for, and what did instead
        self._layers: dict[tuple[str, str], list[Definition]] = {}  # by option and section
        self._existing: dict[tuple[str, str], list[Definition]] = {}
        for table, given in ((self._layers, definitions), (self._existing, existing)):
            for one in given:
                table.setdefault((one.name, one.section or ""), []).append(one)

    def candidates(self, name: str, machine: str | None) -> Sequence[Definition]:
        """The definitions of an option for a machine (None: for none in particular); the first counts."""
        found: list[Definition] = []
        for length in range(len(machine or ""), -1, -1):
            found += self._layers.get((name, (machine or "")[:length]), ())
        return [*found, *(self._existing.get((name, machine), ()) if machine else ())]

    def value(self, name: str, machine: str | None = None, given: Mapping[str, str] | None = None) -> Value | None:
        """What an option comes to for a machine; None where it is set nowhere.

        given  options that are fixed whatever the files say, as the older command lines fix them

        Raises `MigrationError` where a reference stands for nothing, for itself, or for more text than anybody means.
        """
        candidates = self.candidates(name, machine)
        if not candidates and self._default(name, machine) is None:
            return None
        search = _Search(machine, given or {})
        try:
            text = self._resolve(search, name, 0, ())
        except _UnresolvedError as problem:
            raise MigrationError([f"{_place(candidates)}: {name} {problem}"]) from None
        used = frozenset(search.used)
        for one in candidates[1:]:
            if one not in used:
                self.lost.setdefault(one, candidates[0])
        return Value(
            text,
            candidates[0] if candidates else None,
            used,
            any(one.moved or is_secret(one.name) for one in used),
        )

    def _resolve(self, search: _Search, name: str, skip: int, chain: tuple[str, ...]) -> str:
        """The value of `name`, its first `skip` candidates left out, while those of `chain` are being made."""
        if name in search.given and skip == 0:
            return search.given[name]
        candidates = self.candidates(name, search.machine)[skip:]
        if not candidates:
            fallback = self._default(name, search.machine)
            if fallback is None:
                raise _UnresolvedError(_NOTHING_BELOW if skip else _unknown(name))
            return self._expand(search, fallback, name, None, (*chain, name))
        search.used.add(candidates[0])
        return self._expand(search, candidates[0].value, name, skip + 1, (*chain, name))

    def _expand(self, search: _Search, text: str, name: str, below: int | None, chain: tuple[str, ...]) -> str:
        """`text`, the value of `name`, with all its references replaced; `{}` goes on at candidate `below`."""
        if len(chain) > MAX_DEPTH:
            raise _UnresolvedError(f"refers from option to option more than {MAX_DEPTH} deep")
        while len(parts := _REFERENCE.split(text)) > 1:
            length = 0
            for number in range(1, len(parts), 2):
                reference = parts[number][1:-1]
                search.steps -= 1
                if search.steps < 0:
                    raise _UnresolvedError(f"has more than {MAX_STEPS} references behind it")
                if not reference:
                    if below is None:
                        raise _UnresolvedError(_NOTHING_BELOW)
                    parts[number] = self._resolve(search, name, below, chain[:-1])
                elif reference in chain:
                    raise _UnresolvedError(f"refers to itself: {' -> '.join((*chain, reference))}")
                else:
                    parts[number] = self._resolve(search, reference, 0, chain)
                length += len(parts[number])
                if length > MAX_LENGTH:
                    raise _UnresolvedError(f"comes to more than {MAX_LENGTH} characters")
            text = "".join(parts)
        return text

    @staticmethod
    def _default(name: str, machine: str | None) -> str | None:
        return machine if name == "vm.name" else default(name)


def _unknown(name: str) -> str:
    return f"refers to {{{name}}}, which no file here sets; if ~/.config/byov or /etc/byov does, name that folder too"


def _place(candidates: Sequence[Definition]) -> str:
    return candidates[0].place if candidates else "the older programs' default"
