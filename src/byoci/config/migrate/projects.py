"""The projects of an older site: a trunk that its jobs landed on, and the commands of the container that tested it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from byoci.config.migrate.hidden import has_password, without_passwords
from byoci.config.migrate.wrong import MigrationError
from byoci.config.source import contents
from byoci.config.trunks import is_local
from byoci.config.values import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from byoci.config.migrate.jobs import Trunk
    from byoci.config.migrate.older_site import Machine, OlderSite
    from byoci.config.migrate.stack import Value
    from byoci.config.migrate.wishes import Wishes

_GIT_LAUNCHPAD: Final = "git.launchpad.net"
_BRANCH: Final = "master"  # what the older programs took where no branch was named
_FILE_INSTEAD: Final = (
    "Nothing was written. Put the secret into a file that project.secrets names: the setup command finds it in"
    " $CREDENTIALS_DIRECTORY. Tests see no secrets."
)


def add(site: OlderSite, namespace: str, containers: Iterable[Machine], made: Wishes) -> None:
    """Wish for the projects of a namespace. Raises `MigrationError` for secrets in commands and for bad names."""
    containers = list(containers)
    waiting = {one.name: one for one in containers}
    for trunk in site.trunks:
        machine = next((one for one in containers if one.name == trunk.container), None)
        if machine is not None:
            waiting.pop(machine.name, None)
            _project(site, namespace, machine, trunk, made)
    for machine in waiting.values():
        if site.value(machine, namespace, "byoci.tests.command") is not None:
            made.notes.append(
                f"{machine.name}: no job tells its trunk, so its project is written as comments. Name the trunk:"
                f" --trunk {machine.name} VCS TRUNK"
            )
            _commands(site, namespace, machine, machine.name, made, here=False)


def _project(site: OlderSite, namespace: str, machine: Machine, trunk: Trunk, made: Wishes) -> None:
    try:
        key = ("project", check_name(trunk.name))
    except ValueError as error:
        raise MigrationError([f"{trunk.place}: {trunk.name} {error}"]) from error
    tests = site.value(machine, namespace, "byoci.tests.command")
    url, why = _url(site, namespace, machine, trunk, made)
    if tests is None or not tests.text:
        why = f"[{machine.name}] has no byoci.tests.command: the older byoci let every landing fail"
    here = url is not None and not why
    if why:
        made.notes.append(f"{trunk.name}: {why}; the project is written as comments ({trunk.place})")
    made.add((*key, "vcs"), "bzr" if trunk.kind == "bzr" else "git", here=here)
    forge = _forge(trunk)
    if forge is not None:
        made.add((*key, "forge"), forge, here=here)
    if url is not None:
        made.add((*key, "trunk"), without_passwords(url), here=here)
    _commands(site, namespace, machine, trunk.name, made, here=here)


def _url(site: OlderSite, namespace: str, machine: Machine, trunk: Trunk, made: Wishes) -> tuple[str | None, str]:
    """The trunk as byoci opens it, or None and why not."""
    url, _, branch = trunk.trunk.partition(";")
    if trunk.kind == "gitlab" and "://" not in url:
        server = site.value(machine, namespace, "gitlab.api.url")
        host = urlsplit(server.text).hostname if server is not None else None
        if host is None:
            return None, "gitlab.api.url is not set, so its server is not known; name the trunk with --trunk"
        url = f"ssh://git@{host}/{url.strip('/').removesuffix('.git')}.git"
        made.notes.append(f"{trunk.name}: the trunk's URL was made from gitlab.api.url; look whether it is right")
    elif trunk.kind == "git" and url.startswith("lp:"):
        user = made.all.get(("site", "landing", "user"))
        login = f"{user.value}@" if user is not None else ""
        url = f"ssh://{login}{_GIT_LAUNCHPAD}/{url.removeprefix('lp:').lstrip('/')}"
    if is_local(url) and not url.startswith(("/", "~")):
        return None, "its trunk is a relative path, which the older job's folder gave a meaning; name it with --trunk"
    if trunk.kind == "bzr":
        return url, ""
    return f"{url};{branch or _BRANCH}", ""


def _forge(trunk: Trunk) -> str | None:
    """The forge that the older program landed from: GitLab, or Launchpad for what is there."""
    if trunk.kind == "gitlab":
        return "gitlab"
    return "launchpad" if trunk.trunk.startswith("lp:") or "launchpad.net" in trunk.trunk else None


def _commands(site: OlderSite, namespace: str, machine: Machine, name: str, made: Wishes, *, here: bool) -> None:
    """Tests, setup and worker of a project."""
    key = ("project", name)
    tests = site.value(machine, namespace, "byoci.tests.command")
    if tests is not None and tests.text:
        _refuse_secrets(tests, "byoci.tests.command")
        made.add((*key, "tests", "command"), tests.text, tests, here=here)
    setup = site.value(machine, namespace, "byoci.setup.command")
    secrets = site.value(machine, namespace, "project.secrets")
    credentials = secrets is not None and bool(secrets.text.strip(" ,"))
    if credentials and (setup is None or not setup.text):
        made.notes.append(
            f"{name}: has project.secrets and no setup command, and tests see no secrets: nothing reads them"
        )
    if setup is not None and setup.text:
        _refuse_secrets(setup, "byoci.setup.command")
        made.add((*key, "setup", "command"), setup.text, setup, here=here)
        made.add((*key, "setup", "network"), True, here=here)
        if credentials:
            made.add((*key, "setup", "credentials"), True, secrets, here=here)
        made.notes.append(
            f"{name}: name in setup.inputs the files that the setup command reads; it sees no others"
            + (", and it has no sudo: packages come with the worker's image" if "sudo" in setup.text else "")
        )
    made.add((*key, "worker"), machine.name, here=here)


def _refuse_secrets(value: Value, option: str) -> None:
    if value.secret or has_password(value.text):
        place = value.origin.place if value.origin is not None else option
        raise MigrationError(
            [f"{place}: {option} holds a secret, and the definition is no place for one"], _FILE_INSTEAD
        )


def read_text(path: Path) -> str:
    """A file's text. Raises `MigrationError` where it cannot be read or is not UTF-8."""
    from byoci.errors import ConfigError

    try:
        return contents(path).decode()
    except (ConfigError, UnicodeDecodeError) as error:
        raise MigrationError(
            [f"{path}: {error.brief if isinstance(error, ConfigError) else 'is not UTF-8'}"]
        ) from error
