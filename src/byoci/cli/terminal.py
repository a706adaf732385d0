"""What code under test prints, for a terminal: colours pass, everything else that a terminal obeys becomes visible."""

from __future__ import annotations

import codecs
import re
from typing import Final

from byoci.log import printable

# Colours and the like (ECMA-48, SGR), line ends and tabulators; no other control may do anything.
_HARMLESS: Final = re.compile(r"(\x1b\[[0-9;:]{0,40}m|\r?\n|\t)")
_UNDECIDED: Final = re.compile(r"(?:\x1b(?:\[[0-9;:]{0,40})?|\r)\Z")


class Harmless:
    """Turns a stream of bytes into text that is safe to show, as it comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, chunk: bytes, *, final: bool = False) -> str:
        """What can be shown now; the rest of what was fed comes with the next chunk, at the latest with a final one."""
        text = self._held + self._decoder.decode(chunk, final)
        undecided = None if final else _UNDECIDED.search(text)
        self._held = undecided[0] if undecided else ""
        text = text.removesuffix(self._held)
        return "".join(part if number % 2 else printable(part) for number, part in enumerate(_HARMLESS.split(text)))
