"""An older site as it was read: its options, namespaces, machines and trunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from byoci.config.migrate import files, jobs
from byoci.config.migrate.stack import Stack, Value
from byoci.config.migrate.syntax import parse
from byoci.config.migrate.wrong import MigrationError
from byoci.config.older import canonical
from byoci.config.paths import NAMESPACES
from byoci.config.values import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from byoci.config.migrate.files import Folders, OlderFile
    from byoci.config.migrate.jobs import Trunk
    from byoci.config.migrate.syntax import Definition, Parsed

CONTROLLER, MONITOR, AGENT, CONTAINER = "controller", "monitor", "agent", "container"
MAX_OPTIONS: Final = 10_000
MAX_SECTIONS: Final = 1_000
_ROLES: Final = ((CONTROLLER, "master"), (MONITOR, "monitor"), (AGENT, "slaves"))


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine or container of the older site.

    role       controller, monitor, agent or container
    namespace  the only one that it is in; None: all of them
    """

    name: str
    role: str
    namespace: str | None

    @property
    def key(self) -> str:
        """What it is called in the new configuration."""
        return self.role if self.role in (CONTROLLER, MONITOR) else self.name


class OlderSite:
    """The older files of some folders, and what they come to."""

    def __init__(self, folders: Folders, trunks: Sequence[Trunk], namespace: str) -> None:
        """Read everything.

        trunks     those that the person named
        namespace  where the files name none

        Raises `MigrationError` for what cannot be read.
        """
        self.folders = folders
        self.files = files.read_all(folders)
        parsed = _parse_all(self.files)
        self.definitions, self.notes, self.monitor = (
            tuple(one for file, found in parsed if file.kind == kind for one in found.definitions)
            for kind in (files.OPTIONS, files.NOTES, files.MONITOR)
        )
        sections = {name for file, found in parsed if file.kind == files.OPTIONS for name in found.sections}
        self._sections = sorted(sections)
        self._noted = [name for file, found in parsed if file.kind == files.NOTES for name in found.sections]
        self._asked: dict[tuple[str, str], Value | None] = {}
        self.stack = Stack(self.definitions, self.notes)
        self.monitor_stack = Stack([one for one in self.monitor if one.section is None])
        self.namespaces = self._namespaces() or (namespace,)
        from_jobs, self.unread = jobs.trunks(file for file in self.files if file.kind == files.JOBS)
        self.trunks = _named(_chosen(from_jobs, trunks))

    def _namespaces(self) -> tuple[str, ...]:
        """The namespaces that some option is for. Raises `MigrationError` for one that this byoci has not."""
        found = {canonical(one.name)[0] for one in self.definitions}
        for one in (*self.definitions, *self.monitor):
            if one.name == "byoci" and one.value and "{" not in one.value:
                if one.value not in NAMESPACES:
                    wrong = f"{one.place}: there is no namespace {one.value}; there are {', '.join(NAMESPACES)}"
                    raise MigrationError([wrong])
                found.add(one.value)
        return tuple(name for name in NAMESPACES if name in found)

    @property
    def monitor_namespace(self) -> str:
        """The namespace that the monitor's own options are of."""
        named = [one.value for one in self.monitor if one.name == "byoci" and one.value in self.namespaces]
        return named[0] if named else self.namespaces[0]

    def namespaced(self, namespace: str, option: str) -> Value | None:
        """What an option of the table's `NAMESPACED` comes to in a namespace; None where it is set nowhere.

        What stands before the first section counts, else what stands in some section: the older programs asked on the
        machine that the section is of.
        """
        if (namespace, option) not in self._asked:
            self._asked[namespace, option] = self._namespaced(namespace, option)
        return self._asked[namespace, option]

    def _namespaced(self, namespace: str, option: str) -> Value | None:
        names = (f"{namespace}.{option}", f"byoci.{option}", *((option,) if "." in option else ()))
        for name in names:
            for machine in (None, *self._sections):
                if self.stack.candidates(name, machine):
                    value = self.stack.value(name, machine, {"byoci": namespace})
                    self._lose([one for one in self.definitions if one.name in names], value)
                    return value
        return None

    def _lose(self, definitions: Iterable[Definition], value: Value | None) -> None:
        """Remember which definition counted instead of these."""
        if value is not None and value.origin is not None:
            for one in definitions:
                if one not in value.used:
                    self.stack.lost.setdefault(one, value.origin)

    def value(self, machine: Machine, namespace: str, option: str) -> Value | None:
        """What an option comes to on a machine; None where no file sets it, whatever its default is."""
        if not self.stack.candidates(option, machine.name):
            return None
        return self.stack.value(option, machine.name, {"byoci": namespace})

    @cached_property
    def machines(self) -> tuple[Machine, ...]:
        """The machines of the site and its containers, by their names."""
        found = {
            (name, namespace): Machine(name, role, namespace)
            for namespace in self.namespaces
            for role, option in _ROLES
            for name in self._role(namespace, option)
        }
        taken = {name for name, _ in found}
        wanted = {one.container for one in self.trunks}
        containers = [
            Machine(name, CONTAINER, self._only_namespace(name))
            for name in self._names(taken)
            if name not in taken and (name in wanted or self.stack.candidates("vm.class", name))
        ]
        machines = sorted((*found.values(), *containers), key=lambda one: (one.name, one.namespace or ""))
        for one in machines:
            self._check_name(one.name)
        return tuple(machines)

    def _check_name(self, name: str) -> None:
        try:
            check_name(name)
        except ValueError as error:
            place = next((one.place for one in self.definitions if one.section == name), "a machine's name")
            raise MigrationError([f"{place}: {name[:100]} {error}"]) from error

    def _role(self, namespace: str, option: str) -> Iterator[str]:
        value = self.namespaced(namespace, option)
        return (name for part in (value.text if value else "").split(",") if (name := part.strip()))

    def _names(self, roles: Iterable[str]) -> Iterator[str]:
        """Every name that is a machine's or a container's.

        A section is one, unless it is a part of other names only: `brz-` before `brz-trunk` is for what they share.
        """
        backing = (one.value for one in self.definitions if one.name == "vm.backing" and "{" not in one.value)
        named = {*roles, *backing, *self._noted, *(one.container for one in self.trunks)} - {""}
        yield from sorted(named)
        every = sorted(named.union(self._sections))
        for section, following in zip(every, [*every, ""][1:], strict=True):
            if section not in named and section[-1].isalnum() and not following.startswith(section):
                yield section

    def _only_namespace(self, name: str) -> str | None:
        own = [one for one in self.stack.candidates("byoci", name) if one.section is not None]
        return own[0].value if own and own[0].value in NAMESPACES else None


def _parse_all(found: Iterable[OlderFile]) -> list[tuple[OlderFile, Parsed]]:
    """All files of options; everything that is wrong in any of them is told at once."""
    parsed, wrong = [], []
    for rank, file in enumerate(found):
        if file.kind in (files.OPTIONS, files.NOTES, files.MONITOR):
            try:
                parsed.append((file, parse(file.text, file.path, rank)))
            except MigrationError as problem:
                wrong.append(problem.details)
    if wrong:
        raise MigrationError(wrong)
    for what, count, limit in (
        ("options", sum(len(one.definitions) for _, one in parsed), MAX_OPTIONS),
        ("sections", sum(len(one.sections) for _, one in parsed), MAX_SECTIONS),
    ):
        if count > limit:
            raise MigrationError([f"there are more than {limit} {what}"])
    return parsed


def _chosen(from_jobs: Iterable[Trunk], given: Sequence[Trunk]) -> Iterator[Trunk]:
    """The trunks of the jobs, those that the person named instead, and her others."""
    left = {one.name: one for one in given}
    for job in from_jobs:
        named = next((one for one in given if one.name in (job.name, job.container)), None)
        if named is None:
            yield job
        elif left.pop(named.name, None):
            yield replace(named, name=job.name, container=job.container)
    yield from left.values()


def _named(trunks: Iterable[Trunk]) -> list[Trunk]:
    """The trunks with names that differ: where two have the same, the later ones are numbered."""
    taken: dict[str, int] = {}
    named = []
    for one in trunks:
        taken[one.name] = number = taken.get(one.name, 0) + 1
        named.append(one if number == 1 else replace(one, name=f"{one.name}-{number}"))
    return named
