"""Where the controller's key is to be at each agent, and where it was put before: a journal in the secrets folder."""

from __future__ import annotations

import dataclasses
import getpass
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from byoci.config.network import is_loopback
from byoci.controller.places import AUTHORIZED, HOST_KEY, LOOPBACK, SSHD
from byoci.durable import replace
from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from byoci.config.schema_controller import Agent

_OWN_KEY: Final = "workers_ed25519"
_JOURNAL: Final = "placed.json"
WORKERS_KEY: Final = "workers.pub"
_SYSTEM_KEYS: Final = Path("/etc/ssh")


@dataclass(frozen=True, slots=True)
class Place:
    """A user's authorized_keys on some machine, and how one gets there.

    administrator  whom to sign in as; "": this machine, directly
    host_keys      by which the machine is known
    file           a path in the place of the user's own authorized_keys; "": those
    own            where the agent keeps its own key, for hosts of its workers; "": it has none
    """

    host: str
    port: int
    user: str
    administrator: str = ""
    group: str = ""
    host_keys: tuple[str, ...] = ()
    file: str = ""
    own: str = ""

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.user}@{self.host}:{self.port}"

    def same(self, other: Place) -> bool:
        """Whether it is the same file, however one gets there."""
        if self.file:
            return self.file == other.file
        return (self.host, self.port, self.user, self.file) == (other.host, other.port, other.user, other.file)


def wanted(agents: Mapping[str, Agent], home: Path, namespace: str) -> dict[str, Place]:
    """The places of all agents of the definition, and of the one that `byoci up` makes, where it did."""
    found = {name: _place(agent, namespace) for name, agent in agents.items()}
    sshd = home / SSHD
    if (sshd / "port").exists() and (sshd / f"{HOST_KEY}.pub").exists():
        key = " ".join((sshd / f"{HOST_KEY}.pub").read_text(encoding="utf-8").split()[:2])
        port = int((sshd / "port").read_text(encoding="ascii"))
        found[LOOPBACK] = Place("127.0.0.1", port, getpass.getuser(), host_keys=(key,), file=str(sshd / AUTHORIZED))
    return found


def _place(agent: Agent, namespace: str) -> Place:
    here = is_loopback(agent.host)
    administrator = agent.administrator or ("" if here else agent.user)
    keys = agent.host_keys or _system_keys(agent.name)
    return Place(
        agent.host,
        agent.port,
        agent.user,
        administrator,
        agent.group,
        tuple(sorted(keys)),
        agent.authorized_keys or "",
        f"{agent.folder}/{namespace}/{_OWN_KEY}",
    )


def _system_keys(name: str) -> tuple[str, ...]:
    """The host keys of this machine, from the files of its sshd."""
    found = [path.read_text(encoding="utf-8") for path in sorted(_SYSTEM_KEYS.glob("ssh_host_*_key.pub"))]
    if not found:
        raise ConfigError(
            f"the host keys of agent {name} are not known",
            details=f"This machine has none in {_SYSTEM_KEYS}.",
            resolution=f"Set agent.{name}.host_keys to the public keys of its sshd.",
        )
    return tuple(" ".join(text.split()[:2]) for text in found)


class Journal:
    """Where the controller's key was put, for each agent: told before it is put there, forgotten when it is gone."""

    def __init__(self, secrets: Path) -> None:
        self._folder = secrets / "agents"

    def agents(self) -> set[str]:
        """Whose places are known."""
        return {path.parent.name for path in self._folder.glob(f"*/{_JOURNAL}")}

    def places(self, agent: str) -> list[Place]:
        """All of one agent."""
        try:
            told: list[dict[str, Any]] = json.loads((self._folder / agent / _JOURNAL).read_bytes())
        except FileNotFoundError:
            return []
        return [Place(**{**row, "host_keys": tuple(row["host_keys"])}) for row in told]

    def add(self, agent: str, place: Place) -> None:
        """From now on it may be there; how one gets there is known anew."""
        self._write(agent, [*(known for known in self.places(agent) if not known.same(place)), place])

    def remove(self, agent: str, place: Place) -> None:
        """It is there no more."""
        self._write(agent, [known for known in self.places(agent) if not known.same(place)])

    def keep_own_key(self, agent: str, public: str) -> None:
        """The public half of the key that the agent made for hosts of its workers."""
        place = self._folder / agent / WORKERS_KEY
        if public and (not place.exists() or place.read_text(encoding="utf-8").strip() != public):
            replace(place, f"{public}\n".encode())

    def forget(self, agent: str) -> None:
        """An agent that is no more, with all that is kept of it."""
        shutil.rmtree(self._folder / agent, ignore_errors=True)

    def _write(self, agent: str, places: Iterable[Place]) -> None:
        rows = [dataclasses.asdict(place) for place in places]
        path = self._folder / agent / _JOURNAL
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(rows, indent=1).encode() + b"\n"
        if not path.exists() or path.read_bytes() != text:
            replace(path, text)
