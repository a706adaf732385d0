"""What is wrong with an older configuration, as the one error that a person sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.errors import ConfigError
from byoci.log import SecretFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN: Final = 20
_LONGEST: Final = 300


class MigrationError(ConfigError):
    """The older configuration cannot be migrated; nothing was written. Each line begins with FILE:LINE."""

    def __init__(self, lines: Iterable[str], resolution: str = "") -> None:
        clean = [SecretFilter().clean(line)[:_LONGEST] for line in dict.fromkeys(lines)]
        more = [f"and {len(clean) - _SHOWN} more"] if len(clean) > _SHOWN else []
        super().__init__(
            "the older configuration cannot be migrated",
            details="\n".join(clean[:_SHOWN] + more),
            resolution=resolution or "Nothing was written. Correct the older files, and migrate again.",
        )
