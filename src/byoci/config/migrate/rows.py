"""What became of every older option, in the order of the files: nothing is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from byoci.config.migrate.files import PROGRAM
from byoci.config.migrate.hidden import without_passwords
from byoci.config.migrate.syntax import references
from byoci.config.migrate.wishes import KINDS, used_by
from byoci.config.migrate.wrong import MigrationError
from byoci.config.older import canonical, is_secret, lookup, nearest, successor
from byoci.config.older_options import NO_SUCH_MACHINES
from byoci.config.problems import dotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.config.migrate.older_site import OlderSite
    from byoci.config.migrate.syntax import Definition
    from byoci.config.migrate.wishes import Wish, Wishes
    from byoci.config.older_options import Group

FATES: Final = {
    "mapped": "has its place in byoci.toml",
    "later": "waits in byoci.toml as a comment",
    "moved": "is a secret, and in the secrets folder",
    "refused": "has no successor",
    "used": "is a part of other options' values",
    "overridden": "never counted: another definition of it did",
    "unknown": "was nothing to the older programs either",
}
_SHOWN: Final = 4
_SUGGESTED: Final = 200


class Row(NamedTuple):
    """An older option and what became of it.

    section  of the file; "" before the first
    place    FILE:LINE
    fate     one of FATES
    now      the keys of byoci.toml, or the file below the namespace's state folder; "" where there is none
    why      the reason, and what to do
    """

    option: str
    section: str
    place: str
    fate: str
    now: str
    why: str


@dataclass(slots=True)
class Report:
    """Rows for people and programs, and the options that the file keeps as comments."""

    site: OlderSite
    made: Mapping[str, Wishes]
    moved: Mapping[Definition, str]
    used: Mapping[Definition, list[tuple[str, Wish]]] = field(init=False)
    referenced: Mapping[str, str] = field(init=False)
    _unknown: int = 0

    def __post_init__(self) -> None:
        self.used = used_by(self.made)
        everything = (*self.site.definitions, *self.site.notes, *self.site.monitor)
        self.referenced = {name: one.name for one in reversed(everything) for name in references(one.value)}

    def rows(self) -> list[Row]:
        """A row for every option of every file, and for every program that was not read."""
        site = self.site
        found = [self._row(one) for one in site.definitions]
        found += [self._monitor_row(one) for one in site.monitor]
        found += [self._note_row(one) for one in site.notes]
        for file in site.files:
            if file.kind == PROGRAM:
                why = "It is a program and was not run: options that only it knows are unknown here."
                found.append(Row(file.path.name, "", str(file.path), "refused", "", why))
        return found

    def kept(self) -> list[tuple[str, str]]:
        """The options that wait for a version which has a place for them, with their values, as comments tell them."""
        found: dict[str, str] = {}
        stacks = ((self.site.stack, self.site.definitions), (self.site.monitor_stack, self.site.monitor))
        for stack, definitions in stacks:
            for one in definitions:
                group = lookup(one.name)
                if group is not None and group.fate == "later" and self._fate(one, group)[0] == "later":
                    if one in self.used or not one.value:
                        continue
                    name = f"[{one.section}] {one.name}" if one.section else one.name
                    namespace = canonical(one.name)[0]
                    try:
                        value = stack.value(one.name, one.section, {"byoci": namespace} if namespace else {})
                    except MigrationError:
                        value = None
                    if value is None or not value.secret:
                        found.setdefault(name, without_passwords(value.text if value is not None else one.value))
        return sorted(found.items())

    def _row(self, one: Definition) -> Row:
        group = lookup(one.name)
        if one.moved:
            return _of(one, "moved", one.moved, "An earlier migration moved it.")
        if one in self.moved:
            return _of(one, "moved", self.moved[one], group.why if group is not None else _BY_NAME)
        if group is None:
            return self._unknown_row(one)
        fate, now, why = self._fate(one, group)
        return _of(one, fate, now, why)

    def _fate(self, one: Definition, group: Group) -> tuple[str, str, str]:
        """What became of an option that the older programs knew: fate, keys, why."""
        wishes = self.used.get(one, [])
        direct = [pair for pair in wishes if group.fate in ("mapped", "later", "file") and one in pair[1].origins]
        if direct:
            here = any(wish.here for _, wish in direct)
            return "mapped" if here else "later", self._keys(direct), group.why
        winner = self.site.stack.lost.get(one) or self.site.monitor_stack.lost.get(one)
        if winner is not None and not wishes:
            return "overridden", "", f"{winner.place} counts."
        if wishes and group.fate != "file" and not group.now.startswith("--"):
            return "used", self._keys(wishes), group.why
        return _without_wish(one, group)

    def _unknown_row(self, one: Definition) -> Row:
        if wishes := self.used.get(one):
            return _of(one, "used", self._keys(wishes), "")
        if one.name in self.referenced:
            return _of(one, "used", "", f"A part of {self.referenced[one.name]}.")
        self._unknown += 1
        close = nearest(one.name) if self._unknown <= _SUGGESTED else None
        meant = f" Did it mean {close}?" if close is not None else ""
        return _of(one, "unknown", "", f"No older option of that name, and no value here uses it.{meant}")

    def _monitor_row(self, one: Definition) -> Row:
        if one.section is not None:
            return _of(one, "refused", "", "The older monitor read only what stands before the first section.")
        return self._row(one)

    def _note_row(self, one: Definition) -> Row:
        if one.moved or one in self.moved or is_secret(one.name):
            return self._row(one)
        group = lookup("vm.setup.digest")
        return _of(one, "refused", "", group.why if group is not None else "")

    def _keys(self, wishes: list[tuple[str, Wish]]) -> str:
        """The keys, those of all namespaces without a namespace, each once."""
        names: dict[str, set[str]] = {}
        for namespace, wish in wishes:
            names.setdefault(dotted(wish.key), set()).add(namespace)
        told = [
            key if len(spaces) == len(self.made) else f"{key} ({', '.join(sorted(spaces))})"
            for key, spaces in names.items()
        ]
        more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        return ", ".join(told[:_SHOWN] + more)


def _without_wish(one: Definition, group: Group) -> tuple[str, str, str]:
    """What becomes of an option that goes into no key: fate, what it is now, why."""
    if group.fate in ("mapped", "later") and not one.value:
        return "refused", "", "It is empty."
    if group.fate == "file":
        return "refused", "", "The file that it names is not there, or not in a folder that was named."
    if one.name == "vm.class" and one.value not in KINDS and "{" not in one.value:
        return "refused", "", NO_SUCH_MACHINES
    if one.name == "launchpad.login":
        return "overridden", "", "landing.user counts."
    if group.fate == "mapped" and not group.now.startswith("--"):
        return "refused", "", "Only containers that test make use of it, and none of that name does."
    return group.fate, successor(group) if group.fate == "later" else group.now, group.why


_BY_NAME: Final = "Its name says that it is a secret."


def _of(one: Definition, fate: str, now: str, why: str) -> Row:
    return Row(one.name, one.section or "", one.place, fate, now, why)
