"""Workspaces that jobs name: emptied only when byoci made them, which is noted where code under test cannot write."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci import durable, effects
from byoci.controller.places import LOOPBACK
from byoci.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from byoci.gate.plan import Gate
    from byoci.wiring import Site

_CLAIM = effects.declare("workdir.claim", "a job's working folder is made, or emptied", half="The rest is removed.")
_REMEMBER = effects.declare(
    "workdir.remember",
    "what a job's working folder was made for",
    half="The note is as it was before.",
    done="It is known.",
)
_INPUT_LIMIT: Final = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Made:
    """What a workspace was made for.

    project  None for a tree of no project's trunk
    by_hand  whether it holds a merge by hand, whose tests decide about its push
    folder   its device and inode: another folder that takes its name later is not it
    """

    project: str | None
    revision: str
    by_hand: bool = False
    folder: tuple[int, int] = (0, 0)


def claim(site: Site, folder: Path) -> None:
    """Make `folder` an empty one. What it held is removed, without following links, if byoci made it.

    Raises `UsageError` for one that holds anything else: nobody names his home as a workspace on purpose.
    """
    from byoci.worker import tree

    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is no folder, or only a link to one", resolution="Name the folder itself.")
    real, home = folder.resolve(), site.config.home.resolve()
    if home.is_relative_to(real) or (real.is_relative_to(home) and not _of_a_job(site, real)):
        raise UsageError(f"{folder} is byoci's own", resolution="Name a folder outside of $BYOCI_HOME.")
    if not folder.exists():
        with _CLAIM:
            folder.mkdir(parents=True, mode=0o755)
    elif any(folder.iterdir()) and recall(site, folder) is None:
        raise UsageError(
            f"{folder} holds files that byoci did not put there, and would be emptied",
            resolution="Name a folder that is empty or not there yet, or empty it yourself.",
        )
    with _CLAIM:
        tree.clear(folder)
    remember(site, folder, project=None, revision="")


def _of_a_job(site: Site, folder: Path) -> bool:
    """Whether it is within the workspaces that the controller's own agents on this machine give to jobs."""
    config = site.config
    agents = (config.controller_folder / "agent", config.controller_folder / LOOPBACK, config.home / "agent")
    real = [agent.resolve() for agent in agents]
    return any(agent in folder.parents and "workspace" in folder.relative_to(agent).parts[:-1] for agent in real)


@_REMEMBER
def remember(site: Site, folder: Path, *, project: str | None, revision: str, by_hand: bool = False) -> None:
    """Note what `folder` was made for."""
    place = _note(site, folder)
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    durable.write(place, json.dumps(dataclasses.asdict(Made(project, revision, by_hand, _identity(folder)))).encode())


def recall(site: Site, folder: Path) -> Made | None:
    """What `folder` was made for; None where byoci did not make it."""
    try:
        raw = json.loads(_note(site, folder).read_text())
        made = Made(**{**raw, "folder": tuple(raw["folder"])})
        return made if made.folder == _identity(folder) else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise UnavailableError(
            f"the note about {folder} cannot be read", details=str(error), resolution="Make the tree again."
        ) from error


def check_given(site: Site, folder: Path) -> None:
    """Refuse, as root, a workspace that byoci did not make.

    A worker is an ordinary user, so all that its workspace holds changes hands. Nobody wants that for a folder that
    was there for something else, and root's rights would not stop it.
    """
    if os.geteuid() == 0 and recall(site, folder) is None:
        raise UsageError(
            f"{folder} was not made by byoci, and as root byoci gives no other folder to a worker",
            details="All files in a workspace are handed over to the worker's user.",
            resolution="Make it with `byoci agent setup-tree`, or run byoci as an ordinary user.",
        )


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


def _identity(folder: Path) -> tuple[int, int]:
    facts = folder.stat()
    return facts.st_dev, facts.st_ino


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
