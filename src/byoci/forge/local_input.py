"""What people type for the local forge, checked: taken whole, or refused with a `UsageError` that says why."""

from __future__ import annotations

import difflib
import re
import unicodedata
from enum import StrEnum
from typing import Final, TypeVar

from byoci import log
from byoci.errors import UsageError
from byoci.log import printable
from byoci.model import Location, Status, VoteValue

TITLE: Final = 200  # the longest of each, in characters
TEXT: Final = 50_000
NAME: Final = 100
TYPE: Final = 40
URL: Final = 2_000
REVISION: Final = 500

_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_Word = TypeVar("_Word", bound=StrEnum)


def parse_vote(text: str) -> VoteValue:
    """A vote as people write it: in any case, with spaces, dashes or underscores."""
    return _word(VoteValue, text, "vote")


def parse_status(text: str) -> Status:
    """A status as people write it: in any case, with spaces, dashes or underscores."""
    return _word(Status, text, "status")


def _word(kind: type[_Word], text: str, what: str) -> _Word:
    known = {_folded(word): word for word in kind}
    if _folded(text) in known:
        return known[_folded(text)]
    near = difflib.get_close_matches(_folded(text), known, 1)
    raise UsageError(
        f"“{shown(text)}” is no {what}" + (f"; is it {known[near[0]]}?" if near else ""),
        resolution=f"A {what} is one of: {', '.join(kind)}.",
    )


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]+", "", text).casefold()


def proposal_id(text: str) -> int:
    """The number of a proposal."""
    if not _ID.fullmatch(text):
        raise unknown(text)
    return int(text)


def unknown(text: str) -> UsageError:
    """There is no such proposal."""
    return UsageError(f"there is no proposal {shown(text)}", resolution="`byoci proposal list` shows those that are.")


def name(text: str, what: str) -> str:
    """A person's, team's or project's name: one word."""
    _refuse_if(not text, f"the {what}'s name is empty")
    _refuse_if(len(text) > NAME, f"the {what}'s name is longer than {NAME} characters")
    odd = any(char.isspace() or char == "=" for char in text) or text.startswith("-") or _hidden(text)
    _refuse_if(
        odd, f"“{shown(text)}” is no {what}'s name: spaces, =, a leading dash and hidden characters are not allowed"
    )
    return text


def title(text: str) -> str:
    """A title: one line that shows all that it holds."""
    text = text.strip()
    _refuse_if(not text, "the title is empty")
    _refuse_if(len(text) > TITLE, f"the title is longer than {TITLE} characters")
    _refuse_if(_hidden(text), f"the title “{shown(text)}” has control characters")
    return text


def prose(text: str, what: str) -> str:
    """A description or comment: lines of text. Other line ends become line feeds."""
    text = text.replace("\r\n", "\n").strip("\n")
    _refuse_if(len(text) > TEXT, f"the {what} is longer than {TEXT} characters")
    _refuse_if(_hidden(text.replace("\n", "").replace("\t", "")), f"the {what} has control characters")
    return text


def machine_prose(text: str) -> str:
    """A lander's comment, which may quote a log: made harmless and shortened, as nobody can ask for another one."""
    text = log.shown(text.encode("utf-8", "replace").decode())
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def review_type(text: str) -> str:
    """A review type, in lower case; "" is none."""
    text = text.strip().lower()
    _refuse_if(len(text) > TYPE, f"the review type is longer than {TYPE} characters")
    _refuse_if(_hidden(text), f"the review type “{shown(text)}” has control characters")
    return text


def revision(text: str) -> str:
    """A revision's id."""
    odd = not text or len(text) > REVISION or any(char.isspace() for char in text) or _hidden(text)
    _refuse_if(odd, f"“{shown(text)}” is no revision")
    return text


def location(place: Location, what: str) -> Location:
    """Where a branch is. Whether it may be opened is for the version control system to say."""
    for part, longest in ((place.url, URL), (place.branch or "x", NAME * 5)):
        # A leading dash would be an option to a program.
        odd = not part.strip() or len(part) > longest or part.startswith("-") or _hidden(part)
        _refuse_if(odd, f"“{shown(str(place))}” is no place for a {what}")
    return place


def shown(text: str) -> str:
    """Refused text, within an error message."""
    line = printable(text.encode("utf-8", "backslashreplace").decode()).replace("\n", "\\n")
    return line if len(line) <= NAME else line[: NAME - 1] + "…"


def _hidden(text: str) -> bool:
    """Whether a terminal or a page would show something else than the text holds, or cannot hold it at all."""
    # Cc control, Cs half of a surrogate pair, Zl and Zp line ends; printable knows the direction overrides.
    return printable(text) != text or any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in text)


def _refuse_if(wrong: bool, brief: str) -> None:
    if wrong:
        raise UsageError(brief, resolution="Nothing was changed.")
