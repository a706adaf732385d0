"""Workers in bubblewrap: Linux namespaces, made without any privilege, by a program that distributions package."""

from __future__ import annotations

import dataclasses
import os
import stat
import threading
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import RejectedError, UnavailableError, UnsealableError, UsageError
from byoci.worker import folders, images, launch, layers, sealed, tree, trees
from byoci.worker.layered import Copies, Overlays
from byoci.worker.sandbox_args import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.worker.base import ExitStatus, Files, Limits, Setup

_GOES: Final = "It is in the folder of a dead run, which is removed."
_SETUP = effects.declare("worker.setup", "the folders and files that a setup sees", half=_GOES, done=_GOES)
_OWN = effects.declare("worker.own", "a folder of the worker's user", half=_GOES, done=_GOES)
_HAND_OVER = effects.declare("worker.hand-over", "files change hands, to the worker's user", half=_GOES, done=_GOES)
_REMOVE = effects.declare(
    "worker.remove", "what a worker wrote is removed", half="The rest is removed, with the folder of a dead run."
)


class BubblewrapWorker:
    """A worker (`byoci.worker.base.Worker`) in bubblewrap.

    state  the site's state folder, `$BYOCI_HOME/NAMESPACE`
    share  whether a workspace's files may lie below it, in a folder that is kept from one worker to the next
    """

    def __init__(self, state: Path, *, share: bool = True) -> None:
        self._base = folders.base_of(state)
        self._session = folders.session(self._base)
        self._folders: list[Path] = []
        self._image: images.Image | None = None
        self._layer: layers.Layer | None = None
        self._copies: Copies | None = None
        self._share = share
        self._overlays = Overlays(self._base.path, self._own_folder, self._run_quietly)
        self._trees: dict[Path, trees.Tree] = {}  # what lies below a workspace
        self._made_of = {"backend": "bubblewrap"}
        self._given: dict[Path, tuple[launch.Guard, Path]] = {}
        self._sandbox: launch.Sandbox | None = None
        self._destroyed = False
        self._lock = threading.Lock()  # for the two above
        self._busy = threading.RLock()  # held while a command runs

    def prepare(self, image: str, setup: Setup | None, on_output: Callable[[bytes], None]) -> None:
        """See `Worker.prepare`."""
        self._image = images.load(image, self._base.shared)
        self._made_of = {"backend": "bubblewrap", "image": image, "image-identity": self._image.identity}
        if setup is not None:
            store = layers.Store(self._base.path / "layers")
            self._made_of["layer"] = layers.key_of(self._image, setup)
            self._layer = store.get(self._made_of["layer"], lambda: self._set_up(setup, on_output))
            self._copies = Copies(self._layer, self._own_folder, self._run_quietly)

    def fingerprint(self) -> str | None:
        """See `Worker.fingerprint`."""
        if self._image is None or self._image.root is None:
            return None
        layer = ""
        if self._layer is not None:
            facts = self._layer.path.stat()
            layer = f"{self._layer.path.name} {facts.st_ino} {facts.st_ctime_ns}"
        return f"bubblewrap {images.fingerprint(self._image.root)} {layer}"

    def describe(self) -> Mapping[str, str]:
        """See `Worker.describe`."""
        return self._made_of

    def _set_up(self, setup: Setup, on_output: Callable[[bytes], None]) -> Path:
        """Run a setup command; the folder with what it made."""
        assert self._image is not None
        folder = self._folder("setup")
        home, work = folder / "home", folder / "work"
        with _SETUP:
            for path in (home, work):
                path.mkdir(mode=0o700)
            layers.write_inputs(setup.inputs, work)
        self._hand_over(home)
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

    def workspace(self, files: Files | None = None) -> Path:
        """See `Worker.workspace`."""
        path = self._folder("workspace")
        with _OWN:
            path.chmod(0o700)
            if self._base.uid is not None:
                os.chown(path, self._base.uid, self._base.uid)
        if files is not None:
            shared = self._shared_tree(files)
            if shared is not None:
                self._trees[path] = shared
            else:
                files.export(path, None)
        return path

    def folders_of(self, workspace: Path) -> tuple[Path, ...]:
        """See `Worker.folders_of`."""
        return (workspace, self._trees[workspace].files) if workspace in self._trees else (workspace,)

    def _shared_tree(self, files: Files) -> trees.Tree | None:
        """The project's tree, to lie below a workspace; None where each workspace has to have its own."""
        if self._image is None:
            raise UsageError("the worker is not prepared")
        if not self._share or not self._can_overlay(self._image):
            return None
        store = trees.Store(self._base.path / "trees", self._base.uid, self._throw_away)
        return store.get(trees.key_of(files.name, self._layer.made if self._layer else ""), files)

    def _throw_away(self, path: Path) -> None:
        """Remove a folder that nobody is to find any more, while other things go on."""
        room = self._session.new_folder("gone")
        path.rename(room / path.name)
        self._session.discard([room])

    def run(
        self,
        command: str,
        workspace: Path,
        limits: Limits,
        on_output: Callable[[bytes], None],
        *,
        network: bool = False,
        environment: Mapping[str, str] | None = None,
        stdin: int | None = None,
    ) -> ExitStatus:
        """See `Worker.run`."""
        if self._image is None:
            raise UsageError("the worker is not prepared")
        box = Box(
            image=self._image,
            command=command,
            limits=limits,
            workspace=workspace,
            network=network,
            environment=environment or {},
            stdin=stdin,
        )
        layer, shared = self._layer, self._trees.get(workspace)
        if layer is None and shared is None:
            return self._run(box, workspace, on_output)
        scratch = self._folder("run")
        try:
            return self._run(self._below(box, scratch, shared, layer), workspace, on_output)
        finally:
            if scratch in self._folders:  # otherwise it went with all others: the worker was destroyed meanwhile
                self._folders.remove(scratch)
                self._session.discard([scratch])

    def _below(self, box: Box, scratch: Path, shared: trees.Tree | None, layer: layers.Layer | None) -> Box:
        """The box with what lies below its workspace and its home."""
        if shared is not None or (box.workspace in self._folders and self._can_overlay(box.image)):
            below = ([shared.files] if shared else []) + ([layer.work] if layer else [])
            return self._overlays.put(box, scratch, below, layer.home if layer else None)
        assert self._copies is not None
        return self._copies.put(box)

    def _can_overlay(self, image: images.Image) -> bool:
        return self._overlays.work(image, lambda: self._folder("trial"))

    def _run(self, box: Box, workspace: Path, on_output: Callable[[bytes], None]) -> ExitStatus:
        """Run a box that works on `workspace`, wherever that is shown."""
        with self._busy:
            if self._destroyed:
                raise UsageError("the worker was destroyed")
            guard, shown = self._reach(workspace)
            if box.workspace == workspace:
                box = dataclasses.replace(box, workspace=shown)
            try:
                return sealed.run(box, guard, self._watched(workspace), on_output, self._started)
            except UnsealableError as error:
                if self._destroyed:
                    raise UnavailableError("the worker was destroyed while its command ran") from error
                raise
            finally:
                self._ended()

    def _watched(self, workspace: Path) -> list[Path]:
        """The folders that a command can fill, first the one with its workspace."""
        if self._folders == [workspace]:
            return [workspace]
        first = next((folder for folder in self._folders if workspace.is_relative_to(folder)), workspace)
        return [first, *(folder for folder in self._folders if folder != first)]

    def _run_quietly(self, box: Box) -> ExitStatus:
        return self._run(box, box.workspace, lambda _: None)

    def _folder(self, kind: str) -> Path:
        """A new folder of this worker's, which its user can pass through."""
        if self._destroyed:
            raise UsageError("the worker was destroyed")
        path = self._session.new_folder(kind)
        self._folders.append(path)
        return path

    def _own_folder(self, path: Path | None = None) -> Path:
        """A new folder that belongs to the worker's user: `path`, or one of this worker's."""
        if path is None:
            path = self._folder("own")
        else:
            with _OWN:
                path.mkdir(mode=0o700)
        self._hand_over(path)
        return path

    @_HAND_OVER
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
        made = workspace in self._folders and stat.S_ISDIR(os.lstat(workspace).st_mode)
        if not made:
            folders.check_workspace(workspace, self._base)
        self._hand_over(workspace)
        if made or self._base.uid is None or workspace.is_relative_to(self._base.path):
            return launch.guard(self._base.owner), workspace
        if workspace not in self._given:
            shown = self._folder("given")
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

    @_REMOVE
    def _remove(self) -> None:
        for guard, _ in self._given.values():
            guard.close()
        if self._layer is not None:
            self._layer.close()
            self._layer = None
        while self._trees:
            self._trees.popitem()[1].close()
        if self._folders:
            self._session.discard(self._folders)
            self._folders = []
