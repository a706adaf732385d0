"""Where a repository may be: `[vcs.rewrite]`, what kind of place a URL names, and which of them are allowed.

Everything here is pure: no file is looked at and no name is resolved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from byoci.errors import RejectedError
from byoci.log import MASK, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SCHEMES: Final = frozenset({"https", "http", "ssh", "git+ssh", "bzr+ssh", "git", "bzr"})

_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP: Final = re.compile(r"(?:(?P<user>[^@/:\[\]]+)@)?(?P<host>\[[^\]/]+\]|[^/:@\[\]]+):(?P<path>.+)", re.DOTALL)
# Neither host nor user may be more than a word to a shell: ssh hands both to the commands of its configuration.
_HOST: Final = re.compile(r"\w[\w.-]*|\[?[0-9A-Fa-f:.]+(?:%\w+)?\]?")
_USER: Final = re.compile(r"(?:\w[\w.+=-]*)?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]+@|^[^/@:\s]+:[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What a project's branches may be reached through.

    schemes  lower case; "ssh" covers `user@host:path` too
    local    whether paths and `file:` URLs are allowed: for trunk itself and for sources of the local forge
    """

    local: bool = False
    schemes: frozenset[str] = DEFAULT_SCHEMES


@dataclass(frozen=True, slots=True)
class Url:
    """A place that a VCS program can be given; never one that it takes for an option or for a command.

    text      what to hand to the program: an absolute path, `scheme://…`, or `user@host:path`; http(s) without userinfo
    scheme    lower case; "file" for paths, "ssh" for `user@host:path`
    path      the absolute path of a local one; None for all others
    userinfo  `user:password` of an http(s) URL, decoded; never shown
    """

    text: str
    scheme: str
    path: Path | None = None
    userinfo: str = field(default="", repr=False)

    @property
    def local(self) -> bool:
        """Whether it is on this machine's own disk."""
        return self.path is not None

    def __str__(self) -> str:
        return shown(self.text)


def shown(url: str) -> str:
    """A URL for messages: without credentials, and harmless on a terminal."""

    def mask(match: re.Match[str]) -> str:
        login = match[0][:-1]
        return f"{login}@" if url.partition("://")[0].endswith("ssh") and ":" not in login else f"{MASK}@"

    return printable(_USERINFO.sub(mask, url))


def rewritten(url: str, rules: Mapping[str, str]) -> str:
    """`url` with the longest prefix that `rules` (`[vcs.rewrite]`) knows replaced; once, never repeatedly."""
    prefix = max((rule for rule in rules if rule and url.startswith(rule)), key=len, default="")
    return rules[prefix] + url[len(prefix) :] if prefix else url


def admit(url: str, policy: UrlPolicy, rules: Mapping[str, str]) -> Url:
    """The place that `url` names after rewriting; `RejectedError` where it is none or the policy does not allow it."""
    place = parse(rewritten(url.strip(), rules))
    if place.local and not policy.local:
        raise RejectedError(
            f"{place} is a path of this machine, and this project's sources are not",
            resolution="Propose a branch that a server offers.",
        )
    if not place.local and place.scheme not in policy.schemes:
        raise RejectedError(
            f"{place} uses {place.scheme}:, which is not allowed",
            resolution=f"Allowed are {', '.join(sorted(policy.schemes))}.",
        )
    return place


def parse(url: str) -> Url:
    """What a URL names, read as git and bzr read it; `RejectedError` for what only looks like a place.

    Refused are git's transport helpers (`ext::sh -c …`, `fd::`, any `NAME::`), whatever a program would take for an
    option (`-…`, also as host, user or path of an ssh URL), control characters (also encoded), and relative paths.
    """
    if not url or url.startswith("-") or _CONTROL.search(unquote(url)):
        raise _refusal(url, "it is empty, looks like an option, or has control characters in it")
    if _HELPER.match(url):
        raise _refusal(url, "it names a transport helper, which runs a program")
    if url.lower().startswith("file:"):
        return _file_url(url)
    if _SCHEME.match(url):
        return _remote_url(url)
    if ":" in url.partition("/")[0]:
        return _scp_like(url)
    return _local_path(url)


def _refusal(url: str, why: str) -> RejectedError:
    return RejectedError(
        f"{shown(url) or 'An empty string'} is not the URL of a branch",
        details=f"The URL is refused: {why}.",
        resolution="Use https://, ssh:// or user@host:path; on this machine an absolute path.",
    )


def _file_url(url: str) -> Url:
    rest = url[len("file:") :]
    if rest.startswith("//"):
        host, slash, tail = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise _refusal(url, "a file: URL has no host")
        rest = slash + tail
    return _local_path(unquote(rest))


def _local_path(text: str) -> Url:
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    if not path.is_absolute():
        raise _refusal(text, "a path must be absolute")
    return Url(str(path), "file", path)


def _scp_like(url: str) -> Url:
    match = _SCP.fullmatch(url)
    if "::" in url.partition("/")[0].partition("[")[0]:  # in an address in brackets it is IPv6's
        raise _refusal(url, "it looks like a transport helper's")
    if match is None or not _harmless(match["host"], match["user"] or "", match["path"]):
        raise _refusal(url, "it is neither a path nor user@host:path")
    return Url(url, "ssh")


def _harmless(host: str, user: str, path: str) -> bool:
    return bool(_HOST.fullmatch(host) and _USER.fullmatch(user)) and not path.startswith("-")


def _remote_url(url: str) -> Url:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise _refusal(url, "its host or port cannot be read") from None
    scheme = parts.scheme.lower()
    user = "" if scheme in ("http", "https") else unquote(parts.username or "")
    if not _harmless(unquote(parts.hostname or ""), user, unquote(parts.path).lstrip("/")):
        raise _refusal(url, "its host is missing, or host, user or path look like an option or a command")
    text = scheme + url[len(scheme) :]
    if scheme not in ("http", "https") or "@" not in parts.netloc:
        return Url(text, scheme)
    userinfo, _, host = parts.netloc.rpartition("@")
    return Url(text.replace(f"//{parts.netloc}", f"//{host}", 1), scheme, userinfo=unquote(userinfo))


def with_userinfo(place: Url) -> str:
    """The URL with its userinfo put back, for programs that take it nowhere else. Never log it, never show it."""
    if not place.userinfo:
        return place.text
    user, colon, password = place.userinfo.partition(":")
    return place.text.replace("://", f"://{quote(user, safe='')}{colon}{quote(password, safe='')}@", 1)
