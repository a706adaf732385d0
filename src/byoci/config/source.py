"""A configuration file as it was read: its tables, the overlays of its namespaces, and the line of every key."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from byoci.config.older import told
from byoci.config.toml_lines import key_lines
from byoci.errors import ConfigError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 20
_MAX_DOTS: Final = 300  # in one line; the parser's memory grows with the square of a dotted key's length
_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")

Table = dict[str, Any]
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says.

    base      all but the namespaces
    overlays  namespace → what it lays over the base
    lines     path of a key → its line; those of an overlay start with "namespace", NAME
    """

    path: Path
    base: Table
    overlays: Mapping[str, Table]
    lines: Mapping[Key, int]

    def merged(self, namespace: str) -> Table:
        """The base with the namespace's overlay on it: tables merge, everything else, lists too, is replaced."""
        return overlay(self.base, self.overlays.get(namespace, {}))

    def written(self, key: Key, namespace: str) -> tuple[Key, int]:
        """Where the value of `key` in `namespace` was written, or where the nearest table around it was.

        Returns the key as the file has it, with "namespace", NAME before it where the overlay wrote it, and the line;
        line 0 where the file has nothing of it.
        """
        prefix = ("namespace", namespace)
        for length in range(len(key), 0, -1):
            for path in ((*prefix, *key[:length]), key[:length]):
                if path in self.lines:
                    return path, self.lines[path]
        return (), 0


def overlay(base: Table, over: Table) -> Table:
    """A new table: `over` laid over `base`. Tables merge, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def read(path: Path) -> Source:
    """Read a configuration file. Raises `ConfigError` where it cannot be read or is no TOML."""
    return parse(contents(path), path)


def parse(raw: bytes, path: Path) -> Source:
    """The source that `raw` makes, read from (or about to be written to) `path`. Raises `ConfigError`."""
    text = _decode(raw, path)
    document = _toml(text, path)
    overlays = document.pop("namespace", {})
    if not isinstance(overlays, dict) or not all(isinstance(table, dict) for table in overlays.values()):
        raise ConfigError(
            "the configuration is wrong",
            details=f"{path}: namespace must be a table of tables",
            resolution="Write [namespace.NAME.SECTION], for example [namespace.production.site].",
        )
    return Source(path, document, overlays, key_lines(text))


def contents(path: Path) -> bytes:
    """The bytes of a regular file of at most `MAX_BYTES`. Raises `ConfigError` where it is none or cannot be read."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"the configuration file cannot be read: {reason}", details=printable(str(path))) from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigError("the configuration must be a regular file", details=f"{path} is none")
        if facts.st_size > MAX_BYTES:
            raise ConfigError(f"the configuration file is larger than {MAX_BYTES} bytes", details=str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES)
    finally:
        os.close(descriptor)


def _decode(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "the configuration is not UTF-8",
            details=f"{path}:{line}: the byte 0x{raw[error.start]:02x} is no part of UTF-8 text",
            resolution="Save the file as UTF-8.",
        ) from error


def _toml(text: str, path: Path) -> Table:
    if any(line.count(".") > _MAX_DOTS for line in text.splitlines()):
        raise ConfigError(
            "the configuration is nested too deeply", details=f"{path}: a line has more than {_MAX_DOTS} dots"
        )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(str(error), text, path) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets of thousands of levels
        raise ConfigError(
            "the configuration is no TOML", details=f"{path}: a number or a nesting is beyond all measure"
        ) from error
    if _deeper_than(document, MAX_DEPTH):
        raise ConfigError("the configuration is nested too deeply", details=f"{path}: more than {MAX_DEPTH} levels")
    return document


def _broken(message: str, text: str, path: Path) -> ConfigError:
    """The error for a text that is no TOML; a line of an older configuration gets its successor told."""
    place = _PLACE.search(message)
    number = int(place[1]) if place else text.count("\n") + 1
    column = f":{place[2]}" if place else ""
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else ""
    details = f"{path}:{number}{column}: {printable(_PLACE.sub('', message).strip()[:200])}"
    key = line.partition("=")[0].strip()
    section = next(
        (found.strip(" []") for found in reversed(lines[: number - 1]) if found.lstrip().startswith("[")), ""
    )
    now = told(tuple(key.split(".")))
    if now and not (section and f"{section}.{key}" in now):  # in its section the name is the new one
        details += f"\n{printable(line.strip()[:100])}: a name of the older byoci; {now}"
    return ConfigError(
        "the configuration is no TOML",
        details=details,
        resolution='Texts stand in quotes (trunk = "~/src/hello.git"), sections in brackets ([project.hello]).',
    )


def _deeper_than(document: Table, depth: int) -> bool:
    level: list[object] = [document]
    for _ in range(depth):
        inner: list[object] = []
        for value in level:
            inner.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
        level = inner
    return any(isinstance(value, dict | list) for value in level)
