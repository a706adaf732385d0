"""Sizes, durations, names and texts as people write them in the configuration; pure, each with its way back.

Every `check_…` and `parse_…` raises `ValueError` with a text that follows the key: "must be …".
"""

from __future__ import annotations

import math
import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,99}")
_QUANTITY: Final = re.compile(r"\s*(\d{1,16}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SIZE_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TIME_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_WORDS: Final = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d"}
MAX_SIZE: Final = 2**53
MAX_SECONDS: Final = 366 * 86400.0


def parse_size(value: object) -> int:
    """Bytes from 4096, "512M", "2G", "1.5GiB" or "500MB"; every unit is a power of 1024."""
    number, unit = _quantity(value, 'a size such as "512M" or "2G"')
    factor = _SIZE_UNITS.get(unit.lower().removesuffix("ib").removesuffix("b"))
    if factor is None:
        raise ValueError(f'must be a size such as "512M" or "2G"; the unit {unit!r} is not known (K, M, G, T)')
    size = round(number * factor)
    if not 1 <= size <= MAX_SIZE:
        raise ValueError('must be a size of at least one byte and at most "8192T"')
    return size


def format_size(size: int) -> str:
    """The shortest text without a fraction that `parse_size` reads as `size`."""
    for unit in ("T", "G", "M", "K"):
        factor = _SIZE_UNITS[unit.lower()]
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def parse_duration(value: object) -> float:
    """Seconds from 90, 1.5, "90s", "30m", "1h" or "2 days"."""
    wanted = 'must be a time such as "90s", "30m" or "1h"'
    number, unit = _quantity(value, wanted.removeprefix("must be "))
    word = unit.lower()
    word = _TIME_WORDS.get(word.removesuffix("s"), word) if len(word) > 1 else word
    factor = _TIME_UNITS.get(word)
    if factor is None:
        raise ValueError(f"{wanted}; the unit {unit!r} is not known (s, m, h, d)")
    seconds = number * factor
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"{wanted}, more than nothing and at most a year")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as `seconds`, given to a millionth."""
    for unit in ("d", "h", "m"):
        factor = _TIME_UNITS[unit]
        if seconds % factor == 0:
            return f"{seconds / factor:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def _quantity(value: object, wanted: str) -> tuple[float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return value, ""
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be {wanted}")
    return float(match[1]), match[2]


def check_name(name: str) -> str:
    """A name that is safe as a file name, a word of a command line and a part of a job's name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "is no good name: letters, digits and . _ + - are allowed, at most 100, and it may not start with . or -"
        )
    return name


def check_line(text: str) -> str:
    """A single line that holds something and no control characters."""
    if not text.strip() or _CONTROL.search(text):
        raise ValueError("must be a single line of text without control characters, and not empty")
    return text


def check_text(text: str) -> str:
    """Any text that an environment variable can hold."""
    if "\0" in text:
        raise ValueError("may not hold a NUL character")
    return text


def check_word(text: str) -> str:
    """The name of a person or team on a forge: one word."""
    if not text or text != "".join(text.split()) or _CONTROL.search(text) or "," in text:
        raise ValueError(f"must hold names of people or teams, one word each; {text[:100]!r} is none")
    return text


def check_full_name(text: str) -> str:
    """A committer's name: git and bzr write it before `<email>`, so it may hold neither bracket."""
    check_line(text)
    if "<" in text or ">" in text:
        raise ValueError("must be a name without < and >; the address has its own key, landing.email")
    return text.strip()


def check_email(text: str) -> str:
    """A committer's address; whether mail arrives there is nobody's business here."""
    check_line(text)
    if "@" not in text.strip("@") or re.search(r"[\s<>]", text):
        raise ValueError('must be an address such as "bot@example.com"')
    return text


def check_command(text: str) -> str:
    """A shell command; it may have several lines."""
    if not text.strip() or "\0" in text:
        raise ValueError("must be a shell command, or a list of them, none of them empty")
    return text


def check_inside(text: str) -> str:
    """A relative path, or pattern, that cannot lead out of the folder it starts from."""
    check_line(text)
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise ValueError(
            f"must be a path within the project, without .. and not starting with /; {text[:100]!r} is none"
        )
    return text


def check_variable(name: str) -> str:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(name):
        raise ValueError("is no name of an environment variable: letters, digits and _, not starting with a digit")
    return name
