"""What is new in a build: the changes that its checkout told, from the output of git or bzr, which is untrusted."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from byoci.controller.render import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MOST: Final = 1000
_LONGEST: Final = 20_000  # characters of a message
_LONGEST_PERSON: Final = 1000  # characters
_MOST_PATHS: Final = 2000  # of a change
_KINDS: Final = {"A": "add", "D": "delete"}
_PERSON: Final = re.compile(r"\s*(.*?)\s*<([^<>]*)>\s*")


@dataclass(frozen=True, slots=True)
class Change:
    """A revision. `seconds` are since the epoch; `paths` are pairs of add, delete or edit, and a path."""

    id: str
    author: str
    email: str
    seconds: float
    message: str
    paths: tuple[tuple[str, str], ...] = ()


def read_changes(text: str, previous: str) -> list[Change]:
    """The changes, the newest first, without the revision `previous`; what cannot be read is left out."""
    found = _git(text) if text.startswith("\x01") else _bzr(text)
    return [change for change in found if change.id != previous][:_MOST]


def _git(text: str) -> Iterator[Change]:
    """Of `git log -z --name-status`: each change begins with \\1, and has \\2 between its fields."""
    for entry in text.split("\x01")[1:]:
        fields = entry.split("\x02")
        if len(fields) < 6 or not re.fullmatch(r"[0-9a-f]{40,64}", fields[0]):
            continue
        commit, author, email, seconds, message = fields[:5]
        words = [word.strip("\n") for word in "\x02".join(fields[5:]).split("\0") if word.strip("\n")]
        paths = zip(words[::2], words[1::2], strict=False)
        yield _change(commit, author, email, _number(seconds), message, paths)


def _change(
    commit: str, author: str, email: str, seconds: float, message: str, paths: Iterable[tuple[str, str]]
) -> Change:
    told = tuple((_KINDS.get(kind[:1], "edit"), safe_text(path)[:4096]) for kind, path in paths)[:_MOST_PATHS]
    commit, author, email = (safe_text(text)[:1000] for text in (commit, author, email))
    return Change(commit, author, email, seconds, safe_text(message.strip("\n"))[:_LONGEST], told)


def _bzr(text: str) -> Iterator[Change]:
    """Of `bzr log --long --show-ids --verbose`; indented entries are of merged revisions, which belong to theirs."""
    for entry in re.split(r"^-{60}\n", text, flags=re.MULTILINE)[1:]:
        fields: dict[str, str] = {}
        message: list[str] = []
        paths: list[tuple[str, str]] = []
        part = ""
        for line in entry.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith(" "):
                part = name
                fields.setdefault(name, value.strip())
            elif part == "message":
                message.append(line[2:])
            elif part in ("added", "removed", "modified", "renamed"):
                kind = {"added": "A", "removed": "D"}.get(part, "M")
                paths.append((kind, line.strip().rpartition(" ")[0].rstrip() or line.strip()))
        if "revision-id" in fields:
            who = (fields.get("author") or fields.get("committer", ""))[:_LONGEST_PERSON]
            person = _PERSON.fullmatch(who)
            author, email = person.groups() if person else (who, "")
            seconds = _seconds(fields.get("timestamp", ""))
            yield _change(fields["revision-id"], author, email, seconds, "\n".join(message), paths)


def _number(text: str) -> float:
    return float(text) if re.fullmatch(r"[0-9]{1,11}", text) else 0.0


def _seconds(text: str) -> float:
    """Of a time as in `Fri 2026-05-01 12:00:00 +0000`."""
    from datetime import datetime

    try:
        return datetime.strptime(text.partition(" ")[2], "%Y-%m-%d %H:%M:%S %z").timestamp()
    except ValueError:
        return 0.0


def save_changes(path: Path, changes: Iterable[Change]) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps([asdict(change) for change in changes]), encoding="utf-8")


def load_changes(path: Path) -> list[Change]:
    """What `save_changes` wrote; nothing where there is no such file."""
    try:
        return [Change(**change) for change in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
