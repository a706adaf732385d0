"""The file of pinned host keys. A line is a person's own, or says in its last word whose it is: `byoci:OWNER`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.durable import locked, replace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def address(host: str, port: int) -> str:
    """A host as such a line names it."""
    return host if port == 22 else f"[{host}]:{port}"


def line(host: str, port: int, key: str) -> str:
    """The line that pins a host's key; `key` is its type and its base64, whatever comes after these."""
    kind, data = key.split()[:2]
    return f"{address(host, port)} {kind} {data}"


def pins(path: Path, owner: str) -> list[str]:
    """The owner's lines, without his name."""
    mark = f" {_mark(owner)}"
    return [text.removesuffix(mark) for text in _lines(path) if text.endswith(mark)]


def owners(path: Path) -> set[str]:
    """Who has lines."""
    words = {text.rpartition(" ")[2] for text in _lines(path)}
    return {word.removeprefix(_mark("")) for word in words if word.startswith(_mark(""))}


def pin(path: Path, owner: str, lines: Iterable[str]) -> bool:
    """Give the owner exactly these lines, and leave all others as they are; whether that changed anything."""
    with locked(path.parent):
        before = _lines(path)
        mark = f" {_mark(owner)}"
        after = [text for text in before if not text.endswith(mark)] + [text + mark for text in lines]
        if after == before:
            return False
        replace(path, "".join(f"{text}\n" for text in after).encode("utf-8", "surrogateescape"))
    return True


def _mark(owner: str) -> str:
    return f"byoci:{owner}"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
