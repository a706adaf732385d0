"""What a landing's message says for machines: three last lines that nobody but the lander can have written there.

    Landing-Project: hello
    Landing-Proposal: 7
    Landing-Id: 0123456789abcdef0123456789abcdef

Values are percent-encoded where they hold anything but printable ASCII. Everything here is pure.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from byoci import model
from byoci.model import LandedRevision

if TYPE_CHECKING:
    from byoci.model import MergeMeta

_KEYS: Final = ("Landing-Project", "Landing-Proposal", "Landing-Id")
_PRINTABLE: Final = "".join(chr(code) for code in range(33, 127) if chr(code) != "%")
_BLOCK: Final = re.compile(r"\n\n" + "".join(rf"{key}: ([!-~]*)\n" for key in _KEYS) + r"\Z")

_UNWRITABLE: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")
_SKELETON: Final = re.compile(r"landing(?:project|proposal|id):")
# Letters and colons of other scripts that a reader takes for ours, beyond what NFKD folds.
_ALIKE: Final = str.maketrans(
    "\u2236\u02d0\ua789\u05c3\u0131\u0430\u0501\u0435\u0456\u0458\u04cf\u043e\u0440\u0441\u0455\u0442\u0261\u03bf\u03b9\u03b1",
    "::::iadeijloprstgoia",
)


def with_trailers(message: str, meta: MergeMeta) -> str:
    """The message a candidate is committed with: a person's text made harmless, an empty line, and our three lines."""
    said = neutralised(message) or f"Land {quote(meta.proposal, safe=_PRINTABLE)}"
    values = (meta.project, meta.proposal, meta.landing_id)
    ours = "".join(f"{key}: {quote(value, safe=_PRINTABLE)}\n" for key, value in zip(_KEYS, values, strict=True))
    return f"{said}\n\n{ours}"


def neutralised(message: str) -> str:
    """A person's message with no line that is one of ours, or that a reader takes for one: it is quoted with "> ".

    Whatever any reader takes for a line's end (CR, form feed, U+2028 …) becomes a newline; control characters and what
    was not UTF-8 (lone surrogates) become U+FFFD; empty lines around the text and spaces at a line's end go.
    """
    lines = [line.rstrip() for line in _UNWRITABLE.sub("\ufffd", message).splitlines()]
    return "\n".join(f"> {line}" if _looks_like_ours(line) else line for line in lines).strip("\n")


def landed(message: str, revision: str, approved_revision: str) -> LandedRevision | None:
    """The landing that a trunk revision's message tells, or None: its id must be the digest of what it names."""
    match = _BLOCK.search(message)
    if match is None:
        return None
    project, proposal, landing_id = map(unquote, match.groups())
    if landing_id != model.landing_id(project, proposal, approved_revision):
        return None
    return LandedRevision(landing_id, revision, project, proposal, approved_revision)


def _looks_like_ours(line: str) -> bool:
    folded = unicodedata.normalize("NFKD", line).casefold().translate(_ALIKE)
    return _SKELETON.match("".join(char for char in folded if "a" <= char <= "z" or char == ":")) is not None
