"""Unfinished things of a private repository: in a folder of their own, so that what killed runs left can be told."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LATER: Final = "It is removed, unless another process is at work there."
_MAKE = effects.declare("scratch.make", "a folder for what is unfinished", half=_LATER, done=_LATER)
_REMOVE = effects.declare("scratch.remove", "a folder for what is unfinished is removed", half=_LATER)
_REAP = effects.declare("scratch.reap", "what killed runs left unfinished is removed", half="The rest is removed.")


@contextmanager
def in_use(base: Path) -> Iterator[None]:
    """While this lasts, nobody takes what is unfinished for what a killed run left. Any number of processes may."""
    if not base.is_dir():
        with _MAKE:
            base.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(base, _FOLDER)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def scratch(base: Path) -> Iterator[Path]:
    """A new folder in `base`, removed at the end with whatever is there then."""
    with in_use(base):
        with _MAKE:
            folder = Path(tempfile.mkdtemp(dir=base))
        try:
            yield folder
        finally:
            with _REMOVE:
                shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, text: str, base: Path) -> None:
    """Write a file that others look for, whole or not at all, whenever this process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch(base) as unfinished:
        (unfinished / path.name).write_text(text, encoding="utf-8")
        (unfinished / path.name).replace(path)


def discard(folder: Path, base: Path) -> None:
    """Remove a folder that others look for: it is there whole or not at all, whenever this process is killed."""
    with scratch(base) as away, contextlib.suppress(FileNotFoundError):
        folder.rename(away / folder.name)


@contextmanager
def alone(base: Path) -> Iterator[bool]:
    """Whether nobody has anything unfinished in `base`; while this lasts, nobody begins anything there."""
    try:
        descriptor = os.open(base, _FOLDER)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def reap(base: Path, *others: Path) -> None:
    """Remove what killed runs left in `base`, and `others` that they left elsewhere, if nobody is at work there."""
    with alone(base) as nobody:
        left = [*base.iterdir(), *others] if nobody and base.exists() else []
        if left:
            with _REAP:
                for path in left:
                    _gone(path)


def _gone(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
