"""Workers in bubblewrap: Linux namespaces, made without any privilege, by a program that distributions package."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from byoci.errors import UsageError
from byoci.worker import folders, images, launch, sealed, tree
from byoci.worker.sandbox_args import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.worker.base import ExitStatus, Limits, Setup


class BubblewrapWorker:
    """A worker (`byoci.worker.base.Worker`) in bubblewrap.

    state  the site's state folder, `$BYOCI_HOME/NAMESPACE`
    """

    def __init__(self, state: Path) -> None:
        self._base = folders.base_of(state)
        self._folder = folders.session(self._base).new_worker()
        self._image: images.Image | None = None
        self._workspaces = 0
        self._sandbox: launch.Sandbox | None = None
        self._destroyed = False
        self._lock = threading.Lock()  # for the two above
        self._busy = threading.RLock()  # held while a command runs
        self._given: dict[Path, tuple[launch.Guard, Path]] = {}

    def prepare(self, image: str, setup: Setup | None, on_output: Callable[[bytes], None]) -> None:  # noqa: ARG002
        """See `Worker.prepare`."""
        self._image = images.load(image, self._base.shared)
        if setup is not None:
            raise NotImplementedError

    def workspace(self) -> Path:
        """See `Worker.workspace`."""
        self._workspaces += 1
        path = self._folder / f"workspace-{self._workspaces}"
        path.mkdir(mode=0o700)
        return path

    def run(
        self,
        command: str,
        workspace: Path,
        limits: Limits,
        on_output: Callable[[bytes], None],
        *,
        network: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> ExitStatus:
        """See `Worker.run`."""
        if self._image is None or self._destroyed:
            raise UsageError("the worker is not prepared, or was destroyed")
        with self._busy:
            guard, shown = self._reach(workspace)
            box = Box(
                image=self._image,
                command=command,
                limits=limits,
                workspace=shown,
                network=network,
                environment=environment or {},
            )
            try:
                return sealed.run(box, guard, (self._folder, workspace), on_output, self._started)
            finally:
                self._ended()

    def _started(self, sandbox: launch.Sandbox) -> None:
        with self._lock:
            self._sandbox = sandbox
            if self._destroyed:
                sandbox.kill()

    def _ended(self) -> None:
        with self._lock:
            self._sandbox = None
        if self._destroyed:
            self._remove()

    def _reach(self, workspace: Path) -> tuple[launch.Guard, Path]:
        """Hand a workspace over to the worker's user; the guard to use, and where its sandboxes find the workspace."""
        with tree.opened(workspace) as fd:
            if self._base.uid is not None:
                tree.hand_over(fd, self._base.uid)
        if self._base.uid is None or workspace.is_relative_to(self._folder):
            return launch.guard(self._base.owner), workspace
        if workspace not in self._given:
            shown = self._folder / f"given-{len(self._given)}"
            shown.mkdir()
            self._given[workspace] = (launch.Guard(self._base.owner, [(workspace, shown)]), shown)
        return self._given[workspace]

    def destroy(self) -> None:
        """See `Worker.destroy`."""
        with self._lock:
            self._destroyed = True
            if self._sandbox is not None:
                self._sandbox.kill()
        with self._busy:  # by the same thread, from within `on_output`, it is not waited for; `run` removes all then
            if self._sandbox is None:
                self._remove()

    def _remove(self) -> None:
        for guard, _ in self._given.values():
            guard.close()
        with contextlib.suppress(FileNotFoundError):
            tree.remove(self._folder)
