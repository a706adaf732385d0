"""Configuration → what the monitor and its controller are to have: jobs, who may see what, and who is told the news."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.config import schema
    from byoci.config.loading import Config
    from byoci.config.schema_monitor import Jobs
    from byoci.monitor.notifying import Audience, Hook
    from byoci.monitor.sight import Permissions

WEBHOOK_CREDENTIAL: Final = "controller-webhook"
"""What units of systemd's call the secret of webhooks."""


def permissions_of(config: Config) -> Permissions:
    """See `Site.permissions`."""
    from byoci.controller.client import ADMINISTRATOR
    from byoci.forge.local_people import expanded
    from byoci.monitor.sight import Permissions

    teams = {name: team.members for name, team in config.teams.items()}
    projects = config.projects.items()
    return Permissions(
        anonymous=config.monitor.open,
        of={name: expanded(teams, found.readers) for name, found in projects if found.readers is not None},
        administrators=(ADMINISTRATOR,),
    )


def webhook_secrets_of(config: Config) -> list[bytes]:
    """See `Site.webhook_secrets`."""
    from byoci.monitor.hooks import secrets_of

    given = os.environ.get("CREDENTIALS_DIRECTORY")
    secret = config.state / "secrets" / "controller" / "webhook"
    return secrets_of(secret, Path(given, WEBHOOK_CREDENTIAL) if given else None)


def audience_of(config: Config) -> Callable[[str], Audience]:
    """See `Site.audience`. What only some may read is told to nobody, unless the project itself says whom."""
    from byoci.monitor.notifying import Audience

    common, hooks = config.notify, {name: _hook(config, name) for name in config.webhooks}
    made = {}
    for name, project in config.projects.items():
        own, everybody = project.notify, project.readers is None
        mail = (common.mail if everybody else ()) if own.mail is None else own.mail
        wanted = (tuple(hooks) if everybody else ()) if own.webhooks is None else own.webhooks
        kinds = frozenset(common.on if own.on is None else own.on)
        made[name] = Audience(mail, tuple(hooks[hook] for hook in wanted), kinds)
    return lambda project: made.get(project, Audience())


def _hook(config: Config, name: str) -> Hook:
    from byoci.config.network import check_hook_url
    from byoci.monitor.notifying import Hook

    folder = config.state / "secrets" / "notify"
    try:
        secret = (folder / name).read_bytes().strip()
        url = config.webhooks[name].url or (folder / f"{name}.url").read_text(encoding="utf-8").strip()
        return Hook(name, check_hook_url(url), secret)
    except FileNotFoundError as error:
        what, todo = f"there is no {error.filename}", "Type: byoci host secrets"
        if str(error.filename).endswith(".url"):
            todo = "Put its address there, or set its url."
        raise ConfigError(f"the webhook {name} cannot be told anything", details=what, resolution=todo) from error
    except ValueError as error:  # the address is not in what is told: it may be secret
        raise ConfigError(f"the address of the webhook {name} {error}") from None


def jobs_of(config: Config, own_program: Sequence[str]) -> dict[str, str]:
    """See `Site.jobs`."""
    from byoci.jenkins.jjb import render
    from byoci.jenkins.landing_job import land_command
    from byoci.jenkins.trunk_jobs import command_of_tests, command_of_trigger

    wanted, projects = config.jobs, config.projects.items()
    byoci = wanted.byoci or own_program
    made: dict[str, str] = {}
    for name, project in projects:
        made |= _own_jobs(wanted, name, project, byoci)
    folder = config.path.absolute().parent / "jobs"
    if folder.is_dir():
        values = [
            {
                "project": name,
                "vcs": project.vcs,
                "trunk": str(project.trunk),
                "worker": project.worker,
                "land": land_command(str(project.trunk), project.worker, byoci),
                "test": command_of_tests(str(project.trunk), project.worker, byoci),
                "detect": command_of_trigger(name, project.vcs, str(project.trunk), byoci),
            }
            for name, project in projects
        ]
        made |= render(folder, wanted.builder, wanted.templates, values)
    return made


def _own_jobs(wanted: Jobs, name: str, project: schema.Project, byoci: Sequence[str]) -> dict[str, str]:
    """The jobs of a project where the definition has no others of their names."""
    from byoci.jenkins import landing_job, trunk_jobs

    trunk, worker, label = str(project.trunk), project.worker, wanted.label or ""
    land = landing_job.config_xml(name, trunk, worker, byoci, label)
    tests = trunk_jobs.xml_of_tests(name, trunk, worker, byoci, label, project.tests.results)
    made = {landing_job.job_name(name): land, trunk_jobs.name_of_tests(name): tests}
    if wanted.triggers:
        trigger = trunk_jobs.xml_of_trigger(name, project.vcs, trunk, byoci, label)
        made[trunk_jobs.name_of_trigger(name)] = trigger
    return made
