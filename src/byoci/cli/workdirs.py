"""Workspaces that jobs name: emptied safely, and remembered outside of them, where the code under test cannot write."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from byoci.gate.plan import Gate
    from byoci.wiring import Site

_INPUT_LIMIT: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Made:
    """What a workspace was made for.

    by_hand  whether it holds a merge by hand, whose tests decide about its push
    """

    project: str | None
    revision: str
    by_hand: bool = False


def empty(folder: Path) -> None:
    """Make `folder` an empty folder, whatever it held; links are removed, never followed."""
    from byoci.worker import tree

    if folder.is_symlink():
        raise UnavailableError(f"{folder} is a symbolic link", resolution="Name the folder itself.")
    if folder.exists():
        tree.remove(folder)
    folder.mkdir(parents=True, mode=0o755)


def remember(site: Site, folder: Path, *, project: str | None, revision: str, by_hand: bool = False) -> None:
    """Note what `folder` was made for."""
    place = _note(site, folder)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = place.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(dataclasses.asdict(Made(project, revision, by_hand))))
    draft.replace(place)


def recall(site: Site, folder: Path) -> Made | None:
    """What `folder` was made for; None where byoci did not make it."""
    try:
        return Made(**json.loads(_note(site, folder).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UnavailableError(
            f"the note about {folder} cannot be read", details=str(error), resolution="Make the tree again."
        ) from error


def setup_inputs(gate: Gate, folder: Path, paths: Sequence[str]) -> Mapping[str, bytes]:
    """The files that the project's setup sees: those in `folder`, or trunk's where the setup gets credentials."""
    plan = gate.project.tests.setup
    if plan is not None and plan.credentials:
        return gate.vcs.read(gate.vcs.fetch(gate.project.trunk, trusted=True), paths)
    found = {path: _content(folder, path) for path in paths}
    return {path: content for path, content in found.items() if content is not None}


def _note(site: Site, folder: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return site.config.state / "workdirs" / f"{digest}.json"


def _content(folder: Path, path: str) -> bytes | None:
    """A regular file's content, no component of its path a link; None where it is none."""
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, name = path.split("/")
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    except OSError:
        return None
    finally:
        os.close(here)
    with open(file, "rb") as stream:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            return None
        content = stream.read(_INPUT_LIMIT + 1)
    if len(content) > _INPUT_LIMIT:
        raise UnavailableError(f"{path} is too large for an input of the setup")
    return content
