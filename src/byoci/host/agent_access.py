"""`byoci host update-agent-access`: the controller's key at its agents, and their host keys at the controller.

An agent lets in the key that the controller uses and the one that it is to use. The controller changes over when the
new one was seen to work at every agent; only then the old one is taken out everywhere. So it is never locked out, and
what a killed run left the next one finds and finishes: the files of both sides say all that there is to know.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import TYPE_CHECKING, Final

from byoci import keys
from byoci.controller import background, known_hosts
from byoci.controller.client import TOKEN_FILE
from byoci.controller.places import HOST_KEY, HOSTS_FILE, KEY_FILE, LOOPBACK, SSHD
from byoci.durable import locked, replace
from byoci.errors import ByociError, UnavailableError, UsageError, of_system
from byoci.host import agent_link, secrets
from byoci.host.agent_places import Journal, Place, wanted
from byoci.host.secrets import Finding
from byoci.host.site_agent import owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from byoci.config.schema_controller import Agent

_AT_ONCE: Final = 8  # agents that are worked on at a time


@dataclass(frozen=True, slots=True)
class Row:
    """What became of an agent.

    state  current (nothing to do), updated, revoked (it is no agent any more), or failed
    """

    agent: str
    place: str
    state: str
    error: ByociError | None = None


def check(folder: Path, home: Path, namespace: str, agents: Mapping[str, Agent]) -> list[Finding]:
    """What of the secrets has not reached the controller and its agents yet, and what lies open there."""
    todo, found = "Type: byoci host update-agent-access", []
    new, in_use = folder / secrets.CONTROLLER_KEY, home / KEY_FILE
    if new.exists() and in_use.exists() and keys.public_half(new) != keys.public_half(in_use):
        found.append(Finding(secrets.CONTROLLER_KEY, "pending", "The controller still uses another key.", todo))
    places = wanted(agents, home, namespace)
    for name, place in places.items():
        lines = {known_hosts.line(place.host, place.port, key) for key in place.host_keys}
        if set(known_hosts.pins(home / HOSTS_FILE, name)) != lines:
            details = "The controller does not pin its host keys, or others."
            found.append(Finding(f"agents/{name}", "pending", details, todo))
    found += [
        Finding(f"agents/{name}", "pending", "It is no agent any more, and may let the controller in.", todo)
        for name in sorted(Journal(folder).agents() - set(places))
    ]
    for path in (home, in_use, home / HOSTS_FILE, home / TOKEN_FILE, home / SSHD, home / SSHD / HOST_KEY):
        if path.exists() and path.stat().st_mode & 0o077:
            found.append(Finding(str(path), "permissions", "Others can reach it.", "Type: chmod go= and its name"))
    return found


class AgentAccess:
    """See the module. `folder` are the namespace's secrets, `home` is the controller's state folder."""

    def __init__(self, folder: Path, home: Path, namespace: str, agents: Mapping[str, Agent]) -> None:
        self._folder = folder
        self._home = home
        self._namespace = namespace
        self._administration = folder / secrets.ADMINISTRATION_KEY
        self._older = secrets.older(self._administration)  # while a new one has yet to take its place
        self._key = folder / secrets.CONTROLLER_KEY
        self._journal = Journal(folder)
        self._wanted = wanted(agents, home, namespace)

    def update(self, names: Sequence[str] = ()) -> list[Row]:
        """Bring these agents up to date, or all. Of several runs at once each waits for the one before it.

        A change of the controller's key is finished only by a run for all. Raises `UsageError` for an agent that is
        neither in the definition nor was one.
        """
        known = {*self._wanted, *self._journal.agents()}
        for name in names:
            if name not in known:
                raise UsageError(f"there is no agent {name[:100]!a}", details=f"known: {', '.join(sorted(known))}")
        chosen = [name for name in self._wanted if not names or name in names]
        gone = sorted(name for name in self._journal.agents() - set(self._wanted) if not names or name in names)
        with locked(self._folder / "agents"):
            rows = self._each(self._let_in, chosen)
            good = [row.agent for row in rows.values() if row.error is None]
            if self._in_use() != self._new() and len(good) == len(self._wanted):
                replace(self._home / KEY_FILE, self._key.read_bytes())
            if self._in_use() == self._new():
                rows |= self._each(self._finish, good, rows)
            rows |= self._each(self._revoke, gone)
            if not self._journal.agents() - set(self._wanted) and all(row.error is None for row in rows.values()):
                self._forget_older([row.agent for row in rows.values()])
        return list(rows.values())

    def _forget_older(self, done: Sequence[str]) -> None:
        """The older administration key is good nowhere any more, where all agents have seen this."""
        if set(done) >= set(self._wanted):
            for left in (self._older, keys.public_file(self._older)):
                left.unlink(missing_ok=True)

    @property
    def unfinished(self) -> bool:
        """Whether the controller, or an administrator, still has another key than the one that is to be used."""
        return self._in_use() != self._new() or self._older.exists()

    def _new(self) -> str:
        return keys.public_half(self._key)

    def _in_use(self) -> str:
        return keys.public_half(self._home / KEY_FILE)

    def _each(
        self, work: Callable[[str], bool], names: Iterable[str], before: Mapping[str, Row] | None = None
    ) -> dict[str, Row]:
        """Do it for these agents, several at a time; a row for each, whose state tells what changed before, too."""

        def one(name: str) -> Row:
            place = next(iter(self._places(name))).shown
            earlier = before[name].state if before else "current"
            try:
                changed = work(name)
            except ByociError as error:
                return Row(name, place, "failed", error)
            except OSError as error:
                return Row(name, place, "failed", of_system(error))
            state = "updated" if name in self._wanted else "revoked"
            return Row(name, place, state if changed else earlier)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return {row.agent: row for row in pool.map(one, list(names))}

    def _places(self, name: str) -> list[Place]:
        return [self._wanted[name]] if name in self._wanted else self._journal.places(name)

    def _let_in(self, name: str) -> bool:
        """Both keys at the agent, its host keys at the controller, and the new key seen to work."""
        place = self._wanted[name]
        self._journal.add(name, place)
        changed = self._authorize(name, place, sorted({self._in_use(), self._new()}))
        changed |= self._renew_administration(place)
        hosts = self._home / HOSTS_FILE
        if name == LOOPBACK:  # whose host key is pinned by whoever runs its sshd
            if background.find(self._home):
                agent_link.prove(place, self._key)
            return changed
        lines = [known_hosts.line(place.host, place.port, key) for key in place.host_keys]
        before = known_hosts.pins(hosts, name)
        known_hosts.pin(hosts, name, [*before, *(line for line in lines if line not in before)])
        agent_link.prove(place, self._key)
        known_hosts.pin(hosts, name, lines)
        return changed or before != lines

    def _finish(self, name: str) -> bool:
        """No other key of ours at the agent, and none where it was before."""
        place = self._wanted[name]
        changed = self._authorize(name, place, [self._new()])
        for earlier in self._journal.places(name):
            if not earlier.same(place):
                self._take_out(name, earlier)
                changed = True
        return changed

    def _revoke(self, name: str) -> bool:
        """No key of ours at an agent that is none any more, and none of its host keys at the controller."""
        known_hosts.pin(self._home / HOSTS_FILE, name, [])
        for place in self._journal.places(name):
            self._take_out(name, place)
        self._journal.forget(name)
        return True

    def _take_out(self, name: str, place: Place) -> None:
        try:
            self._authorize(name, place, [])
        except ByociError as error:
            raise type(error)(
                f"the controller's key may still be good at {place.shown}: {error.brief}",
                details=error.details,
                resolution=f"{error.resolution}\nIf that machine is no more, remove {self._folder / 'agents' / name} "
                "and run this again.".lstrip(),
            ) from error
        self._journal.remove(name, place)

    def _administrator(self, place: Place) -> Path:
        """The administration key that is good there: the new one, or where it is not there yet the older one."""
        if place.administrator and self._older.exists():
            administrator = replace_fields(place, user=place.administrator)
            try:
                agent_link.prove(administrator, self._administration)
            except UnavailableError:
                return self._older
        return self._administration

    def _renew_administration(self, place: Place) -> bool:
        """The new administration key at who sets the agent up, seen to work; then the older one is taken out."""
        if not place.administrator or not self._older.exists():
            return False
        new, old = keys.public_half(self._administration), keys.public_half(self._older)
        if new == old:
            return False
        administrator = replace_fields(place, user=place.administrator)
        request = {
            "user": place.administrator,
            "group": place.group,
            "file": (place.file or None) if place.administrator == place.user else None,
            "owner": f"{owner(self._folder, self._namespace)}:administration",
            "keys": [new],
            "own": "",
        }
        added = agent_link.ask(administrator, self._administrator(place), request)
        agent_link.prove(administrator, self._administration)
        taken = agent_link.ask(administrator, self._administration, {**request, "revoked": [old]})
        return bool(added["changed"] or taken["changed"])

    def _authorize(self, name: str, place: Place, public: list[str]) -> bool:
        answer = agent_link.ask(
            place,
            self._administrator(place),
            {
                "user": place.user,
                "group": place.group,
                "file": place.file or None,
                "owner": owner(self._folder, self._namespace),
                "keys": public,
                "own": place.own if public else "",
            },
        )
        self._journal.keep_own_key(name, str(answer["own"]))
        return bool(answer["changed"])
