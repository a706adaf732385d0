"""Doing what a migration's plan says: secrets are copied, byoci.toml is written, the older places are cleared, in turn.

A kill at any moment loses nothing: a secret leaves its older place only when its copy is durable and byoci.toml is
written. The same command again does what is left.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from byoci.config.migrate.wrong import MigrationError
from byoci.config.source import contents
from byoci.durable import locked, replace
from byoci.errors import UnavailableError, UsageError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from byoci.config.migrate.files import OlderFile
    from byoci.config.migrate.moving import Cut, Secret
    from byoci.config.migrate.plan import Plan


def carry_out(done: Plan, *, force: bool, keep: bool) -> bool:
    """Do what a plan says: copies, then byoci.toml, then what is cleared away. Whether there was anything to do.

    force  replace a byoci.toml that is there and differs
    keep   leave the secrets in their older places too

    Raises `UsageError` for a file that is there, `MigrationError` for other secrets in the secrets folder,
    `UnavailableError` where something cannot be written; nothing was cleared away then.
    """
    if done.output.is_symlink():
        raise UsageError(
            f"{printable(str(done.output))} is a link, and nothing is written through it",
            resolution="Nothing was written. Remove the link, or name another file with --output.",
        )
    output = Path(os.path.realpath(done.output))
    try:
        output.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(output.parent):
            written = done.written
            if not written and os.path.lexists(output) and not force:
                raise UsageError(
                    "there is another configuration already",
                    details=printable(str(output)),
                    resolution="Nothing was written. Name another file with --output, or replace it with --force.",
                )
            copied = _copy(done.secrets)
            if not written:
                replace(output, done.text.encode())
            cleared = False if keep else _clear_away(done)
    except OSError as error:
        raise UnavailableError(
            f"the migration stopped: {error.strerror}",
            details=printable(str(error.filename or output)),
            resolution="No secret left its place without a copy. Correct what hinders it, and migrate again.",
        ) from error
    return copied or not written or cleared


def _copy(found: Iterable[Secret]) -> bool:
    """Put every secret into its new place, durably; whether there was one to put."""
    new = []
    for one in found:
        if not os.path.lexists(one.target):
            new.append(one)
        elif contents(one.target) != one.content:
            raise MigrationError(
                [f"{one.told or one.target}: there is another {one.target} already"],
                "No secret was moved. Look which of the two is right, remove the other, and migrate again.",
            )
    for one in new:
        _private_folder(one)
        replace(one.target, one.content)
    return bool(new)


def _private_folder(one: Secret) -> None:
    """Make the folders of a secret, for nobody else to look into."""
    missing = [folder for folder in one.target.parents if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync(folder.parent)
    one.folder.chmod(0o700)


def _clear_away(done: Plan) -> bool:
    """Take the secrets out of their older places, where these still hold what was copied; whether there was any."""
    cleared = False
    for file, text in _cut(done.cuts):
        if contents(file.real) == file.raw:
            replace(file.real, text)
            cleared = True
    for source in dict.fromkeys(one.source for one in done.secrets if one.source is not None):
        copies = [one.content for one in done.secrets if one.source == source]
        if source.is_file() and all(contents(source) == copy for copy in copies):
            source.unlink()
            _sync(source.parent)
            cleared = True
    return cleared


def _cut(cuts: Iterable[Cut]) -> Iterator[tuple[OlderFile, bytes]]:
    """Each file that something is cut out of, with its new content."""
    files: dict[Path, list[Cut]] = {}
    for cut in cuts:
        files.setdefault(cut.file.real, []).append(cut)
    for pieces in files.values():
        text = pieces[0].file.text
        for cut in sorted(pieces, key=lambda one: one.start, reverse=True):
            text = text[: cut.start] + cut.instead + text[cut.end :]
        yield pieces[0].file, text.encode()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
