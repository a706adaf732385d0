"""The sections of the monitor and of the jobs that it starts."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from byoci.config import network
from byoci.config.schema_types import Duration, Line, Section, as_tuple


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
        "`{trunk}`, `{worker}` and `{land}`, the command that lands, are filled in.",
    )
    label: Line | None = Field(
        default=None, description="The expression of labels that chooses the agents of landings. Unset: any agent."
    )
