"""How a command sees a setup layer below its own files: by overlays, or by copies where these cannot be mounted."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from byoci import effects
from byoci.errors import UnavailableError, UnsealableError
from byoci.worker.base import Limits
from byoci.worker.sandbox_args import BELOW, Overlay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from byoci.worker.base import ExitStatus
    from byoci.worker.layers import Layer
    from byoci.worker.sandbox_args import Box

_GOES = "It is in the folder of a dead run, which is removed."
_TRIAL = effects.declare("worker.trial", "a folder to see whether overlays work in", half=_GOES, done=_GOES)

_overlays_work: dict[Path, bool] = {}
_lock = threading.Lock()


class Layered:
    """A worker's layer.

    base  a folder above the layer and all folders of the worker
    own   makes a folder for the worker's user: the one that is named, or a new one
    run   runs a box without output
    """

    def __init__(
        self, layer: Layer, base: Path, own: Callable[[Path | None], Path], run: Callable[[Box], ExitStatus]
    ) -> None:
        self.layer = layer
        self._base = base
        self._own = own
        self._run = run
        self._home: Path | None = None
        self._copied: set[Path] = set()

    def put_below(self, box: Box, scratch: Path) -> Box:
        """The box with the layer below its home and its workspace, which is one of the worker's own folders.

        scratch  a new folder for this run alone
        """
        return self._overlaid(box, scratch) if self._can_overlay(box, scratch) else self.copy_below(box)

    def copy_below(self, box: Box) -> Box:
        """The same for any workspace: what the layer holds and the workspace does not is copied there, once."""
        if self._home is None:
            self._home = self._copy(box, self.layer.home, self._own(None))
        if box.workspace not in self._copied:
            self._copied.add(self._copy(box, self.layer.work, box.workspace))
        return dataclasses.replace(box, home=self._home)

    def _overlaid(self, box: Box, scratch: Path) -> Box:
        names = ("home", "home-upper", "home-kernel", "work", "work-kernel")
        home, home_upper, home_kernel, work, work_kernel = (self._own(scratch / name) for name in names)
        overlays = (
            Overlay(self.layer.home, home_upper, home_kernel, home),
            Overlay(self.layer.work, box.workspace, work_kernel, work),
        )
        return dataclasses.replace(box, workspace=work, home=home, overlays=overlays, scratch=self._base)

    def _can_overlay(self, box: Box, scratch: Path) -> bool:
        """Whether overlays can be mounted here; found out once a process."""
        with _lock:
            if self._base not in _overlays_work:
                trial = scratch / "trial"
                with _TRIAL:
                    trial.mkdir()
                    trial.chmod(0o711)
                workspace = self._own(trial / "workspace")
                trial_box = dataclasses.replace(box, command="true", workspace=workspace, network=False, environment={})
                try:
                    _overlays_work[self._base] = self._run(self._overlaid(trial_box, trial)).ok
                except UnsealableError:
                    _overlays_work[self._base] = False
            return _overlays_work[self._base]

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
