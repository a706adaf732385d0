"""`byoci agent start-slave-via-ssh`: what a Jenkins runs to have an agent, whose bytes are this process' own.

The remoting jar is that of the Jenkins itself: an agent that has another one is given it, whole, before it is started.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from byoci import proc
from byoci.controller.places import HOSTS_FILE, KEY_FILE
from byoci.errors import ByociError, UnavailableError
from byoci.host.agent_link import explained, over_ssh, ssh_argv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from byoci.host.agent_places import Place
    from byoci.jenkins.client import Jenkins

JAR: Final = "jnlpJars/slave.jar"
"""Where every server of the family has it; nobody has to sign in."""
_MARK: Final = "byoci-7b1f62"  # what an agent's shell says of its own comes before it
_ACCESS: Final = "Type, where the administration key is: byoci host update-agent-access"
_FOLDER: Final = (
    """
root=$1 digest=$2; shift 2
case $root in "~/"*) root=$HOME/${root#"~/"} ;; esac
tell() { printf '\\n%s\\n%s\\n' """
    + _MARK
    + """ "$*"; exit 0; }
is_right() { found=$(sha256sum "$1" 2>/dev/null); [ "${found%% *}" = "$digest" ]; }
mkdir -p -- "$root" && cd -- "$root" || exit 1
"""
)
_LOOK: Final = (
    _FOLDER
    + """
said=$("$@" -version 2>&1) || tell "no-java $said"
is_right remoting.jar && tell current
tell stale
"""
)
_PLACE: Final = (
    _FOLDER
    + """
draft=.remoting.jar.$$
trap 'rm -f "$draft"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$draft" && is_right "$draft" && mv -f -- "$draft" remoting.jar && tell placed
exit 1
"""
)
_START: Final = (
    _FOLDER
    + """
exec "$@" -jar remoting.jar
"""
)


@dataclass(frozen=True, slots=True)
class Launch:
    """An agent to be started.

    root  its folder there
    java  how Java is called there: program and options
    home  the folder with the controller's key and the pinned host keys
    """

    place: Place
    root: str
    java: tuple[str, ...]
    home: Path

    @property
    def key(self) -> Path:
        """The key that signs in."""
        return self.home / KEY_FILE

    def argv(self, script: str, digest: str) -> tuple[str, ...]:
        """The command line that runs a script there."""
        words = ("exec", "sh", "-c", script, "sh", self.root, digest, *self.java)
        return ssh_argv(self.place, self.place.user, self.key, self.home / HOSTS_FILE, shlex.join(words))


def start(launch: Launch, jenkins: Jenkins, tell: Callable[[str], None]) -> NoReturn:
    """Become the connection to the agent: standard input and output are those of the remoting jar there.

    Raises `UnavailableError`, before a byte was written, where the agent or its jar cannot be had.
    """
    for name, what in ((KEY_FILE, "the controller's key"), (HOSTS_FILE, "the agents' pinned host keys")):
        if not (launch.home / name).is_file():
            raise UnavailableError(f"{what} is missing", details=str(launch.home / name), resolution=_ACCESS)
    jar = fetch(jenkins)
    digest = hashlib.sha256(jar).hexdigest()
    if _ask(launch, _LOOK, digest) == "stale":
        tell(f"{launch.place.shown}: putting the remoting jar of this Jenkins there, SHA-256 {digest}")
        _ask(launch, _PLACE, digest, jar)
    tell(f"{launch.place.shown}: starting {shlex.join(launch.java)} -jar {launch.root}/remoting.jar")
    proc.become(launch.argv(_START, digest), env=proc.base_environment())


def fetch(jenkins: Jenkins) -> bytes:
    """The remoting jar. Raises `UnavailableError`."""
    brief = "the remoting jar cannot be fetched from the controller"
    try:
        jar = jenkins.get(JAR)
    except ByociError as error:
        raise UnavailableError(brief, details=str(error)) from error
    if jar is None or not jar.startswith(b"PK"):
        remedy = "See whether controller.url is the address of a Jenkins, with the whole path to it."
        raise UnavailableError(brief, details=f"There is none at {JAR}.", resolution=remedy)
    return jar


def _ask(launch: Launch, script: str, digest: str, data: bytes = b"") -> str:
    """What the script there tells: current, stale or placed."""
    result = over_ssh(launch.argv(script, digest), data)
    _, found, told = result.text.partition(f"\n{_MARK}\n")
    word, _, said = told.strip().partition(" ")
    if word == "no-java":
        raise UnavailableError(
            f"{launch.place.shown} has no Java that can be started",
            details=f"{shlex.join(launch.java)} -version: {said[:1000]}",
            resolution="Install a Java that the Jenkins supports, for whoever runs jobs there, or set agent.NAME.java.",
        )
    if not found:
        raise _failed(launch, result)
    return word


def _failed(launch: Launch, result: proc.Result) -> ByociError:
    if result.status in (1, 2, 126, 127):  # the shell's own, not ssh's
        said: Sequence[bytes] = (result.stderr.strip(), result.stdout.strip(), b"It told no reason.")
        return UnavailableError(
            f"the remoting jar cannot be put into {launch.root} at {launch.place.shown}",
            details=next(filter(None, said)).decode("utf-8", "replace")[-1000:],
            resolution="See whether that user may write there, whether the disk is full, and sha256sum is there.",
        )
    return explained(launch.place, launch.place.user, launch.key, result)
