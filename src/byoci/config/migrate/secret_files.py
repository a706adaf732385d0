"""The secrets of an older site that are files: keys and tokens in the folder of the secrets, and where options say."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from byoci.config.migrate.older_site import CONTAINER
from byoci.config.migrate.wrong import MigrationError
from byoci.config.paths import user_home
from byoci.config.source import contents
from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.config.migrate.moving import Secrets
    from byoci.config.migrate.older_site import Machine, OlderSite
    from byoci.config.migrate.stack import Value

_NAME: Final = re.compile(r"[A-Za-z0-9_+@][A-Za-z0-9._@+-]{0,199}")
_LOOKED_AT: Final = 10_000
_SHOWN: Final = 10
_VCS: Final = frozenset((".bzr", ".git", ".bzrignore", ".gitignore"))


def find(site: OlderSite, found: Secrets, environ: Mapping[str, str]) -> None:
    """Find every secret file. Raises `MigrationError` for names that cannot be files."""
    finder = _Finder(site, found, user_home(environ))
    for namespace in site.namespaces:
        finder.folder(namespace)
        finder.named_files(namespace)
        finder.projects(namespace)


class _Finder:
    def __init__(self, site: OlderSite, found: Secrets, user: Path) -> None:
        self._site, self._found, self._user = site, found, user

    def folder(self, namespace: str) -> None:
        """The keys and tokens in the folder that `host.secrets` names, and what else is there."""
        named = self._site.namespaced(namespace, "host.secrets")
        if named is None or not named.text:
            return
        folder = self._site.folders.inside(self._path(named.text))
        if folder is None or not folder.is_dir():
            self._found.notes.append(
                f"{namespace}: the secrets in {named.text} were left: it is not one of the folders that were named."
                " Name it too, behind the others, and they move."
            )
            return
        known: dict[Path, str] = {}
        for option, below in (("master.ssh.key", "master/ssh/keys"), ("slave.ssh.key", "slaves/ssh/keys")):
            key = self._site.namespaced(namespace, option) or self._default(namespace, option)
            if key is not None and key.text:
                name = _checked(key, key.text)
                known |= {folder / below / name: f"ssh/{name}", folder / below / f"{name}.pub": f"ssh/{name}.pub"}
                self._landing_key(namespace, option, folder / below / name, name)
                self._told(key, namespace, f"ssh/{name}", folder / below / name)
        root = self._site.stack.value("launchpad.service_root", None)
        token = _checked(root, root.text) if root is not None else "production"
        known |= {
            folder / "launchpad" / token: f"launchpad/{token}",
            folder / "gitlab/credentials": "gitlab/credentials",
        }
        for source, name in known.items():
            self._file(namespace, source, name)
        self._told(named, namespace, "", folder)
        self._left(namespace, folder, {*known, *self._of_projects(namespace)})

    def _left(self, namespace: str, folder: Path, known: set[Path]) -> None:
        """Tell of what lies in the folder and is nothing that the older programs looked for there."""
        real = {os.path.realpath(path) for path in known}
        left = [
            str(path.relative_to(folder))
            for path in sorted(itertools.islice(folder.rglob("*"), _LOOKED_AT))
            if _VCS.isdisjoint(path.relative_to(folder).parts) and path.is_file() and os.path.realpath(path) not in real
        ]
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            self._found.notes.append(
                f"{namespace}: left in {folder}: {', '.join(left[:_SHOWN])}{more}; no option names them"
            )

    def named_files(self, namespace: str) -> None:
        """The files that options name by their paths."""
        for option, below in (("launchpad.credentials", "launchpad"), ("gitlab.api.credentials", "gitlab")):
            self._by_path(namespace, option, below)
        for option in ("ssh.key", "ssh.server_keys"):
            self._by_path(namespace, option, "ssh")

    def _by_path(self, namespace: str, option: str, below: str) -> None:
        machines = (None, *(one.name for one in self._site.machines if one.namespace in (None, namespace)))
        for machine in machines:
            if not self._site.stack.candidates(option, machine):
                continue
            value = self._site.stack.value(option, machine, {"byoci": namespace})
            for part in (value.text if value is not None else "").split(","):
                path, name = self._path(part.strip()), PurePosixPath(part.strip()).name
                if not name or value is None:
                    continue
                inside = self._site.folders.inside(path)
                if inside is None:
                    self._found.notes.append(f"{option}: {path} was left: it is in none of the folders that were named")
                    continue
                self._told(value, namespace, f"{below}/{_checked(value, name)}", path)
                for ending in ("", ".pub") if below == "ssh" else ("",):
                    self._file(namespace, path.with_name(name + ending), f"{below}/{name}{ending}")

    def projects(self, namespace: str) -> None:
        """The files that `project.secrets` gives to a container, for the setup of each of its projects."""
        for machine in self._containers(namespace):
            value = self._site.value(machine, namespace, "project.secrets")
            for name, source in self._pairs(namespace, value).items():
                for project in self._projects_of(machine):
                    self._told(value, namespace, f"setup/{project}", source)
                    self._file(namespace, source, f"setup/{project}/{name}", must=True)

    def _containers(self, namespace: str) -> Iterator[Machine]:
        return (one for one in self._site.machines if one.role == CONTAINER and one.namespace in (None, namespace))

    def _projects_of(self, machine: Machine) -> list[str]:
        return [one.name for one in self._site.trunks if one.container == machine.name] or [machine.name]

    def _of_projects(self, namespace: str) -> Iterator[Path]:
        for machine in self._containers(namespace):
            yield from self._pairs(namespace, self._site.value(machine, namespace, "project.secrets")).values()

    def _pairs(self, namespace: str, value: Value | None) -> Mapping[str, Path]:
        """New name → source of each `SOURCE:DESTINATION`; a source starts from the folder of the secrets."""
        root = self._site.namespaced(namespace, "host.secrets")
        guest = self._site.namespaced(namespace, "secrets")
        inside = f"{guest.text if guest is not None else '/byoci-secrets'}/"
        sources = []
        for pair in filter(None, (part.strip() for part in (value.text if value is not None else "").split(","))):
            source, colon, _ = pair.partition(":")
            if value is not None and not (colon and source.strip("/")):
                raise MigrationError([f"{_where(value)}: project.secrets must be a list of SOURCE:DESTINATION"])
            sources.append(source.removeprefix(inside))
        last = [source.rpartition("/")[2] for source in sources]
        found = {}
        for source, name in zip(sources, last, strict=True):
            path = self._path(root.text) / source if root is not None and root.text else self._path(source)
            plain = name if last.count(name) == 1 else source.strip("/").replace("/", "-")
            found[_checked(value, plain) if value is not None else plain] = path
        return found

    def _file(self, namespace: str, source: Path, name: str, *, must: bool = False) -> None:
        """A file that moves, if it is there; what an earlier migration moved is not."""
        real = self._site.folders.inside(source)
        if real is None:
            self._found.notes.append(f"{source} was left: it is in none of the folders that were named")
        elif real in self._site.folders.read:
            raise MigrationError([f"{source}: an option names it as a secret, and it is a part of the configuration"])
        elif real.is_file():
            try:
                content = contents(real)
            except ConfigError as error:
                raise MigrationError([f"{source}: {error.brief}"]) from error
            self._found.add(namespace, name, content, real, str(source))
        elif must and not (self._found.folder(namespace) / name).exists():
            self._found.notes.append(f"{source} is not there: put it into {self._found.folder(namespace) / name}")

    def _landing_key(self, namespace: str, option: str, source: Path, name: str) -> None:
        """Have git and bzr use the key that the older agent published with."""
        target = self._found.folder(namespace) / "ssh" / name
        if option != "slave.ssh.key" or not (source.is_file() or target.is_file()):
            return
        user = self._site.namespaced(namespace, "landing.user")
        lines = ["# Made by `byoci migrate`: git and bzr publish with the key of the older byoci's agents.", "Host *"]
        lines += [f'    IdentityFile "{str(target).replace("%", "%%")}"', "    IdentitiesOnly yes"]
        if user is not None and re.fullmatch(r"[\w.+-]+", user.text):
            lines += ["Host bazaar.launchpad.net git.launchpad.net", f"    User {user.text}"]
        content = "".join(f"{line}\n" for line in lines).encode()
        config = self._found.folder(namespace) / "ssh_config"
        if '"' in str(target) or (config.is_file() and config.read_bytes() != content):
            self._found.notes.append(f"{namespace}: {config} is yours: let it name the key {target}")
            return
        self._found.notes.append(f"{namespace}: git and bzr publish with the key {target}, as {config} says")
        self._found.add(namespace, "ssh_config", content, None, "")

    def _told(self, value: Value | None, namespace: str, name: str, source: Path) -> None:
        """Remember what an option's files became, where there are any or were."""
        place = self._found.folder(namespace) / name
        if value is not None and value.origin is not None and (source.exists() or place.exists()):
            self._found.moved.setdefault(value.origin, f"{namespace}/secrets/{name}".rstrip("/"))

    def _default(self, namespace: str, option: str) -> Value | None:
        return self._site.stack.value(f"{namespace}.{option}", None, {"byoci": namespace})

    def _path(self, text: str) -> Path:
        if text == "~" or text.startswith("~/"):
            return self._user / text[2:]
        return self._site.folders.named[0] / text


def _where(value: Value) -> str:
    return value.origin.place if value.origin is not None else "the older programs' default"


def _checked(value: Value, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise MigrationError([f"{_where(value)}: {name[:100]!r} is no name of a key or a token"])
    return name
