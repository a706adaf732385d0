"""What `byoci up` gives the controller: its key, and what the site's own agent over ssh is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci import keys
from byoci.controller.agentside.access import authorize
from byoci.controller.places import AUTHORIZED, HOST_KEY, KEY_FILE, SSHD
from byoci.durable import replace
from byoci.host import secrets

if TYPE_CHECKING:
    from pathlib import Path


def prepare(secrets_folder: Path, home: Path, namespace: str) -> None:
    """Make the secrets that are missing, and hand the controller what it needs of them, as far as it has none.

    A controller that has a key keeps it: another one takes its place only when it was seen to work at the agents.
    """
    secrets.make(secrets_folder, namespace)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / KEY_FILE).exists():
        replace(home / KEY_FILE, (secrets_folder / secrets.CONTROLLER_KEY).read_bytes())
    sshd = home / SSHD
    sshd.mkdir(mode=0o700, exist_ok=True)
    host_key = secrets_folder / secrets.LOOPBACK_HOST_KEY
    for source, target in ((host_key, sshd / HOST_KEY), (keys.public_file(host_key), sshd / f"{HOST_KEY}.pub")):
        if not target.exists() or target.read_bytes() != source.read_bytes():
            replace(target, source.read_bytes())
    wanted = {keys.public_half(home / KEY_FILE), keys.public_half(secrets_folder / secrets.CONTROLLER_KEY)}
    authorize(str(sshd / AUTHORIZED), owner(secrets_folder, namespace), sorted(wanted))


def owner(secrets_folder: Path, namespace: str) -> str:
    """The last word of the site's lines in authorized_keys."""
    return f"byoci:{namespace}:{secrets.site_id(secrets_folder)}"
