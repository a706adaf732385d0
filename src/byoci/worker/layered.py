"""How a command sees a setup layer below its own files: by overlays, or by copies where these cannot be mounted."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from byoci.errors import UnavailableError, UnsealableError
from byoci.worker import tree
from byoci.worker.base import Limits
from byoci.worker.sandbox_args import BELOW, Overlay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from byoci.worker.base import ExitStatus
    from byoci.worker.layers import Layer
    from byoci.worker.sandbox_args import Box

_overlays_work: dict[Path, bool] = {}
_lock = threading.Lock()


class Layered:
    """A worker's layer.

    folder  the worker's own folder; overlays are for workspaces in it only, since they need a place beside them
    base    a folder above that and the layers
    own     makes a new folder for the worker's user
    run     runs a box without output
    """

    def __init__(
        self, layer: Layer, folder: Path, base: Path, own: Callable[[Path], None], run: Callable[[Box], ExitStatus]
    ) -> None:
        self.layer = layer
        self._folder = folder
        self._base = base
        self._own = own
        self._run = run
        self._copied: set[Path] = set()

    def put_below(self, box: Box, scratch: Path) -> Box:
        """The box with the layer below its home and its workspace; `scratch` is a new folder for this run alone."""
        if box.workspace.parent == self._folder and self._can_overlay(box, scratch):
            return self._overlaid(box, scratch)
        home = self._folder / "home"
        for folder, source in ((home, self.layer.home), (box.workspace, self.layer.work)):
            if folder not in self._copied:
                self._copy(box, source, folder)
                self._copied.add(folder)
        return dataclasses.replace(box, home=home)

    def _overlaid(self, box: Box, scratch: Path) -> Box:
        names = ("home", "home-upper", "home-kernel", "work", "work-kernel")
        home, home_upper, home_kernel, work, work_kernel = (scratch / name for name in names)
        for path in (home, home_upper, home_kernel, work, work_kernel):
            self._own(path)
        overlays = (
            Overlay(self.layer.home, home_upper, home_kernel, home),
            Overlay(self.layer.work, box.workspace, work_kernel, work),
        )
        return dataclasses.replace(box, workspace=work, home=home, overlays=overlays, scratch=self._base)

    def _can_overlay(self, box: Box, scratch: Path) -> bool:
        """Whether overlays can be mounted here; found out once a process."""
        with _lock:
            if self._base not in _overlays_work:
                trial, workspace = scratch / "trial", self._folder / "trial"
                for path in (trial, workspace):
                    self._own(path)
                trial_box = dataclasses.replace(box, command="true", workspace=workspace, network=False, environment={})
                try:
                    _overlays_work[self._base] = self._run(self._overlaid(trial_box, trial)).ok
                except UnsealableError:
                    _overlays_work[self._base] = False
                tree.remove(workspace)
            return _overlays_work[self._base]

    def _copy(self, box: Box, source: Path, target: Path) -> None:
        """Copy what is in `source` and not in `target`; within a sandbox, since all of it is hostile."""
        if not target.exists():
            self._own(target)
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
