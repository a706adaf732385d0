"""The secrets of an older site that stand in its files: values of options, and passwords within URLs."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from byoci.config.migrate.files import PROGRAM
from byoci.config.migrate.hidden import urls_with_passwords, without_passwords
from byoci.config.migrate.moving import Cut
from byoci.config.migrate.syntax import Offsets, lines_joined
from byoci.config.migrate.wrong import MigrationError
from byoci.config.older import canonical, is_secret

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.migrate.files import OlderFile
    from byoci.config.migrate.moving import Secrets
    from byoci.config.migrate.older_site import OlderSite
    from byoci.config.migrate.stack import Stack
    from byoci.config.migrate.syntax import Definition
_LONGEST_NAME: Final = 150


def find(site: OlderSite, found: Secrets) -> None:
    """Find every secret value: each goes to a file of its own, and out of the older file."""
    _values(site, found)
    for file in site.files:
        if file.kind != PROGRAM:
            _urls(site, file, found)


def _values(site: OlderSite, found: Secrets) -> None:
    texts: dict[Path, tuple[OlderFile, str, Offsets]] = {}
    for file in site.files:
        if file.kind != PROGRAM:
            texts[file.path] = (file, lines_joined(file.text), Offsets(file.text))
    taken: Counter[str] = Counter()
    for stack, definitions in ((site.stack, (*site.definitions, *site.notes)), (site.monitor_stack, site.monitor)):
        for one in definitions:
            if not is_secret(one.name) or not (one.value or one.moved):
                continue
            namespace = canonical(one.name)[0] or site.namespaces[0]
            name = "/".join(_quoted(part) for part in ("older", one.section or "", one.name) if part)
            taken[name] += 1
            if not one.moved:
                name += f"-{taken[name]}" if taken[name] > 1 else ""
                target = found.add(namespace, name, f"{_text(stack, one, namespace)}\n".encode(), None, one.place)
                found.moved[one] = f"{namespace}/secrets/{name}"
                found.cuts.append(_cut(one, target, *texts[one.file]))


def _text(stack: Stack, one: Definition, namespace: str) -> str:
    """The value, with what it refers to; as it stands where that is not known."""
    try:
        value = stack.value(one.name, one.section, {"byoci": namespace})
    except MigrationError:
        return one.value
    return value.text if value is not None and value.origin == one else one.value


def _cut(one: Definition, target: Path, file: OlderFile, joined: str, offsets: Offsets) -> Cut:
    """A comment in the place of the definition; what followed it on its line begins a new one."""
    line_end = joined.find("\n", one.end)
    rest = joined[one.end : line_end if line_end >= 0 else len(joined)].strip()
    ending = "\n" if rest and not rest.startswith("#") else ""
    note = f"# byoci migrate moved {one.name} to {target}{ending}"
    return Cut(file, offsets.original(one.start), offsets.original(one.end), note)


def _urls(site: OlderSite, file: OlderFile, found: Secrets) -> None:
    """Passwords in URLs anywhere in the file, comments too: the URL stays, the password goes."""
    folders = site.folders.named
    folder = next(number for number, named in enumerate(folders) if file.path.is_relative_to(named))
    below = f"{folder + 1}-{file.path.relative_to(folders[folder])}"
    text = file.text
    cut = sorted((one.start, one.end) for one in found.cuts if one.file is file)
    taken: Counter[int] = Counter()
    line, counted = 1, 0
    for start, end, url in urls_with_passwords(text):
        before = bisect_right(cut, (start, len(text))) - 1
        if before >= 0 and start < cut[before][1]:
            continue
        line += lines_joined(text[counted:start]).count("\n")
        counted = start
        taken[line] += 1
        name = f"older/{_quoted(f'{below}-{line}-{taken[line]}'.replace('/', '.'))}"
        place = f"{file.path}:{line}"
        target = found.add(site.namespaces[0], name, f"{url}\n".encode(), None, place)
        found.cuts.append(Cut(file, start, end, without_passwords(url)))
        found.notes.append(f"{place}: the password in a URL goes to {target}; the URL stays without it")


def _quoted(part: str) -> str:
    """`part` as the name of a file, whatever it holds and however long it is."""
    text = quote(part, safe="@+-_.:")
    if len(text) > _LONGEST_NAME:
        return f"{text[:_LONGEST_NAME]}-{hashlib.sha256(part.encode()).hexdigest()[:16]}"
    return text.replace(".", "%2E") if not text.strip(".") else text
