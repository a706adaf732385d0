"""Regular expressions of others, looked at so that none of them can hold up the controller.

A backtracking engine may take longer than the universe for forty letters, and nothing can interrupt it. So what is not
plainly harmless is compiled and matched by a process of its own, within bounds on its time and memory. What it found is
remembered, for each expression and text; an expression that took too long is not tried again.

Concurrency: for any number of threads.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ProgramTimeoutError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 2000  # characters
_PATIENCE: Final = 0.5  # seconds
_MEMORY: Final = 256 << 20  # bytes of address space
_KEPT: Final = 5000  # expressions that are remembered
_TEXTS_KEPT: Final = 5_000  # of each
# Letters that mean themselves, one letter of any kind, and up to two stretches of any text: at most quadratic in a
# name's length.
_WORD: Final = r"(?:[A-Za-z0-9_ /@=,:'-](?![*+?{])|\\[^A-Za-z0-9](?![*+?{])|\.(?![*+?{]))*"
_HARMLESS: Final = re.compile(rf"\^?{_WORD}(?:(?:\.|\[\^/\])[*+](?![*+?]){_WORD}){{0,2}}\$?")
_MOST_CHOICES: Final = 20
# Told is the error, or "0" and "1" for each text.
_PROGRAM: Final = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
pattern, texts = json.load(sys.stdin)
try:
    found = re.compile(pattern)
except (re.error, RecursionError, OverflowError) as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps([bool(found.fullmatch(text)) for text in texts]))
"""
_remembered: OrderedDict[str, dict[str, bool] | str] = OrderedDict()  # or why it is of no use
_lock: Final = threading.Lock()


def matching(pattern: str, texts: Iterable[str], *, patience: float = _PATIENCE) -> frozenset[str]:
    """Those of `texts` that the whole expression matches. Takes at most about so many seconds.

    Raises `UsageError` for an expression that cannot be read, or takes too long.
    """
    wanted = list(texts)
    if is_harmless(pattern):
        compiled = re.compile(pattern)
        return frozenset(text for text in wanted if compiled.fullmatch(text))
    known = _known(pattern)
    missing = [text for text in wanted if text not in known]
    if missing or not known:
        known = {**known, **_ask(pattern, missing, patience)}
        _remember(pattern, known if len(known) <= _TEXTS_KEPT else {})
    return frozenset(text for text in wanted if known[text])


def check(pattern: str, texts: Iterable[str] = ()) -> None:
    """Raises `UsageError` for what cannot be read, or takes too long for these texts; see `matching`."""
    matching(pattern, texts)


def is_harmless(pattern: str) -> bool:
    """Whether it can be matched in this process: what most people write."""
    choices = pattern.split("|")
    return len(pattern) <= LONGEST and len(choices) <= _MOST_CHOICES and all(map(_HARMLESS.fullmatch, choices))


def _known(pattern: str) -> dict[str, bool]:
    if len(pattern) > LONGEST:
        raise _useless(pattern, f"It has more than {LONGEST} characters.")
    with _lock:
        known = _remembered.get(pattern, {})
        if isinstance(known, str):
            raise _useless(pattern, known)
        return known


def _remember(pattern: str, what: dict[str, bool] | str) -> None:
    with _lock:
        _remembered[pattern] = what
        _remembered.move_to_end(pattern)
        while len(_remembered) > _KEPT:
            _remembered.popitem(last=False)


def _ask(pattern: str, texts: list[str], patience: float) -> dict[str, bool]:
    argv = [sys.executable, "-I", "-S", "-c", _PROGRAM]
    told: str | list[bool]
    try:
        given = json.dumps([pattern, texts]).encode()
        result = proc.run(argv, env=proc.base_environment(), stdin=given, timeout=patience, ok=None)
        told = json.loads(result.stdout) if result.status == 0 else "it takes too much memory"
    except ProgramTimeoutError:
        told = "it takes too long: so many repetitions within repetitions are not looked at"
    if isinstance(told, str):
        _remember(pattern, told)
        raise _useless(pattern, told)
    return dict(zip(texts, told, strict=True))


def _useless(pattern: str, why: str) -> UsageError:
    return UsageError(
        "an expression is of no use",
        details=f"{pattern[:200]}: {why}",
        resolution="Write a simpler one, or name what it shall match.",
    )
