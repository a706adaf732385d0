"""The Worker protocol: a sealed, throw-away place for code that nobody trusts."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.model import Exported


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may use. Sizes in bytes, time in seconds of wall clock; every limit ends the whole worker."""

    memory: int = 2 * 1024**3
    processes: int = 512
    seconds: float = 3600.0
    output: int = 64 * 1024**2
    disk: int = 10 * 1024**3


class Exceeded(enum.StrEnum):
    """The limit that ended a worker."""

    TIME = "time"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a command in a worker ended: its exit code (128 + N for signal N), or the limit that ended it."""

    code: int
    exceeded: Exceeded | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """The command ended by itself, with 0."""
        return self.code == 0 and self.exceeded is None


@dataclass(frozen=True, slots=True)
class Setup:
    """How the layer below the tests is made: from the image, `command` and `inputs` alone.

    inputs   relative path → content, as the project's `setup.inputs` named them
    network  whether the command may reach the network (user-mode, private ranges closed)
    credentials  name → content, shown to the command alone, as files in $CREDENTIALS_DIRECTORY; a layer in which one of
                 them is found is refused
    """

    command: str
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    credentials: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Files:
    """What a workspace is to hold: the files of a revision.

    name    whose they are: what is alike from one revision to the next has one name
    export  writes all of them to an empty folder; the second argument is what all times of change are to be
    update  brings what such a folder holds to this revision, at a cost in proportion to what differs
    """

    name: str
    revision: str
    export: Callable[[Path, int | None], Exported]
    update: Callable[[Path, Exported], Exported]


class Worker(Protocol):
    """A sandbox in which project code runs: no credential, no network, a read-only image, bounded.

    Order: `prepare` once, then `workspace` and `run` any number of times, then `destroy`.
    Idempotence: `destroy` may be called at any time, again, and after a failed start; `prepare` finds an equal layer
    and re-uses it.
    Concurrency: one command at a time in one worker; any number of workers at once.
    Errors: `UnsealableError` where the sandbox cannot be made as it must be (nothing has run then); `ConfigError` for
    an image that is not there; `RejectedError` for a setup that failed. That a command fails, or runs into a limit, is
    its `ExitStatus`.
    The end: no process that a worker started outlives `run`, nor the death of the process that called it.
    """

    def prepare(self, image: str, setup: Setup | None, on_output: Callable[[bytes], None]) -> None:
        """Make ready: check that the sandbox works, find or make the setup layer.

        image  "host", or the folder of a root file system
        """

    def fingerprint(self) -> str | None:
        """After `prepare`: a digest of all that a command's outcome depends on beside workspace, command and limits.

        That is the image, file by file, and the layer. None where it cannot be told, as with the image "host".
        """

    def describe(self) -> Mapping[str, str]:
        """What this worker is made of, for the record: name → text; after `prepare`, also one that failed, and later.

        `backend`, `image` and, as far as they are known, `image-identity` (a digest of what tells the image's version)
        and `layer` (the setup layer's key).
        """

    def workspace(self, files: Files | None = None) -> Path:
        """A new folder that a worker can use: empty, or, after `prepare`, with `files`; `destroy` removes it.

        What of the files is not written to need not be in the folder itself: see `folders_of`.
        """

    def folders_of(self, workspace: Path) -> tuple[Path, ...]:
        """Where to read what a command left in `workspace`: that folder, then those that lie below it.

        `byoci.worker.merged` reads them as one.
        """

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
        """Run a shell command (pipelines fail when any part fails) in `workspace`, which it sees as its working folder.

        Its output (both streams, in order) is handed on as it comes, up to `limits.output` bytes. `network` gives it a
        user-mode network with loopback, link-local and private ranges closed. `environment` is added to the worker's
        own. `stdin` is the reading end of a pipe that the command reads, for a person at a prompt; never a terminal.
        """

    def destroy(self) -> None:
        """End all that still runs and remove all that this worker wrote, but for cached layers."""
