"""Workers for tests: made in a site of their own, run with small limits, and gone with the test."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byoci.errors import UnavailableError
from byoci.model import Exported
from byoci.worker import folders, tree
from byoci.worker.base import ExitStatus, Files, Limits, Setup
from byoci.worker.bubblewrap import BubblewrapWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from byoci.worker.base import Worker

MB = 1024**2
SMALL = Limits(memory=256 * MB, processes=64, seconds=30.0, output=4 * MB, disk=256 * MB)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it wrote."""

    status: ExitStatus
    output: str

    @property
    def ok(self) -> bool:
        return self.status.ok


def small_image(folder: Path, *programs: str) -> Path:
    """A root file system with a shell, `cat` and little else, where everybody can reach it: `folder`, not there yet."""
    folder.mkdir(mode=0o755)
    for program in ("sh", "cat", *programs):
        found = Path(shutil.which(program) or "").resolve()
        told = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        libraries = [Path(word) for line in told.splitlines() for word in line.split() if word.startswith("/")]
        for path, place in [(found, Path("usr/bin", program)), *((lib, lib.relative_to("/")) for lib in libraries)]:
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (folder / "bin").symlink_to("usr/bin")
    for name in ("etc", "var/tmp", "var/lib", "tmp", "home/bob", "root", "opt", "run", "proc", "dev"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


class WorkerHarness:
    """A site with workers of one back-end."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._workers: list[Worker] = []

    def make(self) -> Worker:
        """A worker that nothing was done with yet."""
        raise NotImplementedError

    def ready(self, setup: Setup | None = None, image: str = "host") -> Ready:
        """A prepared worker with a workspace."""
        worker = self.make()
        self._workers.append(worker)
        heard: list[bytes] = []
        worker.prepare(image, setup, heard.append)
        return Ready(worker, self.workspace(worker), b"".join(heard).decode())

    def workspace(self, worker: Worker) -> Path:
        """A workspace in which `ls` shows nothing."""
        return worker.workspace()

    def close(self) -> None:
        """Remove all that the site's workers left."""
        for worker in self._workers:
            worker.destroy()


class BubblewrapHarness(WorkerHarness):
    def make(self) -> BubblewrapWorker:
        return BubblewrapWorker(self.state)

    @property
    def base(self) -> Path:
        """Where the site's workers are kept."""
        return folders.base_of(self.state).path

    def close(self) -> None:
        super().close()
        folders.session(folders.base_of(self.state)).close()  # it may still be removing what its workers left
        tree.remove(self.base)


class BelowHarness(BubblewrapHarness):
    """Its workspaces have a shared tree below, each one of its own."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self._numbers = itertools.count()

    def workspace(self, worker: Worker) -> Path:
        workspace = worker.workspace(files_of(f"tree {next(self._numbers)}", {".below/file": "shared\n"}))
        assert len(worker.folders_of(workspace)) == 2
        return workspace


def files_of(name: str, content: Mapping[str, str], revision: str = "1") -> Files:
    """Files for a workspace, with their content by path; updates are not known."""

    def export(folder: Path, at: int | None) -> Exported:
        owner = folder.stat()
        for path, text in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for path in folder.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)
        return Exported(revision, len(content), 0, at)

    def update(folder: Path, held: Exported) -> Exported:
        raise UnavailableError("there is nothing to update from")

    return Files(name, revision, export, update)


@dataclasses.dataclass(frozen=True)
class Ready:
    """A worker and its workspace; `heard` is what its setup wrote."""

    worker: Worker
    folder: Path
    heard: str = ""

    def sh(self, command: str, *, on_output: Callable[[bytes], None] | None = None, **options: Any) -> Outcome:
        """Run a shell command; limits by name, `network` and `environment` as the worker's own."""
        heard: list[bytes] = []
        limits = dataclasses.replace(
            SMALL, **{name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__}
        )
        status = self.worker.run(command, self.folder, limits, on_output or heard.append, **options)
        return Outcome(status, b"".join(heard).decode("utf-8", "replace"))

    def python(self, program: str, **options: Any) -> Outcome:
        """Run a Python program in the worker."""
        (self.folder / "program.py").write_text(textwrap.dedent(program))
        return self.sh("python3 program.py", **options)


def processes(matching: str) -> list[int]:
    """Processes of this machine, zombies aside, with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if matching.encode() in command and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found
