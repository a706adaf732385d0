"""When a job runs by itself: Jenkins' cron lines, with `H` for a time that is the job's own.

A line has five fields: minute, hour, day of month, month, day of week (0 and 7 are Sunday). All of them must match,
unlike in Vixie's cron. A field is a list of `*`, `n`, `a-b`, each with `/step` where it is a range, and of `H`,
`H/step`, `H(a-b)`, `H(a-b)/step`. `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly` stand for lines.
Empty lines and those that begin with `#` are passed over; `TZ=Area/City` holds for the lines below it.

`H` is drawn from a generator that is seeded with the job's full name, as Jenkins seeds its own (the digest's halves
folded into the seed of Java's linear congruential generator), so that a job keeps its minute when it moves here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from byoci.errors import UsageError

if TYPE_CHECKING:
    from datetime import tzinfo

_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_HASH_BOUNDS: Final = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))  # days that every month has; Sunday once
_ALIASES: Final = {
    "@yearly": "H H H H *",
    "@annually": "H H H H *",
    "@monthly": "H H H * *",
    "@weekly": "H H * * H",
    "@daily": "H H * * *",
    "@midnight": "H H(0-2) * * *",
    "@hourly": "H * * * *",
}
_TERM: Final = re.compile(r"(?:(\*)|(\d{1,4})(?:-(\d{1,4}))?|(H)(?:\((\d{1,4})-(\d{1,4})\))?)(?:/(\d{1,4}))?", re.ASCII)
_HORIZON: Final = timedelta(days=366 * 8 + 3)  # the longest wait for a 29th of February
_MOST_LINES: Final = 200


class _Spread:
    """The numbers that Jenkins draws for a seed: `java.util.Random.nextInt(bound)`."""

    def __init__(self, seed: str) -> None:
        digest = hashlib.md5(seed.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
        folded = bytes(low ^ high for low, high in zip(digest[:8], digest[8:], strict=True))
        self._state = (int.from_bytes(folded, "big") ^ 0x5DEECE66D) & (1 << 48) - 1

    def _bits(self) -> int:
        self._state = (self._state * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        return self._state >> 17  # the upper 31 bits

    def below(self, bound: int) -> int:
        if bound & -bound == bound:
            return bound * self._bits() >> 31
        while True:
            bits = self._bits()
            value = bits % bound
            if bits - value + bound - 1 < 1 << 31:  # otherwise small values would come more often
                return value


@dataclass(frozen=True, slots=True)
class Line:
    """One line: for each field the set of its values, as bits; and the time zone that they are told in."""

    fields: tuple[int, int, int, int, int]
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime | None:
        """The first matching minute after `moment` (aware of its zone), in UTC; None where there is none."""
        minutes, hours, days, months, weekdays = self.fields
        at = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = at + _HORIZON
        while at < end:
            local = at.astimezone(self.zone)
            fitting = months >> local.month & days >> local.day & weekdays >> local.isoweekday() % 7 & 1
            if not fitting or not hours >> local.hour & 1:
                at += timedelta(minutes=60 - local.minute)
            elif not minutes >> local.minute & 1:
                at += timedelta(minutes=1)
            else:
                return at
        return None


@dataclass(frozen=True, slots=True)
class Crontab:
    """All lines of a trigger."""

    lines: tuple[Line, ...]

    def next_after(self, moment: datetime) -> datetime | None:
        """The first minute after `moment` that one of the lines matches, in UTC; None where there is none."""
        return min((found for line in self.lines if (found := line.next_after(moment))), default=None)


def parse_crontab(text: str, seed: str, zone: tzinfo = UTC) -> Crontab:
    """Read a trigger's lines for the job with the full name `seed`; `zone` holds until a `TZ=` line.

    Raises `UsageError` that names the line.
    """
    lines: list[Line] = []
    spread = _Spread(seed)
    written = text.splitlines()
    if len(written) > _MOST_LINES:
        raise UsageError(f"{len(written)} lines of cron are too many", details=f"At most {_MOST_LINES}.")
    for number, raw in enumerate(written, 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("TZ="):
                zone = ZoneInfo(line[3:].strip())
            else:
                lines.append(Line(_fields(_ALIASES.get(line, line), spread), zone))
        except (ValueError, OSError, KeyError) as error:  # zoneinfo's errors are of all kinds
            raise UsageError(
                f"line {number} of a cron trigger cannot be read",
                details=f"{line[:200]}: {error}",
                resolution="Write minute, hour, day of month, month, day of week, as in: H/15 2-5 * * 1-5",
            ) from error
    return Crontab(tuple(lines))


def _fields(line: str, spread: _Spread) -> tuple[int, int, int, int, int]:
    words = line.split()
    if len(words) != len(_FIELDS):
        raise ValueError(f"it has {len(words)} fields")
    minute, hour, day, month, weekday = (_field(word, index, spread) for index, word in enumerate(words))
    return minute, hour, day, month, (weekday | weekday >> 7) & 0x7F


def _field(word: str, index: int, spread: _Spread) -> int:
    bits = 0
    for term in word.split(","):
        match = _TERM.fullmatch(term)
        if not match:
            raise ValueError(f"“{term}” is no {_FIELDS[index]}")
        bits |= _term(match, index, spread)
    return bits


def _term(match: re.Match[str], index: int, spread: _Spread) -> int:
    everything, first, last, hashed, low, high, step_text = match.groups()
    name, (lowest, highest) = _FIELDS[index], _BOUNDS[index]
    if everything:
        start, end = lowest, highest
    elif hashed:
        start, end = (int(low), int(high)) if low else _HASH_BOUNDS[index]
    else:
        start, end = int(first), int(last or first)
        if step_text and not last:
            raise ValueError(f"“{match[0]}” has a step and no range")
    if not lowest <= start <= end <= highest:
        raise ValueError(f"“{match[0]}” is no {name} from {lowest} to {highest}")
    step = int(step_text or 1)
    if not 1 <= step <= end - start + 1:
        raise ValueError(f"the step of “{match[0]}” does not fit its range")
    if not hashed:
        return sum(1 << value for value in range(start, end + 1, step))
    if step == 1:
        return 1 << start + spread.below(end + 1 - start)
    return sum(1 << value for value in range(start + spread.below(step), end + 1, step))
