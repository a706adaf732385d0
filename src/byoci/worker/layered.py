"""How a command sees shared files below its own: by overlays, or by copies where these cannot be mounted."""

from __future__ import annotations

import dataclasses
import enum
import os
import threading
from typing import TYPE_CHECKING

from byoci import effects
from byoci.errors import UnavailableError, UnsealableError
from byoci.worker.base import Limits
from byoci.worker.sandbox_args import BELOW, Box, Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from byoci.worker.base import ExitStatus
    from byoci.worker.images import Image
    from byoci.worker.layers import Layer

_GOES = "It is in the folder of a dead run, which is removed."
_TRIAL = effects.declare("worker.trial", "a folder to see whether overlays work in", half=_GOES, done=_GOES)


class _Mounted(enum.Enum):
    """Who can mount overlays."""

    BY_GUARD = enum.auto()
    BY_STAGE = enum.auto()  # bubblewrap may make a user namespace where other programs may not
    BY_NOBODY = enum.auto()


_overlays_work: dict[Path, _Mounted] = {}
_lock = threading.Lock()


class Overlays:
    """Shows shared files below a worker's own.

    base  a folder above the shared files and all folders of the worker
    own   makes a folder for the worker's user: the one that is named, or a new one
    run   runs a box without output
    """

    def __init__(self, base: Path, own: Callable[[Path | None], Path], run: Callable[[Box], ExitStatus]) -> None:
        self._base = base
        self._own = own
        self._run = run

    def work(self, image: Image, new_folder: Callable[[], Path]) -> bool:
        """Whether overlays can be mounted here; found out once a process, in a folder that `new_folder` makes."""
        with _lock:
            if self._base not in _overlays_work:
                _overlays_work[self._base] = self._try(image, new_folder())
            return _overlays_work[self._base] is not _Mounted.BY_NOBODY

    def put(self, box: Box, scratch: Path, below: Sequence[Path], home: Path | None) -> Box:
        """The box with folders below its workspace, which is one of the worker's own.

        scratch  a new folder for this run alone
        below    what is in an earlier one hides what is in a later one
        home     what is to lie below its home; None: the box keeps the home that it has
        """
        return self._mounted(box, scratch, below, home, by_stage=_overlays_work[self._base] is _Mounted.BY_STAGE)

    def _mounted(self, box: Box, scratch: Path, below: Sequence[Path], home: Path | None, *, by_stage: bool) -> Box:
        workspace = box.workspace
        overlays = [Overlay(tuple(below), workspace, self._own(scratch / "work-kernel"), workspace)]
        shown = box.home
        if home is not None:
            shown, upper, kernel = (self._own(scratch / name) for name in ("home", "home-upper", "home-kernel"))
            overlays.append(Overlay((home,), upper, kernel, shown))
        return dataclasses.replace(box, home=shown, overlays=tuple(overlays), scratch=self._base, by_stage=by_stage)

    def _try(self, image: Image, scratch: Path) -> _Mounted:
        for by_stage in (False, True):
            trial = scratch / f"trial-{by_stage}"
            with _TRIAL:
                trial.mkdir()
                trial.chmod(0o711)
            lower, workspace = self._own(trial / "lower"), self._own(trial / "workspace")
            box = Box(image=image, command="true", limits=Limits(), workspace=workspace)
            try:
                # Without such attributes a folder that is made where one was removed shows what was in that.
                with _TRIAL:
                    os.setxattr(workspace, "user.byoci", b"y")
                if self._run(self._mounted(box, trial, [lower], None, by_stage=by_stage)).ok:
                    return _Mounted.BY_STAGE if by_stage else _Mounted.BY_GUARD
            except (OSError, UnavailableError, UnsealableError):
                continue
        return _Mounted.BY_NOBODY


class Copies:
    """A worker's layer where no overlay can show it.

    own, run  see `Overlays`
    """

    def __init__(self, layer: Layer, own: Callable[[Path | None], Path], run: Callable[[Box], ExitStatus]) -> None:
        self._layer = layer
        self._own = own
        self._run = run
        self._home: Path | None = None
        self._copied: set[Path] = set()

    def put(self, box: Box) -> Box:
        """The box, with what the layer holds, and its workspace does not, copied there, once."""
        if self._home is None:
            self._home = self._copy(box, self._layer.home, self._own(None))
        if box.workspace not in self._copied:
            self._copied.add(self._copy(box, self._layer.work, box.workspace))
        return dataclasses.replace(box, home=self._home)

    def _copy(self, box: Box, source: Path, target: Path) -> Path:
        """Copy what is in `source` and not in `target`; within a sandbox, since all of it is hostile."""
        status = self._run(
            dataclasses.replace(
                box,
                command=f"cp -a -n --reflink=auto {BELOW}/. .",
                workspace=target,
                below=source,
                limits=Limits(disk=box.limits.disk),
                network=False,
                environment={},
            )
        )
        # 1: something of another kind is there already, which wins.
        if status.exceeded is not None or status.code not in (0, 1):
            raise UnavailableError("the setup's layer could not be copied", details=f"cp ended with {status.code}")
        return target
