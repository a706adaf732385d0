"""What an older site comes to in the words of byoci.toml, for each namespace; also what this version cannot take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.config.migrate import projects
from byoci.config.migrate.hidden import without_login, without_passwords
from byoci.config.migrate.older_site import AGENT, CONTAINER
from byoci.config.migrate.wrong import MigrationError
from byoci.config.schema import BACKENDS, FORGES
from byoci.config.schema_controller import JENKINS
from byoci.config.walk import known_keys, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.config.migrate.files import Folders
    from byoci.config.migrate.older_site import Machine, OlderSite
    from byoci.config.migrate.stack import Value
    from byoci.config.migrate.syntax import Definition

Key = tuple[str, ...]
BOT: Final = {"fullname": "Landing Bot", "email": "landing-bot@localhost"}
KINDS: Final = {"lxd": "lxd", "ephemeral-lxd": "lxd", "docker": "podman", "ssh": "ssh"}
_MEGABYTES: Final = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Wish:
    """A key of byoci.toml with its value; a table of byoci.toml that may be empty has the value ().

    used     the older definitions that went into it
    origins  those of them that are the option it was made from; the others came in through references
    here     whether this version has the key and the value; others are written as comments
    """

    key: Key
    value: str | bool | tuple[str, ...]
    used: frozenset[Definition] = frozenset()
    origins: frozenset[Definition] = frozenset()
    here: bool = True


class Wishes:
    """The wishes of a namespace, each key once."""

    def __init__(self) -> None:
        self.all: dict[Key, Wish] = {}
        self.notes: list[str] = []
        self._known = {key.path for key in known_keys()}

    def add(self, key: Key, value: str | bool | tuple[str, ...], *values: Value | None, here: bool = True) -> None:
        """Wish for a key; `values` are what it was made from, `here` is false where it waits for something else."""
        used: frozenset[Definition] = frozenset().union(*(one.used for one in values if one is not None))
        for one in values:
            if one is not None and one.secret and "://" not in one.text:
                raise MigrationError([f"{_place(one)}: a secret would come into the definition, as {'.'.join(key)}"])
        origins = frozenset(one.origin for one in values if one is not None and one.origin is not None)
        self.all[key] = Wish(key, value, used, origins, here and self.takes(key, value))

    def takes(self, key: Key, value: object) -> bool:
        """Whether this version's schema has the key, and the value where it has few."""
        if key[-1] == "forge":
            return value in FORGES
        if key[-1] == "backend":
            return key[0] == "worker" and value in BACKENDS
        return key[0] == "worker" if value == () else pattern_of(key) in self._known


def wishes(site: OlderSite, namespace: str) -> Wishes:
    """All wishes of a namespace. Raises `MigrationError` for values that mean nothing, and for secrets in commands."""
    made = Wishes()
    _site(site, namespace, made)
    _controller(site, namespace, made)
    machines = [one for one in site.machines if one.namespace in (None, namespace)]
    for machine in machines:
        if machine.role == CONTAINER:
            _worker(site, machine, namespace, made)
        else:
            _machine(site, machine, namespace, made)
    projects.add(site, namespace, [one for one in machines if one.role == CONTAINER], made)
    return made


def _site(site: OlderSite, namespace: str, made: Wishes) -> None:
    for name, stand_in in BOT.items():
        value = site.namespaced(namespace, f"landing.{name}")
        given = value is not None and bool(value.text)
        made.add(("site", "landing", name), value.text if value and given else stand_in, value)
        if not given:
            made.notes.append(
                f'{namespace}: no landing.{name} is set; "{stand_in}" stands in for what `bzr whoami` told the older'
                " programs. Change it before the first landing, not after: by it byoci knows its own commits."
            )
    user = site.namespaced(namespace, "landing.user") or _set(site, namespace, "launchpad.login")
    if user is not None and user.text:
        made.add(("site", "landing", "user"), user.text, user)


def _set(site: OlderSite, namespace: str, option: str) -> Value | None:
    """An option that stands before the first section, or in an agent's."""
    for machine in (None, *(one.name for one in site.machines if one.role == AGENT)):
        if site.stack.candidates(option, machine):
            return site.stack.value(option, machine, {"byoci": namespace})
    return None


def _controller(site: OlderSite, namespace: str, made: Wishes) -> None:
    candidates = [site.namespaced(namespace, option) for option in ("master.api", "master.url")]
    if namespace == site.monitor_namespace:
        monitor = site.monitor_stack
        candidates += [
            monitor.value(name, None, {"byoci": namespace})
            for name in ("byoci.api", "byoci.url")
            if monitor.candidates(name, None)
        ]
    urls = [one for one in candidates if one is not None and one.text]
    if urls:
        # It waits for its owner: a token goes to no address that is http, and the account there needs one.
        made.add(("controller", "engine"), JENKINS, here=False)
        same = [one for one in urls if one.text == urls[0].text]
        made.add(("controller", "url"), _url(urls[0]), *same, here=False)


def _machine(site: OlderSite, machine: Machine, namespace: str, made: Wishes) -> None:
    """A machine of the site, and how the definition and the secrets come to it."""
    key = ("machine", machine.key)
    backend = site.value(machine, namespace, "vm.class")
    role = site.namespaced(namespace, {AGENT: "slaves", "controller": "master"}.get(machine.role, machine.role))
    if backend is not None and backend.text in KINDS:
        made.add((*key, "backend"), KINDS[backend.text], backend, role)
    for what in ("definition", "secrets"):
        branch, folder = (site.namespaced(namespace, f"{option}") for option in (f"{what}.branch", f"host.{what}"))
        if branch is not None and branch.text:
            made.add((*key, what, "kind"), "pulled", branch)
            made.add((*key, what, "branch"), _url(branch), branch)
        elif what == "definition" and folder is not None and folder.text:
            made.add((*key, what, "kind"), "mounted", branch, folder)
            made.add((*key, "host", what, "dir"), folder.text, folder)
    _image(site, machine, namespace, made)


def _worker(site: OlderSite, machine: Machine, namespace: str, made: Wishes) -> None:
    key = ("worker", machine.name)
    made.add(key, ())
    backend = site.value(machine, namespace, "vm.class")
    if backend is not None and KINDS.get(backend.text) in ("lxd", "podman"):
        made.add((*key, "backend"), KINDS[backend.text], backend)
    memory = site.value(machine, namespace, "vm.ram_size")
    if memory is not None and memory.text:
        if not _MEGABYTES.fullmatch(memory.text):
            raise MigrationError([f"{_place(memory)}: vm.ram_size must be a number of megabytes"])
        made.add((*key, "memory"), f"{memory.text}M", memory)
    disk = site.value(machine, namespace, "vm.disk_size")
    if disk is not None and disk.text:
        made.add((*key, "disk"), disk.text, disk)
    backing = site.value(machine, namespace, "vm.backing")
    image = backing.text if backing is not None and backing.text else machine.name
    if _image(site, machine, namespace, made) or backing is not None:
        with_image = made.takes(("image", image, "base"), "")
        made.add((*key, "image"), image, backing, here=with_image)


def _image(site: OlderSite, machine: Machine, namespace: str, made: Wishes) -> bool:
    """The image that the machine was made from, where its section says something of one."""
    key = ("image", machine.key)
    release = site.value(machine, namespace, "vm.release")
    if release is not None and release.text:
        distribution = site.stack.value("vm.distribution", machine.name, {"byoci": namespace})
        name = distribution.text if distribution is not None else ""
        made.add((*key, "base"), f"{name}:{release.text}", distribution, release)
    packages = site.value(machine, namespace, "vm.packages")
    if packages is not None and (names := package_names(site.folders, packages)):
        made.add((*key, "packages"), names, packages)
    return (*key, "base") in made.all or (*key, "packages") in made.all


def package_names(folders: Folders, packages: Value) -> tuple[str, ...]:
    """The packages of a list with commas; `@FILE` stands for the lines of a file in the named folders."""
    names: list[str] = []
    for part in packages.text.split(","):
        word = part.strip()
        names += _lines_of(folders, packages, word[1:]) if word.startswith("@") else [word]
    return tuple(name for name in dict.fromkeys(names) if name)


def _lines_of(folders: Folders, packages: Value, name: str) -> Iterable[str]:
    try:
        path = folders.find(name)
        text = projects.read_text(path) if path is not None else None
    except MigrationError as problem:
        raise MigrationError([f"{_place(packages)}: {line}" for line in problem.details.splitlines()]) from problem
    if text is None:
        raise MigrationError([f"{_place(packages)}: there is no file {name} in the folders that were named"])
    return (line.partition("#")[0].strip() for line in text.splitlines())


def _url(value: Value) -> str:
    """A URL without its secrets: also without those that stood elsewhere, and may have been moved already."""
    return without_login(value.text) if value.secret else without_passwords(value.text)


def _place(value: Value) -> str:
    return value.origin.place if value.origin is not None else "the older programs' default"


def used_by(made: Mapping[str, Wishes]) -> dict[Definition, list[tuple[str, Wish]]]:
    """The wishes that each definition went into, with their namespaces."""
    found: dict[Definition, list[tuple[str, Wish]]] = {}
    for namespace, one in made.items():
        for wish in one.all.values():
            for definition in wish.used:
                found.setdefault(definition, []).append((namespace, wish))
    return found
