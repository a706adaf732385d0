"""From a file and a namespace to a checked configuration, with the origin of every value.

Which file: `--config`, else `$BYOCI_CONFIG`, else `byoci.toml` of the working folder, of the person's configuration
folder (`$XDG_CONFIG_HOME`, else `~/.config`, then `byoci/`), of the definition that `byoci-install` made below
`$BYOCI_HOME/NAMESPACE`, of the system's folders (`$XDG_CONFIG_DIRS`, else `/etc/xdg`, then `byoci/`) and of
`/etc/byoci`. The first that exists counts, whole: files are never mixed.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from byoci.config.paths import (
    FILE_NAME,
    byoci_home,
    definition_file,
    expand,
    system_files,
    user_file,
    user_home,
    working_folder,
)
from byoci.config.source import Source, read
from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from byoci.config.origins import Origin
    from byoci.config.schema import Image, LocalForge, Project, Root, Secrets, Site, Team, VcsSection, Worker
    from byoci.config.schema_controller import Agent, Controller
    from byoci.config.schema_monitor import Jobs, Monitor, Notify, Webhook

DEFAULT_NAMESPACE: Final = "testing"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of one namespace.

    path   the file that it was read from
    home   the folder of all state, $BYOCI_HOME
    root   the checked values, as schema.py has them
    """

    path: Path
    namespace: str
    home: Path
    root: Root
    source: Source = field(repr=False)
    user_home: Path = field(repr=False)

    @property
    def state(self) -> Path:
        """The folder of this namespace's state; it may not exist yet."""
        return self.home / self.namespace

    @property
    def site(self) -> Site:
        """What holds for all projects."""
        return self.root.site

    @property
    def vcs(self) -> VcsSection:
        """What holds for both version control systems."""
        return self.root.vcs

    @property
    def projects(self) -> Mapping[str, Project]:
        """The gated trunks, in the file's order."""
        return self.root.project

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The kinds of worker; `default` is always there."""
        return self.root.worker

    @property
    def images(self) -> Mapping[str, Image]:
        """The root file systems that workers may name."""
        return self.root.image

    @property
    def secrets(self) -> Secrets:
        """Where the secrets come from."""
        return self.root.secrets

    @property
    def controller(self) -> Controller:
        """The controller's settings; see `controller_folder` for its state."""
        return self.root.controller

    @property
    def controller_folder(self) -> Path:
        """The state of the embedded controller; for a Jenkins, its key for agents and their pinned host keys."""
        own = self.controller.folder
        return own / self.namespace if own else self.state / "controller"  # namespaces share nothing

    @property
    def has_own_controller(self) -> bool:
        """Whether the controller is the one that byoci starts itself; otherwise it is a Jenkins."""
        return self.controller.engine == "embedded"

    @property
    def jenkins_token_file(self) -> Path:
        """Where the API token of `controller.user` is, for a Jenkins."""
        return self.state / "secrets" / "controller" / "jenkins-token"

    @property
    def monitor(self) -> Monitor:
        """The monitor's settings."""
        return self.root.monitor

    @property
    def monitor_folder(self) -> Path:
        """The monitor's state."""
        return self.state / "monitor"

    @property
    def jobs(self) -> Jobs:
        """What holds for the jobs that byoci makes."""
        return self.root.jobs

    @property
    def notify(self) -> Notify:
        """Who is told the news."""
        return self.root.notify

    @property
    def webhooks(self) -> Mapping[str, Webhook]:
        """The programs that are told the news."""
        return self.root.webhook

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agents of the controller that are reached over ssh."""
        return self.root.agent

    @property
    def teams(self) -> Mapping[str, Team]:
        """The teams of the local forge."""
        return self.root.team

    @property
    def local_forge(self) -> LocalForge:
        """The local forge's settings; see `local_forge_path` for its database."""
        return self.root.forge.local

    @property
    def local_forge_path(self) -> Path:
        """The local forge's database."""
        return self.local_forge.path or self.state / "forge.sqlite"

    def project(self, name: str) -> Project:
        """The project of that name. Raises `ConfigError` with the nearest name."""
        return _named(self, "project", self.projects, name)

    def worker(self, name: str) -> Worker:
        """The worker of that name. Raises `ConfigError` with the nearest name."""
        return _named(self, "worker", self.workers, name)

    def image_of(self, worker: Worker) -> str:
        """What `Worker.prepare` takes as the image: "host", or the folder of a root file system."""
        return worker.image if worker.image not in self.images else str(self.images[worker.image].path)

    def project_of_trunk(self, trunk: str) -> Project | None:
        """The project whose trunk this `URL[;BRANCH]` is, however it is spelled; None where it is nobody's.

        Relative paths start from the working folder. Without a branch it is the only project with that URL, or the one
        that names no branch either. A branch must be the one that the project names.
        """
        from byoci.config.trunks import canonical, resolve_trunk

        try:
            wanted = canonical(resolve_trunk(trunk, working_folder(), self.user_home))
        except ValueError:
            return None
        same_url = [project for project in self.projects.values() if canonical(project.trunk).url == wanted.url]
        same = [project for project in same_url if project.trunk.branch == wanted.branch]
        if not same and wanted.branch is None and len(same_url) == 1:
            same = same_url
        return same[0] if same else None

    def origins(self) -> list[Origin]:
        """Every value, in the schema's order, and where it was set; what looks like a secret is masked."""
        from byoci.config.origins import origins

        return origins(self.root, self.source, self.namespace)


def load(
    path: Path | None = None, namespace: str = DEFAULT_NAMESPACE, environ: Mapping[str, str] | None = None
) -> Config:
    """Find, read and check the configuration.

    path       what `--config` named
    namespace  production, testing or selftest; the overlays of the others are checked too
    environ    where $HOME, $BYOCI_HOME, $BYOCI_CONFIG and the XDG folders are read from; default: the process's own

    Raises `ConfigError`, which tells everything that is wrong with the file at once.
    """
    environ = os.environ if environ is None else environ
    return check(read(find(path, environ, namespace)), namespace, environ)


def check(source: Source, namespace: str, environ: Mapping[str, str]) -> Config:
    """The configuration that a source makes. Raises `ConfigError`."""
    from byoci.config.checking import check_namespaces

    home = user_home(environ)
    root = check_namespaces(source, namespace, home)
    return Config(source.path, namespace, byoci_home(environ), root, source, home)


def find(path: Path | None, environ: Mapping[str, str], namespace: str = DEFAULT_NAMESPACE) -> Path:
    """The configuration file to use. Raises `ConfigError` where there is none, or none to be trusted."""
    found = found_file(path, environ, namespace)
    if found is not None:
        return found
    looked = [working_folder() / FILE_NAME, *_places(environ, namespace)]
    raise ConfigError(
        "there is no configuration yet",
        details="looked for " + ", ".join(str(place) for place in looked),
        resolution="Type `byoci init` in the repository that is to be gated, or name a file with --config.",
    )


def found_file(path: Path | None, environ: Mapping[str, str], namespace: str = DEFAULT_NAMESPACE) -> Path | None:
    """The file that was named, which may not exist, or the first that is found; None where none was and none is."""
    if path is not None:
        return expand(str(path), environ)
    if chosen := environ.get("BYOCI_CONFIG", ""):
        return expand(chosen, environ)
    here = working_folder() / FILE_NAME
    if os.path.lexists(here):
        _refuse_strangers(here)
        return here
    return next((place for place in _places(environ, namespace) if os.path.lexists(place)), None)


def _places(environ: Mapping[str, str], namespace: str) -> list[Path]:
    return [user_file(environ), definition_file(environ, namespace), *system_files(environ)]


def _refuse_strangers(path: Path) -> None:
    """A file of the working folder counts only when it is ours: in /tmp anybody could leave one for us."""
    for facts in (path.lstat(), path.stat() if path.exists() else path.lstat()):
        if facts.st_uid not in (os.getuid(), 0):
            reason = "belongs to another user"
        elif stat.S_ISLNK(facts.st_mode) or not facts.st_mode & _others_bits(facts.st_gid):
            continue
        else:
            reason = "can be written by other users"
        raise ConfigError(
            f"the working folder's {FILE_NAME} {reason}",
            details=str(path),
            resolution=f"If you trust it, name it: --config {FILE_NAME}. Otherwise go to another folder.",
        )


def _others_bits(group: int) -> int:
    """The mode bits that let other users write: the group's too, unless it is this user's own group."""
    return stat.S_IWOTH if group == os.getgid() == os.getuid() else stat.S_IWOTH | stat.S_IWGRP


def _named(config: Config, kind: str, table: Mapping[str, _T], name: str) -> _T:
    from byoci.config.problems import unknown_name

    if name in table:
        return table[name]
    raise ConfigError(
        f"no {kind} of that name: {unknown_name(name, table)}",
        details=str(config.path),
        resolution=f"Use one of these names, or add [{kind}.NAME] to the file.",
    )
