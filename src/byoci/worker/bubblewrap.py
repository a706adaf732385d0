"""Workers in bubblewrap: Linux namespaces, made without any privilege, by a program that distributions package."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from byoci.errors import RejectedError, UnavailableError, UnsealableError, UsageError
from byoci.worker import folders, images, launch, layers, sealed, tree
from byoci.worker.layered import Layered
from byoci.worker.sandbox_args import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.worker.base import ExitStatus, Limits, Setup


class BubblewrapWorker:
    """A worker (`byoci.worker.base.Worker`) in bubblewrap.

    state  the site's state folder, `$BYOCI_HOME/NAMESPACE`
    """

    def __init__(self, state: Path) -> None:
        self._base = folders.base_of(state)
        self._folder = folders.session(self._base).new_worker()
        self._image: images.Image | None = None
        self._layered: Layered | None = None
        self._workspaces = 0
        self._sandbox: launch.Sandbox | None = None
        self._destroyed = False
        self._lock = threading.Lock()  # for the two above
        self._busy = threading.RLock()  # held while a command runs
        self._given: dict[Path, tuple[launch.Guard, Path]] = {}

    def prepare(self, image: str, setup: Setup | None, on_output: Callable[[bytes], None]) -> None:
        """See `Worker.prepare`."""
        self._image = images.load(image, self._base.shared)
        if setup is not None:
            store = layers.Store(self._base.path / "layers")
            layer = store.get(layers.key_of(self._image, setup), lambda: self._set_up(setup, on_output))
            self._layered = Layered(layer, self._folder, self._base.path, self._own, self._run_quietly)

    def _set_up(self, setup: Setup, on_output: Callable[[bytes], None]) -> Path:
        """Run a setup command; the folder with what it made."""
        assert self._image is not None
        folder = Path(tempfile.mkdtemp(prefix="setup-", dir=self._folder))
        folder.chmod(0o711)
        home, work = folder / "home", folder / "work"
        for path in (home, work):
            path.mkdir(mode=0o700)
        layers.write_inputs(setup.inputs, work)
        box = Box(
            image=self._image,
            command=setup.command,
            limits=setup.limits,
            workspace=work,
            home=home,
            network=setup.network,
            credentials=setup.credentials,
        )
        tail = sealed.Tail(on_output)
        self._hand_over(home)
        status = self._run(box, work, tail)
        if not status.ok:
            how = f"exceeded its {status.exceeded} limit" if status.exceeded else f"ended with exit code {status.code}"
            raise RejectedError(
                f"the setup failed: it {how}",
                details=tail.text(),
                resolution="Run the setup command by hand, with nothing but its inputs.",
            )
        for path in (home, work):
            layers.refuse(path, setup.credentials)
        return folder

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
        box = Box(
            image=self._image,
            command=command,
            limits=limits,
            workspace=workspace,
            network=network,
            environment=environment or {},
        )
        if self._layered is None:
            return self._run(box, workspace, on_output)
        scratch = Path(tempfile.mkdtemp(prefix="run-", dir=self._folder))
        scratch.chmod(0o711)
        try:
            return self._run(self._layered.put_below(box, scratch), workspace, on_output)
        finally:
            tree.remove(scratch)

    def _run(self, box: Box, workspace: Path, on_output: Callable[[bytes], None]) -> ExitStatus:
        """Run a box that works on `workspace`, wherever that is shown."""
        with self._busy:
            if self._destroyed:
                raise UsageError("the worker was destroyed")
            guard, shown = self._reach(workspace)
            if box.workspace == workspace:
                box = dataclasses.replace(box, workspace=shown)
            try:
                watched = (self._folder,) if workspace.is_relative_to(self._folder) else (self._folder, workspace)
                return sealed.run(box, guard, watched, on_output, self._started)
            except UnsealableError as error:
                if self._destroyed:
                    raise UnavailableError("the worker was destroyed while its command ran") from error
                raise
            finally:
                self._ended()

    def _run_quietly(self, box: Box) -> ExitStatus:
        return self._run(box, box.workspace, lambda _: None)

    def _own(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        self._hand_over(path)

    def _hand_over(self, path: Path) -> None:
        with tree.opened(path) as fd:
            if self._base.uid is not None:
                tree.hand_over(fd, self._base.uid)

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
        self._hand_over(workspace)
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
        if self._layered is not None:
            self._layered.layer.close()
            self._layered = None
        tree.remove(self._folder)
