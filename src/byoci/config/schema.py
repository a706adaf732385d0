"""The configuration's sections and keys: types, defaults and meanings. The reference in docs/ is made from this file.

Values arrive here already read and laid over (see loading.py). `folder` and `home` of the validation context are what
relative paths and `~` start from. Importing this file loads pydantic, so nothing imports it before a configuration is
read.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from byoci.config import values
from byoci.config.schema_controller import Agent, Controller
from byoci.config.schema_monitor import Jobs, Monitor, Notify, ProjectNotify, Webhook
from byoci.config.schema_types import (
    AgentName,
    Commands,
    Duration,
    FilePath,
    Insides,
    Line,
    Name,
    Named,
    Section,
    Size,
    Text,
    Trunk,
    Variable,
    Word,
    Words,
    as_tuple,
    one_of,
)

VCS_KINDS: Final = ("git", "bzr")
FORGES: Final = ("local",)
BACKENDS: Final = ("bubblewrap",)
TREES: Final = ("shared", "copied")
SCHEMES: Final = ("https", "http", "ssh", "git+ssh", "bzr+ssh", "git", "bzr")
HOST_IMAGE: Final = "host"
# What the design has and this version has not: refused in words that tell so.
LATER_FORGES: Final = ("launchpad", "gitlab", "github", "gitea")
LATER_BACKENDS: Final = ("podman", "lxd")
LATER_KEYS: Final = (("machine",), ("image", "*", "base"), ("image", "*", "packages"))


Scheme = Annotated[str, one_of(SCHEMES)]


class Landing(Section):
    """Who lands, and how stubbornly."""

    fullname: Annotated[str, AfterValidator(values.check_full_name)] = Field(
        description="Name of the committer of every landing."
    )
    email: Annotated[str, AfterValidator(values.check_email)] = Field(
        description="Address of the committer of every landing. With the name it tells landings from other commits: "
        "changing it makes byoci overlook older landings."
    )
    user: Word | None = Field(default=None, description="The landing account's name on the forges that have accounts.")
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="How often a landing starts anew when trunk moved while it was tested."
    )


class Site(Section):
    """What holds for all projects."""

    landing: Landing = Field(default_factory=dict, validate_default=True)


class Tests(Section):
    """How a candidate is tested."""

    __test__ = False  # not a test class, whatever its name makes pytest think

    command: Commands = Field(
        description="Shell command, or list of commands that run in turn until one fails, each in the project's root."
    )
    network: bool = Field(
        default=False,
        description="Whether tests may reach the network: a user-mode one, with loopback and private addresses closed.",
    )
    environment: Mapping[Variable, Text] = Field(
        default_factory=dict, description="Environment variables that tests see. No place for secrets."
    )
    results: Insides = Field(
        default=(),
        description="Patterns (`*`, `?`, `**`) of the JUnit XML files that the tests write in the workspace.",
    )
    reuse: bool = Field(
        default=False,
        description="Whether an equal candidate's verdict may be used again; never with network or image `host`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reuse and self.network:
            raise ValueError("reuse = true and network = true exclude each other: what the network gave may differ")
        return self


class Setup(Section):
    """How the layer below the tests is made, once for equal inputs."""

    command: Commands = Field(
        default=(), description="Shell command, or list of commands, that installs what tests need."
    )
    inputs: Insides = Field(default=(), description="The project's files that the command sees; it sees no others.")
    network: bool = Field(
        default=False, description="Whether the command may reach the network, as with `tests.network`."
    )
    credentials: bool = Field(
        default=False,
        description="Whether the command sees the files of `secrets/setup/PROJECT` in the state folder, in "
        "`$CREDENTIALS_DIRECTORY`; the inputs are trunk's own then, not the proposal's.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.command and (self.inputs or self.network or self.credentials):
            raise ValueError("has no command, so the other keys have no effect")
        return self

    @property
    def script(self) -> str:
        """All commands as one shell script that stops at the first failure; "" when there is none."""
        if len(self.command) == 1:
            return self.command[0]
        return " && ".join(f"(\n{command}\n)" for command in self.command)


class Certificates(Section):
    """What becomes of a landing's certificate, beside being kept."""

    publish: bool = Field(
        default=False,
        description="Whether it is pushed to where trunk is: git, as a note in `refs/notes/byoci`; bzr, to the branch "
        "`TRUNK-certificates` beside it. Whoever can read trunk can audit it then.",
    )


class Approve(Section):
    """When a proposal's votes suffice."""

    minimum: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="How many trusted approvals of the approved revision it takes; 0: the status alone decides.",
    )
    trusted: Words | None = Field(
        default=None, description="People and teams whose votes count. Unset: whom the forge itself trusts."
    )
    self: bool = Field(default=False, description="Whether a proposal's author may approve it.")


class Project(Named):
    """A gated trunk."""

    vcs: Annotated[str, one_of(VCS_KINDS)] = Field(description='Version control system: "git" or "bzr".')
    forge: Annotated[str, one_of(FORGES, LATER_FORGES)] = Field(
        default="local", description='Where proposals come from: "local", the forge that byoci keeps itself.'
    )
    trunk: Trunk = Field(
        description="The gated branch, as URL or path and after a `;` the branch's name; without one the remote's own "
        "default. `~` is the home folder; a relative path starts from the file's folder."
    )
    tests: Tests = Field(default_factory=dict, validate_default=True)
    setup: Setup = Field(default_factory=Setup)
    worker: str = Field(
        default="default", description="The worker that setup and tests run in: a NAME of `[worker.NAME]`."
    )
    approve: Approve = Field(default_factory=Approve)
    readers: Words | None = Field(
        default=None,
        description="People and teams who alone may see it at the monitor's dashboard; for everybody else it is not "
        "there. Unset: whoever may read the dashboard.",
    )
    certificates: Certificates = Field(default_factory=Certificates)
    notify: ProjectNotify = Field(default_factory=ProjectNotify)


class Worker(Named):
    """A kind of sandbox and what it may use. `[worker.default]` exists also where the file has none."""

    backend: Annotated[str, one_of(BACKENDS, LATER_BACKENDS)] = Field(
        default="bubblewrap", description='What seals it: "bubblewrap".'
    )
    image: str = Field(
        default=HOST_IMAGE, description="What it sees as its system: `host`, or a NAME of `[image.NAME]`; read-only."
    )
    memory: Size = Field(default=2 * 1024**3, description="Memory of all its processes together.")
    processes: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=512, description="How many processes and threads it may have at once."
    )
    time: Duration = Field(default=3600.0, description="Time from start to end of setup, and again of the tests.")
    output: Size = Field(default=64 * 1024**2, description="How much its commands may print.")
    disk: Size = Field(default=10 * 1024**3, description="How much it may write.")
    tree: Annotated[str, one_of(TREES)] = Field(
        default="shared",
        description='How tests get their files: "shared" (a tree is kept for the project, and lies below what they '
        'write) or "copied" (all are written anew).',
    )


class Image(Named):
    """A root file system for workers."""

    path: FilePath = Field(description="Folder of the root file system; a relative path starts from the file's folder.")


class Team(Named):
    """A team of people, for review requests and trust on the local forge."""

    members: Words = Field(default=(), description="People and teams that are in the team.")


class LocalForge(Section):
    """The forge that byoci keeps itself."""

    administrators: Words = Field(
        default=(), description="Users who may act for others on the local forge; it is recorded."
    )
    path: FilePath | None = Field(
        default=None, description="Its database. Unset: `forge.sqlite` in the namespace's state folder."
    )


class Forges(Section):
    """The forges."""

    local: LocalForge = Field(default_factory=LocalForge)


class Sources(Section):
    """Where proposals' sources may be."""

    schemes: Annotated[tuple[Scheme, ...], BeforeValidator(as_tuple)] = Field(
        default=("https", "http", "ssh", "git+ssh", "bzr+ssh"),
        description="URL schemes of trunks and sources; leave http out where the network is not trusted. Paths of this "
        "machine are allowed with the local forge.",
    )


class VcsSection(Section):
    """What holds for both version control systems."""

    rewrite: Mapping[Line, Line] = Field(
        default_factory=dict,
        description="URL prefix and what replaces it, applied to every URL before use; the longest prefix counts.",
    )
    sources: Sources = Field(default_factory=Sources)


class Secrets(Section):
    """The secrets of the namespace, which are in `$BYOCI_HOME/NAMESPACE/secrets`."""

    branch: Trunk | None = Field(
        default=None,
        description="A private branch of this namespace alone that the folder is a working copy of: `byoci host "
        "secrets` takes what is new there before, and puts what it made there afterwards. Never one of the "
        "definition's repository. Unset: a folder of its own.",
    )
    vcs: Annotated[str, one_of(VCS_KINDS)] = Field(default="git", description='What the branch is of: "git" or "bzr".')


def _worker_tables(value: object) -> object:
    return {"default": {}, **value} if isinstance(value, dict) else value


class Root(Section):
    """The whole configuration of one namespace."""

    site: Site = Field(default_factory=dict, validate_default=True)
    project: Mapping[Name, Project] = Field(default_factory=dict)
    worker: Annotated[Mapping[Name, Worker], BeforeValidator(_worker_tables)] = Field(
        default_factory=dict, validate_default=True
    )
    image: Mapping[Name, Image] = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=Secrets)
    controller: Controller = Field(default_factory=Controller)
    agent: Mapping[AgentName, Agent] = Field(default_factory=dict)
    monitor: Monitor = Field(default_factory=Monitor)
    jobs: Jobs = Field(default_factory=Jobs)
    notify: Notify = Field(default_factory=Notify)
    webhook: Mapping[Name, Webhook] = Field(default_factory=dict)
    team: Mapping[Name, Team] = Field(default_factory=dict)
    forge: Forges = Field(default_factory=Forges)
    vcs: VcsSection = Field(default_factory=VcsSection)

    @model_validator(mode="after")
    def _tell_names(self) -> Self:
        tables: tuple[Mapping[str, Any], ...] = (
            self.project,
            self.worker,
            self.image,
            self.agent,
            self.webhook,
            self.team,
        )
        for table in tables:
            for name, item in table.items():
                item._name = name  # noqa: SLF001 - the one place where a table learns its name
        return self
