"""The sections of the monitor and of the jobs that it starts."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from byoci.config import network
from byoci.config.schema_types import Duration, Line, Name, Named, Section, as_tuple, one_of


class Monitor(Section):
    """What hears of proposals, keeps the queues, and starts landings."""

    listen: Annotated[str, AfterValidator(network.check_address)] = Field(
        default="127.0.0.1",
        description="The address of this machine that it answers at. It speaks plain http, so any but one of loopback "
        "needs something before it that speaks https, and that one's url.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8020, description="The port that it answers at; 0: any free one."
    )
    url: Annotated[str, AfterValidator(network.check_web_url)] | None = Field(
        default=None, description="Its address as people and forges see it, where that is a proxy's."
    )
    anonymous: bool | None = Field(
        default=None,
        description="Whether who has not signed in may see the projects that have no `readers` of their own. Unset: "
        "where it answers at loopback and has no url, as on a developer's machine.",
    )
    poll: Duration = Field(
        default=60.0,
        description="The longest time between two looks at a forge of which nothing is heard. After a change it looks "
        "every second, then less and less often; at the local forge at least every two seconds.",
    )

    @model_validator(mode="after")
    def _not_in_clear(self) -> Self:
        network.check_not_in_clear(self.listen, self.url, "passwords would travel in clear")
        return self

    @property
    def open(self) -> bool:
        """Whether who has not signed in may look."""
        return self.url is None if self.anonymous is None else self.anonymous


KINDS: Final = ("landed", "failed", "conflict", "trouble", "well")
_MailAddress = Annotated[str, AfterValidator(network.check_mail_address)]
MailAddresses = Annotated[tuple[_MailAddress, ...], BeforeValidator(as_tuple)]
Kinds = Annotated[tuple[Annotated[str, one_of(KINDS)], ...], BeforeValidator(as_tuple)]


class Webhook(Named):
    """A program that is told the news of all projects, signed with the secret `notify/NAME`."""

    url: Annotated[str, AfterValidator(network.check_hook_url)] | None = Field(
        default=None,
        description="Its address, of this machine or https. Unset: what the secret `notify/NAME.url` holds, for one "
        "that must not be known.",
    )


class Notify(Section):
    """Who is told when something has changed. A project's own `notify` replaces what it sets."""

    mail: MailAddresses = Field(default=(), description="Who gets mail, through this machine's `sendmail`.")
    on: Kinds = Field(
        default=KINDS,
        description="What is told: a proposal has landed, failed its tests, or is in conflict; a trunk is in trouble, "
        "so that nothing can land there, and is well again.",
    )


class ProjectNotify(Section):
    """Who is told of this project."""

    mail: MailAddresses | None = Field(
        default=None,
        description="As in `[notify]`. Unset: those of `[notify]`; nobody where it has `readers`.",
    )
    on: Kinds | None = Field(default=None, description="As in `[notify]`. Unset: those of `[notify]`.")
    webhooks: Annotated[tuple[Name, ...], BeforeValidator(as_tuple)] | None = Field(
        default=None,
        description="Which webhooks, by their NAME of `[webhook.NAME]`. Unset: all; none where it has `readers`.",
    )


class Jobs(Section):
    """The controller's jobs that byoci makes."""

    byoci: Annotated[tuple[Line, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="How jobs call byoci on their agent: the program and its options, each one word. Unset: this "
        "machine's own program, with this configuration, for agents that are this machine.",
    )
    builder: Line = Field(
        default="jenkins-jobs",
        description="The program of jenkins-job-builder, for a definition that has a folder `jobs` beside this file: "
        "what its YAML files make is made, and takes the place of byoci's own jobs of the same names.",
    )
    templates: Annotated[tuple[Line, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="Names of job templates in that folder that are made for each project: `{project}`, `{vcs}`, "
        "`{trunk}`, `{worker}` and the commands `{land}`, `{test}` and `{detect}` are filled in.",
    )
    triggers: bool = Field(
        default=False,
        description="Whether each project has the job `trigger-PROJECT-devs-test`, which looks every five minutes, and "
        "has `test-PROJECT` built once the trunk has changed, also by a landing, whose tests that repeats.",
    )
    label: Line | None = Field(
        default=None, description="The expression of labels that chooses the agents of these jobs. Unset: any agent."
    )
