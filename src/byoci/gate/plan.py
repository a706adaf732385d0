"""What a landing needs to know of its project, and the tools it works with: the one value that every stage is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from byoci.worker.base import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from byoci.forge.base import Forge
    from byoci.gate.ballot import Policy
    from byoci.model import Location
    from byoci.store.certificates import CertificateStore
    from byoci.store.landings import LandingStore
    from byoci.vcs.base import Vcs
    from byoci.vcs.shelf import Shelf
    from byoci.worker.base import Worker


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """How the layer below a project's tests is made, as its definition says.

    inputs       paths of the files that the command sees, and no other
    credentials  name → content; where there are any, the inputs come from trunk's tip, never from a proposal
    """

    command: str
    inputs: tuple[str, ...] = ()
    network: bool = False
    credentials: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestPlan:
    """What is run on a candidate: commands, in turn, in one workspace, until one fails.

    worker   the name that the definition gives to the kind of worker
    results  globs of JUnit XML files below the workspace
    reuse    whether a tree that passed in an equal worker need not be tested again
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    commands: tuple[str, ...]
    worker: str = "default"
    image: str = "host"
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    setup: SetupPlan | None = None
    reuse: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A gated trunk: what its definition says of it, resolved."""

    name: str
    trunk: Location
    tests: TestPlan
    policy: Policy
    committer_name: str
    committer_email: str
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Gate:
    """A project with its tools.

    new_worker  makes a worker that nothing has run in; whoever calls it destroys it
    logs        folder of this project's test logs
    shelf       where certificates are pushed to; None where the project does not ask for it
    tell        is given a line on what is being done, for people
    printed     is given what setup and tests print, as they do, beside the log; None: nobody is
    workdir     where to test, for a job that keeps what tests leave; None: in a folder that goes with the worker
    """

    project: Project
    forge: Forge
    vcs: Vcs
    new_worker: Callable[[], Worker]
    store: LandingStore
    certificates: CertificateStore
    logs: Path
    shelf: Shelf | None
    tell: Callable[[str], None]
    workdir: Path | None = None
    printed: Callable[[bytes], None] | None = None
