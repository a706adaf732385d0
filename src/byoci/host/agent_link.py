"""How the host reaches an agent: OpenSSH's own client, one key, pinned host keys, and nobody's settings."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from byoci import keys, proc
from byoci.controller import known_hosts
from byoci.controller.agentside.access import MARK
from byoci.errors import ByociError, ProgramMissingError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.host.agent_places import Place

_PATIENCE: Final = 120.0  # seconds for all of one agent
_CONNECT: Final = 15  # seconds for a connection to be made
_SOURCE_END: Final = "\nmain(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else '')\n"
_PROOF: Final = f"import sys; print({MARK!r} if sys.version_info >= (3, 9) else sys.version)"


@functools.cache
def _source() -> str:
    return resources.files("byoci.controller.agentside").joinpath("access.py").read_text(encoding="utf-8")


def ask(place: Place, key: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Have the agent's side do what `request` says, see `agentside.access`; gives its answer.

    key  the administration key

    Raises `UnavailableError` with what was said there.
    """
    program = ("-I", "-c", _source() + _SOURCE_END, place.user)
    data = json.dumps(request).encode()
    if place.administrator:
        result = _ssh(place, place.administrator, key, shlex.join(("exec", "python3", *program)), data)
    else:
        argv = (sys.executable, *program)
        result = proc.run(argv, env=proc.base_environment(), cwd=Path("/"), stdin=data, timeout=_PATIENCE, ok=None)
    _, found, told = result.text.partition(f"\n{MARK}\n")
    if not found:
        raise explained(place, place.administrator or place.user, key, result)
    answer: dict[str, Any] = json.loads(told.partition("\n")[0])
    if "error" in answer:
        raise UnavailableError(f"{place.shown} cannot be changed", details=str(answer["error"])[:1000])
    return answer


def prove(place: Place, key: Path) -> None:
    """See that a key signs in as who runs jobs there, and finds a Python that is new enough. Raises as `ask` does."""
    result = _ssh(place, place.user, key, shlex.join(("exec", "python3", "-I", "-c", _PROOF)), b"")
    if MARK not in result.text:
        raise explained(place, place.user, key, result)


def _ssh(place: Place, user: str, key: Path, command: str, data: bytes) -> proc.Result:
    with tempfile.TemporaryDirectory(prefix="byoci-hosts-") as folder:
        hosts = Path(folder, "known_hosts")
        hosts.write_text("".join(f"{known_hosts.line(place.host, place.port, one)}\n" for one in place.host_keys))
        return over_ssh(ssh_argv(place, user, key, hosts, command), data)


def ssh_argv(place: Place, user: str, key: Path, hosts: Path, command: str) -> tuple[str, ...]:
    """The command line that has a shell at the place do `command`; nobody's settings, and only host keys of `hosts`."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _quoted(hosts),
        "GlobalKnownHostsFile": os.devnull,
        "UpdateHostKeys": "no",
        "IdentityFile": _quoted(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "ConnectTimeout": str(_CONNECT),
        "ServerAliveInterval": str(_CONNECT),
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ("ssh", "-F", "none", "-T", *words, "-p", str(place.port), "-l", user, "--", place.host, command)


def over_ssh(argv: Sequence[str], data: bytes = b"") -> proc.Result:
    """Run such a command line to its end, with `data` as its input."""
    try:
        return proc.run(argv, env=proc.base_environment(), stdin=data, timeout=_PATIENCE, ok=None)
    except ProgramMissingError as error:
        raise ProgramMissingError(
            "ssh is not installed, and agents are reached by it",
            resolution=keys.INSTALL_CLIENT,
        ) from error


def _quoted(path: Path) -> str:
    """A file's name as ssh's settings have it."""
    return '"{}"'.format(str(path).replace("%", "%%"))


def explained(place: Place, user: str, key: Path, result: proc.Result) -> ByociError:
    """Why what was asked over ssh did not get its answer, as ssh tells it."""
    said = result.stderr.decode("utf-8", "replace").strip()[-1000:] or result.text.strip()[-1000:]
    where = f"{user}@{place.host}:{place.port}"
    if "Host key verification failed" in said or "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return UnavailableError(
            f"the host key of {place.host}:{place.port} is none of those that are pinned",
            details=said,
            resolution="If the machine was made anew, put its new keys into host_keys of the definition and type "
            "byoci host update-agent-access; otherwise do not go on: somebody may be in its place.",
        )
    if "Permission denied" in said:
        return UnavailableError(
            f"{where} does not accept the key {key.name}",
            details=said,
            resolution=f"Add this line to that user's authorized_keys:\n{keys.public_half(key)}",
        )
    if "ssh: " in said or result.status == 255:
        return UnavailableError(f"{where} cannot be reached", details=said)
    return UnavailableError(
        f"{where} does not answer as an agent should",
        details=said,
        resolution="It needs Python 3.9 or newer as python3, and a login shell that leaves commands alone.",
    )
