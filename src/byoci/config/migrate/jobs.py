"""The trunks, which the older programs were told by their jobs: `land-approved-VCS-proposal TRUNK FOLDER CONTAINER`.

Jobs are files of jenkins-job-builder. Of their YAML no more is read than is needed: the items of the file's list, in
each the texts directly below it (`name: anvil`), the list `jobs`, and the lines that land. What such a line takes from
a project (`{trunk}`) is put in. What cannot be read so is told, and `--trunk` names it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.syntax import lines_joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from byoci.config.migrate.files import OlderFile

_ITEM: Final = re.compile(r"- (?P<kind>[A-Za-z-]+):[ \t]*(?:#.*)?$")
_TEXT: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*):(?:[ \t]+(?P<value>.*))?$")
_LANDS: Final = re.compile(r"land-approved-(?P<vcs>git|bzr|gitlab|\{\w+\})-proposal(?=\s)(?P<rest>.*)")
_VARIABLE: Final = re.compile(r"\{([A-Za-z_]\w*)\}")
_ENTRY: Final = re.compile(r"-[ \t]+(?P<value>.+?):?[ \t]*$")
_NAME_IT: Final = "--trunk CONTAINER VCS TRUNK"


@dataclass(frozen=True, slots=True)
class Trunk:
    """A trunk that the older site landed on.

    name       the project's, where the jobs give it one; else the container's
    kind       git, bzr or gitlab: what the older command said
    trunk      as the older command was told it
    container  whose configuration has the commands
    place      FILE:LINE, or --trunk
    """

    name: str
    kind: str
    trunk: str = field(repr=False)
    container: str
    place: str


@dataclass(slots=True)
class _Item:
    """An item of a file's list: a project, a job or a job-template."""

    kind: str
    place: str
    texts: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    lands: list[tuple[str, re.Match[str]]] = field(default_factory=list)


def trunks(files: Iterable[OlderFile]) -> tuple[list[Trunk], list[str]]:
    """The trunks of all jobs, in the files' order, and what could not be read, a sentence each."""
    items = [item for file in files for item in _items(file)]
    found: dict[tuple[str, str, str], Trunk] = {}
    problems: list[str] = []
    for item in items:
        for place, line in item.lands:
            users = _users(item, items)
            if item.kind == "job-template" and not users:
                problems.append(f"{place}: no project here uses the template; name its trunks: {_NAME_IT}")
            plain: list[_Item | None] = [] if item.kind == "job-template" else [None]
            for user in users or plain:
                landed = _landing(user.place if user else place, line, user.texts if user else None)
                if isinstance(landed, Trunk):
                    found.setdefault((landed.kind, landed.trunk, landed.container), landed)
                else:
                    problems.append(landed)
    return list(found.values()), list(dict.fromkeys(problems))


def _users(item: _Item, items: Iterable[_Item]) -> list[_Item]:
    """The projects that use a template, also through a group of jobs; their texts are what its lines may take."""
    name = item.texts.get("name", "")
    groups = {group.texts.get("name", "") for group in items if group.kind == "job-group" and name in group.jobs}
    wanted = {name} | groups - {""}
    return [one for one in items if one.kind == "project" and not wanted.isdisjoint(one.jobs)]


def _landing(place: str, line: re.Match[str], variables: Mapping[str, str] | None) -> Trunk | str:
    """The trunk that a landing line tells, or what is not known of it."""
    try:
        words = _arguments(shlex.split(line["rest"], comments=True))
    except ValueError:
        words = []
    if len(words) < 3:
        return f"{place}: the job's trunk cannot be read; name it: {_NAME_IT}"
    told = [line["vcs"], words[0], words[2]]
    if variables is not None:
        told = [_VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text) for text in told]
    kind, trunk, container = told
    unknown = next((text for text in told if "{" in text or "$" in text), None)
    if unknown is not None or kind not in ("git", "bzr", "gitlab"):
        return f"{place}: {unknown or kind} is not known here; name the job's trunk: {_NAME_IT}"
    return Trunk((variables or {}).get("name", container), kind, trunk, container, place)


def _arguments(words: list[str]) -> list[str]:
    """The words of a command without its options (`-O NAME=VALUE`)."""
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("-O", "--option"):
            next(rest, None)
        elif not word.startswith("-"):
            plain.append(word)
    return plain


def _items(file: OlderFile) -> Iterator[_Item]:
    item: _Item | None = None
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(lines_joined(file.text).split("\n"), 1):
        if begins := _ITEM.match(line):
            if item is not None:
                yield _read(item, lines, file)
            item, lines = _Item(begins["kind"], f"{file.path}:{number}"), []
        else:
            lines.append((number, line))
    if item is not None:
        yield _read(item, lines, file)


def _read(item: _Item, lines: list[tuple[int, str]], file: OlderFile) -> _Item:
    """Fill the item from its lines."""
    depth, key = 0, ""
    carried, began = "", 0
    for number, line in lines:
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        depth = depth or indent
        text = _TEXT.match(bare) if indent == depth and not bare.startswith("- ") else None
        if text is not None:
            key = text["key"]
            if value := _scalar(text["value"] or ""):
                item.texts[key] = value
            elif key == "jobs":
                item.jobs += [_scalar(part) for part in (text["value"] or "").strip(" []").split(",")]
        elif key == "jobs" and (entry := _ENTRY.match(bare)):
            item.jobs.append(_scalar(entry["value"]))
        began = began or number
        if bare.endswith("\\"):
            carried += bare[:-1] + " "
            continue
        if lands := _LANDS.search(carried + bare):
            item.lands.append((f"{file.path}:{began}", lands))
        carried, began = "", 0
    return item


def _scalar(value: str) -> str:
    """A YAML text of one line without its quotes or its comment; "" for what is no such text."""
    value = value.strip()
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else ""
    value = re.split(r"\s#", value, maxsplit=1)[0].strip()
    return "" if value[:1] in ("|", ">", "[", "{", "&", "*", "!", "#") else value
