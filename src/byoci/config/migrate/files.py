"""Which older files there are in the folders that a person names, in the order in which they count.

    FOLDER/byov.conf, FOLDER/byov.conf.d/*.conf, FOLDER/conf.d/*.conf      options, for each folder in turn
    FOLDER/existing-vms.conf                                               byov's notes on machines
    FOLDER/byoci.conf                                                      the monitor's own options
    FOLDER/jobs/*.yaml                                                     the jobs, which know the trunks

A definition, `~/.config/byov` and `/etc/byov` are such folders. Nothing outside of the named folders is read, whatever
links and options say.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.wrong import MigrationError
from byoci.config.source import contents
from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPTIONS, NOTES, MONITOR, JOBS, PROGRAM = "options", "notes", "monitor", "jobs", "program"
MAX_FILES: Final = 500
MAX_BYTES: Final = 4 * 1024 * 1024  # of all files together
_NAME_THEM: Final = "Name the folder that it is in, too, or put the file itself in its place. Nothing was written."
_FAR: Final = "leads out of the folders that were named"


@dataclass(frozen=True, slots=True)
class OlderFile:
    """A file of an older configuration.

    path  as the person named its folder
    real  where it is
    kind  options, notes, monitor, jobs, or program (a `byov.py`, which is not read)
    """

    path: Path
    real: Path
    kind: str
    raw: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The content. Raises `MigrationError` where it is not UTF-8."""
        try:
            return self.raw.decode()
        except UnicodeDecodeError as error:
            line = self.raw.count(b"\n", 0, error.start) + 1
            found = f"{self.path}:{line}: the byte 0x{self.raw[error.start]:02x} is no part of UTF-8 text"
            raise MigrationError([found], "Nothing was written. Save the file as UTF-8.") from error


class Folders:
    """The folders that may be read, each by the name that the person gave and by its real path."""

    def __init__(self, named: Sequence[Path]) -> None:
        """Raises `MigrationError` for what is no folder."""
        self.named = tuple(named)
        self._real = tuple(Path(os.path.realpath(folder)) for folder in named)
        self.read: set[Path] = set()  # the files that were read as parts of the configuration
        bad = [f"{name}: is no folder" for name, real in zip(named, self._real, strict=True) if not real.is_dir()]
        if bad:
            raise MigrationError(bad, "Name the folder of the older definition, and others that count after it.")

    def inside(self, path: Path) -> Path | None:
        """The real path of `path` if it is inside of a folder, links followed; None otherwise."""
        real = Path(os.path.realpath(path))
        return real if any(real.is_relative_to(folder) for folder in self._real) else None

    def find(self, name: str) -> Path | None:
        """The file that an option names, in the first folder that has it. Raises `MigrationError` outside of them."""
        for folder in self.named:
            path = folder / name
            real = self.inside(path)
            if real is None and os.path.lexists(path):
                raise MigrationError([f"{path}: {_FAR}"], _NAME_THEM)
            if real is not None and real.is_file():
                self.read.add(real)
                return real
        return None


def read_all(folders: Folders) -> list[OlderFile]:
    """All older files of the folders, those of options in the order in which they count.

    Raises `MigrationError` where there are none, where one cannot be read, or leads out of the folders.
    """
    found: dict[Path, OlderFile] = {}
    wrong: list[str] = []
    for path, kind in _candidates(folders):
        real = folders.inside(path)
        if real is None:
            raise MigrationError([f"{path}: {_FAR}"], _NAME_THEM)
        if real in found:
            continue
        if len(found) == MAX_FILES:
            raise MigrationError([f"{path.parent}: there are more than {MAX_FILES} files"])
        try:
            raw = b"" if kind == PROGRAM else contents(path)
        except ConfigError as error:
            wrong.append(f"{path}: {error.brief}")
            continue
        found[real] = OlderFile(path, real, kind, raw)
        folders.read.add(real)
        if sum(len(file.raw) for file in found.values()) > MAX_BYTES:
            raise MigrationError([f"{path}: the files are larger than {MAX_BYTES} bytes together"])
    if wrong:
        raise MigrationError(wrong)
    if not any(file.kind in (OPTIONS, MONITOR) for file in found.values()):
        raise MigrationError(
            [f"{folder}: has no byov.conf, byov.conf.d, conf.d or byoci.conf" for folder in folders.named],
            "Name the folder of the older definition: the one with byov.conf.",
        )
    return list(found.values())


def _candidates(folders: Folders) -> Iterator[tuple[Path, str]]:
    """The files that exist under the names that count."""
    for folder in folders.named:
        yield from _existing(folder / "byov.conf", OPTIONS)
        for below in ("byov.conf.d", "conf.d"):
            yield from _listed(folders, folder / below, (".conf",), OPTIONS)
            yield from _existing(folder / below / "byov.py", PROGRAM)
    for folder in folders.named:
        yield from _existing(folder / "existing-vms.conf", NOTES)
        yield from _existing(folder / "byoci.conf", MONITOR)
        yield from _listed(folders, folder / "jobs", (".yaml", ".yml"), JOBS)


def _existing(path: Path, kind: str) -> Iterator[tuple[Path, str]]:
    if os.path.lexists(path):
        yield path, kind


def _listed(folders: Folders, folder: Path, endings: tuple[str, ...], kind: str) -> Iterator[tuple[Path, str]]:
    """The files of a folder whose names end so, in the order of their names."""
    if not os.path.lexists(folder):
        return
    if folders.inside(folder) is None:
        raise MigrationError([f"{folder}: {_FAR}"], _NAME_THEM)
    try:
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise MigrationError([f"{folder}: cannot be read: {error.strerror}"]) from error
    yield from ((folder / name, kind) for name in names if name.endswith(endings))
