"""Trunks as they are written in the configuration and on command lines, and when two of them are the same."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from byoci.config.values import check_line
from byoci.model import Location

if TYPE_CHECKING:
    from pathlib import Path

# `host:path` is git's short form of an ssh URL, `lp:name` is bzr's of Launchpad: as in git, a colon before the first
# slash makes it no path of this machine.
_ELSEWHERE: Final = re.compile(r"[^/:]+:")


def is_local(url: str) -> bool:
    """Whether `url` is a path of this machine rather than a URL."""
    return not _ELSEWHERE.match(url)


def resolve_path(text: str, folder: Path, home: Path) -> str:
    """An absolute path from one that may start with `~` or be relative to `folder`; symbolic links stay."""
    if text == "~" or text.startswith("~/"):
        text = str(home) + text[1:]
    return os.path.normpath(folder / os.path.expanduser(text))  # noqa: PTH111 - ~name of others


def resolve_trunk(text: str, folder: Path, home: Path) -> Location:
    """`URL[;BRANCH]` with a path made absolute. Raises `ValueError` where it is neither."""
    check_line(text)
    location = Location.parse(text)
    if not location.url or location.url.startswith("-") or (location.branch or "").startswith("-"):
        raise ValueError("must be a URL or path, and after a ; the branch's name")
    if not is_local(location.url):
        return location
    return Location(resolve_path(location.url, folder, home), location.branch)


def canonical(location: Location) -> Location:
    """The form in which two spellings of one trunk are equal: file:// is a path, links are followed, end slashes gone.

    Meant for comparing resolved locations only, never for opening one.
    """
    url = location.url
    if url.lower().startswith("file://"):
        path = url[len("file://") :]
        url = unquote(path.removeprefix("localhost") if path.startswith("localhost/") else path)
    if is_local(url):
        return Location(os.path.realpath(url), location.branch)
    scheme, separator, rest = url.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        url = f"{scheme.lower()}://{user}{at}{host.lower()}{slash}{path}"
    return Location(url.rstrip("/"), location.branch)
