"""The sections of the controller and of its agents."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from byoci.config import network
from byoci.config.schema_types import (
    FilePath,
    HostKey,
    HostName,
    Labels,
    Line,
    Named,
    Port,
    Section,
    Size,
    UserName,
    as_tuple,
    one_of,
)

EMBEDDED: Final = "embedded"
JENKINS: Final = "jenkins"


class Keep(Section):
    """What is kept of each build at most, on the agent and on the controller."""

    log: Size = Field(
        default=2 * 1024**3, description="How much of what it prints; the rest is counted, and told at the log's end."
    )
    artifacts: Size = Field(
        default=10 * 1024**3, description="The size of all files that it keeps: artifacts and test reports."
    )
    files: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=20_000, description="How many files it keeps. A build that has more, or larger ones, fails."
    )


class Controller(Section):
    """The queue of jobs, and what runs them on agents."""

    engine: Annotated[str, one_of((EMBEDDED, JENKINS))] = Field(
        default=EMBEDDED,
        description='What it is: "embedded", byoci\'s own, which `byoci up` starts, or "jenkins", one that is there '
        "already, at `url`.",
    )
    listen: Annotated[str, AfterValidator(network.check_address)] = Field(
        default="127.0.0.1",
        description="The address of this machine that it answers at. It speaks plain http, so any but one of loopback "
        "needs something before it that speaks https, and that one's url.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8010, description="The port that it answers at; 0: any free one."
    )
    url: Annotated[str, AfterValidator(network.check_web_url)] | None = Field(
        default=None,
        description="Its address as people and builds see it (`BUILD_URL`), where that is a proxy's. The path must "
        "reach the controller unchanged. Unset: the address that it listens at. Of a Jenkins the address that it is "
        "asked at: https, or one of this machine.",
    )
    user: Annotated[Line, AfterValidator(network.check_account)] | None = Field(
        default=None,
        description="Of a Jenkins: whom to sign in as, with the API token in `secrets/controller/jenkins-token`. "
        "Unset: nobody.",
    )
    launcher: Annotated[tuple[Line, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="Of a Jenkins: how it calls byoci on its own machine to start an agent, the program and its "
        "options, each one word. Unset: this machine's own program, with this configuration.",
    )
    plugins: Annotated[tuple[Annotated[str, AfterValidator(network.check_plugin)], ...], BeforeValidator(as_tuple)] = (
        Field(
            default=(),
            description='Of a Jenkins: the plugins that `byoci monitor update-plugins` installs, each "NAME", or '
            '"NAME:VERSION" with the oldest version that will do.',
        )
    )
    folder: FilePath | None = Field(
        default=None,
        description="Where its state is, in a folder for each namespace. Unset: `controller` in the namespace's.",
    )

    keep: Keep = Field(default_factory=Keep)

    @model_validator(mode="after")
    def _not_in_clear(self) -> Self:
        if self.engine == EMBEDDED:
            network.check_not_in_clear(self.listen, self.url, "passwords would travel in clear")
        elif self.url is None:
            raise ValueError('is a Jenkins, and has no url: set controller.url, as "https://ci.example.com/"')
        else:
            network.check_asked_not_in_clear(self.url, "the token would travel in clear")
        return self


class Agent(Named):
    """An agent that the controller reaches over ssh, once `byoci host update-agent-access` made it let it in."""

    host: HostName = Field(description="Its name or address.")
    port: Port = Field(default=22, description="The port of its sshd.")
    user: UserName = Field(default="jenkins", description="The user there who runs jobs.")
    group: UserName = Field(
        default="developers", description="The group of developers, which that user is put into where byoci makes him."
    )
    administrator: UserName | None = Field(
        default=None,
        description="The user there who sets the agent up, and who lets the administration key in: `root`, one who may "
        "use sudo without a password, or `user` himself, which is the default. On this machine, where it is unset, "
        "nobody has to be let in: it is done by whoever runs the command.",
    )
    host_keys: Annotated[tuple[HostKey, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="The public keys of its sshd, as the machine's own `/etc/ssh/ssh_host_*_key.pub` have them. A host "
        "of loopback is this machine, whose files are read; any other must name them: nothing is trusted on first use.",
    )
    authorized_keys: Line | None = Field(
        default=None,
        description="The file there in which its sshd looks for `user`'s keys. Unset: `~/.ssh/authorized_keys`.",
    )
    executors: Annotated[int, Field(ge=0, le=1000)] = Field(default=2, description="How many builds it runs at once.")
    labels: Labels = Field(default=(), description="Labels by which jobs choose it.")
    folder: Line = Field(
        default="~/.byoci/agent",
        description="Its folder, with one for each namespace, for workspaces and its own key for hosts of its workers. "
        "Two sites must not have the same.",
    )
    java: Annotated[tuple[Line, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        default=("java",),
        description="How Java is called there, the program and its options, each one word: for a Jenkins only.",
    )

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if not self.host_keys and not network.is_loopback(self.host):
            raise ValueError("has no host_keys, and nothing is trusted on first use: copy them from the machine itself")
        return self
