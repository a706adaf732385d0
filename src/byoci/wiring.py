"""From configuration to objects: the only file that names concrete back-ends. Each is imported when it is wanted."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from byoci.errors import ConfigError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from byoci.config import schema
    from byoci.config.loading import Config
    from byoci.forge.local import LocalForge
    from byoci.forge.local_reading import LocalReader
    from byoci.gate.ballot import Policy
    from byoci.gate.plan import Gate, Project, SetupPlan, TestPlan
    from byoci.jenkins.client import Jenkins
    from byoci.monitor.notifying import Audience
    from byoci.monitor.sight import Permissions
    from byoci.monitor.watched import Watched
    from byoci.store.certificates import CertificateStore
    from byoci.store.landings import LandingStore
    from byoci.store.leases import Leases
    from byoci.vcs.base import Vcs
    from byoci.vcs.shelf import Shelf
    from byoci.vcs.urls import UrlPolicy
    from byoci.worker.base import Limits, Worker


class LocalPeople(TypedDict):
    """Who is who on the local forge; see `LocalForge`."""

    teams: Mapping[str, Sequence[str]]
    administrators: Sequence[str]
    trusted: Mapping[str, Sequence[str]]


def open_site(path: Path | None, namespace: str) -> Site:
    """The configured site. Raises `ConfigError`."""
    from byoci.config.loading import load

    return Site(load(path, namespace))


@dataclass(frozen=True)
class Site:
    """A namespace of one configuration, and what it is made of; each part is opened once."""

    config: Config

    @functools.cached_property
    def local_forge(self) -> LocalForge:
        """The forge that byoci keeps itself."""
        from byoci.forge.local import LocalForge
        from byoci.forge.local_people import user_name

        user = user_name(os.getuid())  # the environment can say anything
        return LocalForge(self.config.local_forge_path, user=user, **self._local_people())

    def _local_people(self) -> LocalPeople:
        projects = self.config.projects.items()
        return {
            "teams": {name: team.members for name, team in self.config.teams.items()},
            "administrators": self.config.local_forge.administrators,
            "trusted": {name: found.approve.trusted for name, found in projects if found.approve.trusted},
        }

    @functools.cached_property
    def _local_reader(self) -> LocalReader:
        from byoci.forge.local_reading import LocalReader

        return LocalReader(self.config.local_forge_path, **self._local_people())

    @functools.cached_property
    def leases(self) -> Leases:
        """The landing leases of this host."""
        from byoci.store.leases import Leases

        return Leases(self.config.state / "leases")

    @functools.cached_property
    def certificates(self) -> CertificateStore:
        """The signed records of what landed."""
        from byoci.store.certificates import CertificateStore

        return CertificateStore(self.config.state / "certificates", self.config.state / "secrets" / "landing_ed25519")

    @functools.cached_property
    def store(self) -> LandingStore:
        """The lander's cache."""
        from byoci.store.landings import LandingStore

        return LandingStore(self.config.state / "lander.sqlite")

    def gate(
        self,
        name: str,
        tell: Callable[[str], None],
        *,
        worker: str | None = None,
        workdir: Path | None = None,
        printed: Callable[[bytes], None] | None = None,
    ) -> Gate:
        """A project with its tools.

        worker, workdir  the kind of worker, where it is not the project's own, and where it is to test
        printed          is given what setup and tests print
        """
        from byoci.gate.plan import Gate

        found = self.config.project(name)
        if worker is not None:
            found = found.model_copy(update={"worker": self.config.worker(worker).name})
        return Gate(
            project=self._project(found),
            forge=self.local_forge,
            vcs=self.vcs(found),
            new_worker=lambda: self.worker(found.worker),
            store=self.store,
            certificates=self.certificates,
            shelf=self.shelf(found) if found.certificates.publish else None,
            logs=self.config.state / "logs" / name,
            tell=tell,
            workdir=workdir,
            printed=printed,
        )

    def watched(self, name: str) -> Watched:
        """A project as the monitor sees it."""
        from byoci.monitor.watched import Watched

        found = self.config.project(name)
        return Watched(
            project=name,
            trunk=found.trunk,
            policy=policy_of(found),
            forge=self._local_reader,
            tip=lambda branch: self.vcs(found).tip(branch),
            near=found.forge == "local",
        )

    def permissions(self) -> Permissions:
        """Who may see what at the dashboard."""
        from byoci.wiring_monitor import permissions_of

        return permissions_of(self.config)

    def jenkins(self) -> Jenkins:
        """The controller's remote API. Raises `UnavailableError` where byoci's own does not run."""
        if self.config.has_own_controller:
            from byoci.controller.client import as_administrator

            return as_administrator(self.config.controller_folder)
        from byoci.jenkins.account import signed_in

        return signed_in(self.config)

    def jenkins_at(self, url: str) -> Jenkins:
        """The remote API at an address that a job names: the site's own controller, or another one.

        To another one signs in whom the secret `agent/controller` (`USER:TOKEN`) names; without it, nobody.
        """
        from byoci.jenkins.account import named

        with contextlib.suppress(UnavailableError):
            own = self.jenkins()
            if url in (own.url, self.config.controller.url):
                return own
        return named(url, self.config.state / "secrets" / "agent" / "controller")

    def webhook_secrets(self) -> list[bytes]:
        """What the forges may sign webhooks with now; a unit of systemd's is given the one of its start."""
        from byoci.wiring_monitor import webhook_secrets_of

        return webhook_secrets_of(self.config)

    def audience(self) -> Callable[[str], Audience]:
        """Project → who is told its news. Raises `ConfigError` where a webhook lacks its secret or its address."""
        from byoci.wiring_monitor import audience_of

        return audience_of(self.config)

    def jobs(self, own_program: Sequence[str]) -> dict[str, str]:
        """The jobs that the controller is to have: name → config.xml.

        own_program  how this machine's own byoci is called, for a definition that does not say how agents do
        """
        from byoci.wiring_monitor import jobs_of

        return jobs_of(self.config, own_program)

    def project_of_trunk(self, trunk: str) -> schema.Project:
        """The project whose trunk that is. Raises `UsageError` where there is none."""
        found = self.config.project_of_trunk(trunk)
        if found is None:
            known = ", ".join(str(project.trunk) for project in self.config.projects.values())
            raise UsageError(f"{trunk} is no project's trunk", details=f"known are {known or 'none'}")
        return found

    def vcs(self, project: schema.Project) -> Vcs:
        """The project's version control system, with its private repository."""
        # A team without a forge has its branches where its people work: on this machine's disks too.
        return self._vcs(project.vcs, project.name, local=project.forge == "local")

    def shelf(self, project: schema.Project) -> Shelf:
        """Where a project's certificates are beside its trunk."""
        landing = self.config.site.landing
        private = self.config.state / "repositories" / f"{project.name}.{project.vcs}"
        committer = (landing.fullname, landing.email)
        return shelf_of(project.vcs, private, self.config, local=project.forge == "local", committer=committer)

    def loose_vcs(self, kind: str) -> Vcs:
        """A version control system for a branch that belongs to no project."""
        return self._vcs(kind, "+loose", local=True)

    def loose_gate(self, kind: str, trunk: str, tell: Callable[[str], None]) -> Gate:
        """A gate for a trunk that no project names: ballots are judged by the default policy, and nothing lands."""
        from byoci.gate.ballot import Policy
        from byoci.gate.plan import Gate, Project, TestPlan
        from byoci.model import Location

        landing = self.config.site.landing
        return Gate(
            project=Project(
                name=trunk,
                trunk=Location.parse(trunk),
                tests=TestPlan(commands=()),
                policy=Policy(),
                committer_name=landing.fullname,
                committer_email=landing.email,
            ),
            forge=self.local_forge,
            vcs=self.loose_vcs(kind),
            new_worker=lambda: self.worker("default"),
            store=self.store,
            certificates=self.certificates,
            shelf=None,
            logs=self.config.state / "logs",
            tell=tell,
        )

    def _vcs(self, kind: str, name: str, *, local: bool) -> Vcs:
        return vcs_of(kind, self.config.state / "repositories" / f"{name}.{kind}", self.config, local=local)

    def worker(self, name: str) -> Worker:
        """A new worker of the kind that the configuration calls `name`."""
        kind = self.config.worker(name)
        from byoci.worker.bubblewrap import BubblewrapWorker

        return BubblewrapWorker(self.config.state, share=kind.tree == "shared")

    def test_plan(self, project: schema.Project) -> TestPlan:
        """How a project's candidates are tested."""
        from byoci.gate.plan import TestPlan

        kind = self.config.worker(project.worker)
        return TestPlan(
            commands=project.tests.command,
            worker=kind.name,
            image=self.config.image_of(kind),
            limits=limits_of(kind),
            network=project.tests.network,
            environment=project.tests.environment,
            results=project.tests.results,
            setup=self._setup_plan(project),
            reuse=project.tests.reuse,
        )

    def _setup_plan(self, project: schema.Project) -> SetupPlan | None:
        from byoci.gate.plan import SetupPlan

        if not project.setup.command:
            return None
        credentials = self._setup_credentials(project.name) if project.setup.credentials else {}
        return SetupPlan(project.setup.script, project.setup.inputs, project.setup.network, credentials)

    def _setup_credentials(self, project: str) -> Mapping[str, bytes]:
        folder = self.config.state / "secrets" / "setup" / project
        found = {path.name: path.read_bytes() for path in sorted(folder.glob("*")) if path.is_file()}
        if not found:
            raise ConfigError(
                f"project {project} wants credentials for its setup, and there are none",
                details=f"{folder} holds no file",
                resolution="Put a file for each credential there, or set setup.credentials = false.",
            )
        return found

    def _project(self, found: schema.Project) -> Project:
        from byoci.gate.plan import Project

        landing = self.config.site.landing
        return Project(
            name=found.name,
            trunk=found.trunk,
            tests=self.test_plan(found),
            policy=policy_of(found),
            committer_name=landing.fullname,
            committer_email=landing.email,
            attempts=landing.attempts,
        )


def policy_of(project: schema.Project) -> Policy:
    """What a project asks of a ballot."""
    from byoci.gate.ballot import Policy

    approve = project.approve
    return Policy(
        minimum=approve.minimum,
        trusted=None if approve.trusted is None else frozenset(approve.trusted),
        allow_self=approve.self,
    )


def vcs_of(kind: str, private: Path, config: Config | None, *, local: bool) -> Vcs:
    """A version control system with its private repository.

    config  what it has to say of URLs and of who lands; None: the defaults, with which no landing is recognised
    local   whether branches may be paths of this machine
    """
    committer = config.site.landing.email if config else ""
    policy, rewrite, ssh_config = _ways(config, local=local)
    if kind == "git":
        from byoci.vcs.git import GitVcs

        return GitVcs(private, policy, rewrite, committer_email=committer, ssh_config=ssh_config)
    with _needing_breezy():
        from byoci.vcs.bzr import BzrVcs
    return BzrVcs(private, policy, rewrite, committer_email=committer, ssh_config=ssh_config)


def shelf_of(
    kind: str, private: Path, config: Config | None, *, local: bool, committer: tuple[str, str] = ("", "")
) -> Shelf:
    """Where certificates are kept beside a trunk; see `vcs_of`. `committer` is a name and an address."""
    policy, rewrite, ssh_config = _ways(config, local=local)
    if kind == "git":
        from byoci.vcs.git_notes import GitNotes

        return GitNotes(private, policy, rewrite, committer=committer, ssh_config=ssh_config)
    with _needing_breezy():
        from byoci.vcs.bzr_sibling import BzrSibling
    return BzrSibling(private, policy, rewrite, committer=committer, ssh_config=ssh_config)


def _ways(config: Config | None, *, local: bool) -> tuple[UrlPolicy, Mapping[str, str], Path | None]:
    """Which URLs are allowed, what is rewritten, and ssh's own configuration, if the site has one."""
    from byoci.vcs.urls import DEFAULT_SCHEMES, UrlPolicy

    if config is None:
        return UrlPolicy(local=local, schemes=DEFAULT_SCHEMES), {}, None
    own_config = config.state / "secrets" / "ssh_config"
    policy = UrlPolicy(local=local, schemes=frozenset(config.vcs.sources.schemes))
    return policy, config.vcs.rewrite, own_config if own_config.exists() else None


@contextlib.contextmanager
def _needing_breezy() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            "breezy is not installed, and a bzr branch needs it",
            details=str(error),
            resolution="Install byoci with its bzr side: pip install 'byoci[bzr]'.",
        ) from error


def loose_worker(site: Site | None) -> Worker:
    """A worker for somebody who may have no site: of the site's state, or else of $BYOCI_HOME's."""
    from byoci.config.paths import byoci_home
    from byoci.worker.bubblewrap import BubblewrapWorker

    return BubblewrapWorker(site.config.state if site else byoci_home(os.environ) / "testing")


def limits_of(kind: schema.Worker) -> Limits:
    """A worker's limits, as its kind is configured."""
    from byoci.worker.base import Limits

    return Limits(memory=kind.memory, processes=kind.processes, seconds=kind.time, output=kind.output, disk=kind.disk)
