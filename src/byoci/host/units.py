"""Units of systemd for the controller and the monitor, with the namespace as instance. Pure.

What the monitor may do is next to nothing. The controller's builds on this machine inherit what holds for it: so it has
what a build and its worker can do with, which makes name spaces, mounts and control groups of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.wiring_monitor import WEBHOOK_CREDENTIAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONTROLLER: Final = "byoci-controller@.service"
MONITOR: Final = "byoci-monitor@.service"
# What only who lands and who sets agents up needs.
_HIDDEN: Final = (
    "landing_ed25519",
    "landing_ed25519.older",
    "administration_ed25519",
    "administration_ed25519.older",
    "controller/controller_ed25519",
    "controller/controller_ed25519.older",
    ".git",  # the secrets may be a branch, whose history has them as well
    ".bzr",
    "agent",
    "agents",
    "setup",
)

# These need no privilege, so that units of a person can have them as well.
_ANY: Final = """
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
"""
_CONTROLLER: Final = """
KillMode=process
WatchdogSec=60
TimeoutStopSec=60
"""
_CONTROLLER_OF_SYSTEM: Final = """
Delegate=yes
ProtectSystem=full
PrivateMounts=yes
SystemCallFilter=~@clock @cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
"""
_NO_CAPABILITY: Final = """
CapabilityBoundingSet=
"""
_MONITOR: Final = """
KillMode=mixed
WatchdogSec=180
TimeoutStopSec=60
RestrictNamespaces=yes
RestrictSUIDSGID=yes
MemoryDenyWriteExecute=yes
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
"""
_MONITOR_OF_SYSTEM: Final = """
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """What the units are of.

    byoci    its program
    home     $BYOCI_HOME
    config   the configuration's file
    user     who runs the system's units; "": the units are a person's own
    """

    byoci: Path
    home: Path
    config: Path
    namespace: str
    user: str

    def any_namespace(self, path: Path) -> str:
        """A path as units have it: `%i` for the namespace's own folder, where it is in that."""
        own = self.home / self.namespace
        if path.is_relative_to(own):
            return f"{_literal(str(self.home))}/%i/{_literal(str(path.relative_to(own)))}"
        return _literal(str(path))


def render(made: Installation) -> Mapping[str, str]:
    """The units: name of the file → text."""
    state = made.any_namespace(made.home / made.namespace / "x").removesuffix("/x")
    hidden = " ".join(_word(f"-{state}/secrets/{name}") for name in _HIDDEN)
    credentials = f"LoadCredential={WEBHOOK_CREDENTIAL}:{state}/secrets/controller/webhook"
    folders = f"ReadWritePaths={_word(state)}\nInaccessiblePaths={hidden}"
    # Builds on this machine that root runs are handed to another user, which takes capabilities.
    builds = "" if made.user == "root" else _NO_CAPABILITY
    controller = (_CONTROLLER, _ANY, *((_CONTROLLER_OF_SYSTEM, builds) if made.user else ()))
    monitor = (credentials, _MONITOR, _ANY, *((_MONITOR_OF_SYSTEM, _NO_CAPABILITY, folders) if made.user else ()))
    return {
        CONTROLLER: _unit(made, "controller", "network-online.target", controller),
        MONITOR: _unit(made, "monitor", "network-online.target byoci-controller@%i.service", monitor),
    }


def _unit(made: Installation, what: str, after: str, parts: Sequence[str]) -> str:
    options = ("--config", made.any_namespace(made.config), "--namespace", "%i", what, "serve")
    start = " ".join(_word(word).replace("$", "$$") for word in (_literal(str(made.byoci)), *options))
    user = f"User={made.user}\n" if made.user else ""
    sandbox = "\n".join(part.strip() for part in parts if part)
    return f"""\
[Unit]
Description=byoci {what} of %i
Wants=network-online.target
After={after}
StartLimitIntervalSec=0

[Service]
Type=notify
{user}Environment={_word(f"BYOCI_HOME={_literal(str(made.home))}")}
ExecStart={start}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
UMask=0077
{sandbox}

[Install]
WantedBy={"multi-user.target" if made.user else "default.target"}
"""


def _literal(text: str) -> str:
    """A text in which systemd finds no specifier."""
    return text.replace("%", "%%")


def _word(text: str) -> str:
    """A text as one word."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
