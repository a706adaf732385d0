"""What the monitor tells people and programs by itself: that something has changed, once, and in which words. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from byoci.model import Outcome
from byoci.web.mail import Mail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LINES: Final = 40  # of reasons, in a mail
_LONGEST: Final = 1000  # characters of such a line
_PROJECTS: Final = 50  # in a mail about several


class Kind(StrEnum):
    """What has changed. The last two are about a trunk: that nothing can land, and that it can again."""

    LANDED = "landed"
    FAILED = "failed"
    CONFLICT = "conflict"
    TROUBLE = "trouble"
    WELL = "well"


OF_OUTCOME: Final = {
    Outcome.LANDED: Kind.LANDED,
    Outcome.TESTS_FAILED: Kind.FAILED,
    Outcome.CONFLICT: Kind.CONFLICT,
}
"""What is told of a landing's end; what is not here is tried again, and is a trunk's trouble if that lasts."""
_WORDS: Final = {
    Kind.LANDED: "landed",
    Kind.FAILED: "tests failed",
    Kind.CONFLICT: "conflict",
    Kind.TROUBLE: "nothing can land",
    Kind.WELL: "well again",
}


@dataclass(frozen=True, slots=True)
class News:
    """A change, written down when it happened.

    number  its place in the order of all of them
    id      names it to whoever is told, and is the same however often he is
    at      seconds since 1970
    facts   "landing", as the JSON API has it, or "trouble", a text
    """

    number: int
    id: str
    project: str
    kind: Kind
    at: float
    facts: Mapping[str, Any]


def body(news: News, dashboard: str) -> bytes:
    """The documented JSON object that webhooks are sent."""
    told = {
        "id": news.id,
        "project": news.project,
        "kind": news.kind.value,
        "at": news.at,
        "landing": news.facts.get("landing"),
        "trouble": news.facts.get("trouble"),
        "url": _page(news, dashboard),
    }
    return json.dumps(told).encode()


def mail(all_: Sequence[News], address: str, dashboard: str) -> Mail:
    """The message to one reader, about news of one kind: one, or several trunks' state at once."""
    first = all_[0]
    if len(all_) == 1:
        subject, lines = _subject(first), _lines(first, dashboard)
    else:
        subject = f"{_WORDS[first.kind]}: {len(all_)} projects"
        lines = [line for news in all_[:_PROJECTS] for line in ("", *_lines(news, dashboard))]
        lines += [f"and {len(all_) - _PROJECTS} more"] if len(all_) > _PROJECTS else []
    told = hashlib.sha256(" ".join(news.id for news in all_).encode()).hexdigest()[:32]
    return Mail((address,), subject, "\n".join((*lines, "")), first.id if len(all_) == 1 else told)


def _subject(news: News) -> str:
    landing = news.facts.get("landing")
    return f"[{news.project}] {_WORDS[news.kind]}" + (f": {landing['proposal']} {landing['title']}" if landing else "")


def _lines(news: News, dashboard: str) -> list[str]:
    landing = news.facts.get("landing") or {}
    lines = [f"{_subject(news)}."]
    if news.kind is Kind.LANDED:
        lines.append(f"It is revision {landing['revision']} of the trunk.")
    else:
        told = [*(landing.get("reasons") or ()), str(news.facts.get("trouble") or "")]
        lines += ["", *(line[:_LONGEST] for line in "\n".join(told).splitlines()[:_LINES])]
    return [*lines, "", _page(news, dashboard)]


def _page(news: News, dashboard: str) -> str:
    return f"{dashboard}project/{quote(news.project, safe='')}"
