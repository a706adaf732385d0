"""The secrets of a namespace: what they are, made where they are missing, and looked at.

They are in `$BYOCI_HOME/NAMESPACE/secrets`, a folder of its own for each namespace, for byoci's own user only:

    site                                 a random name by which the site knows its own keys at its agents
    landing_ed25519(.pub)                signs certificates of landings
    administration_ed25519(.pub)         signs in at agents as who sets them up
    controller/controller_ed25519(.pub)  signs in at agents as who runs jobs there
    controller/webhook                   what a forge's webhooks are signed with
    notify/NAME                          what the monitor's own webhooks are signed with
    agents/NAME/host_ed25519(.pub)       the host key of an agent that `byoci up` makes

What byoci does not make (a forge's token, for example) is put there by people; what they are is looked at all the same.
A file `X.expires` beside a secret X holds the day, as 2027-01-31, on which that ends to be good.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import keys
from byoci.config.paths import NAMESPACES
from byoci.controller.places import LOOPBACK
from byoci.durable import locked, replace
from byoci.errors import ByociError, UsageError
from byoci.host.secrets_branch import NAMESPACE, VCS_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER: Final = "secrets"
SITE: Final = "site"
LANDING_KEY: Final = "landing_ed25519"
ADMINISTRATION_KEY: Final = "administration_ed25519"
CONTROLLER_KEY: Final = "controller/controller_ed25519"
LOOPBACK_HOST_KEY: Final = f"agents/{LOOPBACK}/host_ed25519"
_PAIRS: Final = (LANDING_KEY, ADMINISTRATION_KEY, CONTROLLER_KEY, LOOPBACK_HOST_KEY)
_HOOKS: Final = "notify"
WEBHOOK: Final = "controller/webhook"
_RANDOM: Final = {SITE: 8, WEBHOOK: 32}  # bytes
_EXPIRES: Final = ".expires"
_PUBLIC: Final = (".pub", _EXPIRES, "ssh_config", "known_hosts", NAMESPACE)  # ends of names of what is no secret
_LARGEST: Final = 1 << 20  # bytes of a secret
ROTATED: Final = ("controller", "administration", "webhook", "token")
"""The names of what can be made anew."""
_WEBHOOK_STAYS: Final = timedelta(days=7)  # the older one beside the new one, for people to tell forges the new one
OLDER: Final = ".older"
"""The end of the name of a secret in whose place another one was put, and which is good until that is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a secret.

    path     below the secrets folder; "." is the folder itself
    kind     missing, permissions, mismatch, expired, shared or unusable
    """

    path: str
    kind: str
    details: str
    resolution: str


def make(folder: Path, namespace: str, hooks: Iterable[str] = ()) -> list[str]:
    """Make what is missing, and nothing else; the paths of what was made. A public half follows from its private one.

    hooks  the names of the monitor's own webhooks

    Concurrency: of several at once each waits for the one before it. Killed at any moment it can be run again.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder):
        _drop_expired(folder)
        made = [
            path for path in _PAIRS if keys.make_pair(_private(folder, path), f"byoci {namespace} {Path(path).name}")
        ]
        for path, size in {**_RANDOM, **{f"{_HOOKS}/{name}": 32 for name in hooks}}.items():
            if not _private(folder, path).exists():
                replace(folder / path, f"{secrets.token_hex(size)}\n".encode())
                made.append(path)
    return made


def rotate(folder: Path, namespace: str, name: str = "controller") -> str:
    """Put a new secret in the place of an old one; the path of the new one. `name` is one of `ROTATED` but token.

    Nobody is locked out. The controller goes on with its own copy of its old key until `update-agent-access` has seen
    the new one work at every agent. Of the others the old one is kept beside the new one: the administration key until
    `update-agent-access` has put the new one in its place, a webhook's for a week.
    Done again before that, the oldest one stays, which is the one that others know. Killed at any moment it can be run
    again.
    """
    with locked(folder):
        if name == "webhook":
            _keep_older(folder / WEBHOOK)
            last = datetime.now(UTC).date() + _WEBHOOK_STAYS
            expires = folder / f"{WEBHOOK}{OLDER}{_EXPIRES}"
            if not expires.exists():
                replace(expires, f"{last}\n".encode())
            replace(folder / WEBHOOK, f"{secrets.token_hex(_RANDOM[WEBHOOK])}\n".encode())
            return WEBHOOK
        path = {"controller": CONTROLLER_KEY, "administration": ADMINISTRATION_KEY}[name]
        if name == "administration":
            _keep_older(folder / path)
            keys.make_pair(older(folder / path), "")
        _replace_pair(folder / path, f"byoci {namespace} {Path(path).name}")
    return path


def _drop_expired(folder: Path) -> None:
    """What was kept beside a newer one for a time that is over."""
    for finding in _expired(folder):
        if finding.kind == "expired" and finding.path.endswith(OLDER):
            for left in (folder / finding.path, folder / f"{finding.path}{_EXPIRES}"):
                left.unlink(missing_ok=True)


def older(secret: Path) -> Path:
    """Where the one is that was there before."""
    return secret.with_name(f"{secret.name}{OLDER}")


def _keep_older(secret: Path) -> None:
    if not older(secret).exists():
        replace(older(secret), secret.read_bytes())


def _replace_pair(key: Path, comment: str) -> None:
    draft = key.with_name(f".{key.name}.next")
    for left in (draft, keys.public_file(draft)):
        left.unlink(missing_ok=True)
    keys.make_pair(draft, comment)
    keys.public_file(key).unlink(missing_ok=True)  # it follows from the private one, which is whole at any moment
    draft.replace(key)
    keys.public_file(draft).unlink()
    keys.make_pair(key, "")


def site_id(folder: Path) -> str:
    """By what the site knows its own keys. Raises `UsageError` where there is none yet."""
    try:
        return (folder / SITE).read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise UsageError("the secrets are not made yet", resolution="Type: byoci host secrets") from error


def _private(folder: Path, path: str) -> Path:
    """A secret's place; the folders above it are made, for their owner only."""
    place = folder / path
    for above in reversed(place.relative_to(folder).parents):
        (folder / above).mkdir(mode=0o700, exist_ok=True)
    return place


def check(folder: Path) -> list[Finding]:
    """What is wrong with the secrets of a namespace. Nothing is changed, and no secret is in what is told."""
    found = [*_missing(folder), *_badly_kept(folder), *_mismatched(folder), *_expired(folder), *_shared(folder)]
    return sorted(found, key=lambda finding: finding.path)


def _missing(folder: Path) -> Iterator[Finding]:
    for path in (*_PAIRS, *_RANDOM):
        if not (folder / path).exists():
            yield Finding(path, "missing", "It is not there.", "Type: byoci host secrets")


def _badly_kept(folder: Path) -> Iterator[Finding]:
    """Files and folders that others can reach, or that are no such things."""
    import os

    for place in (folder, *_below(folder)) if folder.exists() else ():
        name = str(place.relative_to(folder))
        facts = place.lstat()
        loose = stat.S_IMODE(facts.st_mode) & (0o022 if place.name.endswith(_PUBLIC) else 0o077)
        if stat.S_ISLNK(facts.st_mode) or not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            yield Finding(name, "unusable", "It is neither a file nor a folder.", "Put a file in its place.")
        elif facts.st_uid != os.geteuid():
            details = f"It belongs to user {facts.st_uid}."
            yield Finding(name, "permissions", details, "Give it to byoci's own user (chown), or make it anew.")
        elif loose:
            details = f"Others can reach it: its mode is {stat.S_IMODE(facts.st_mode):04o}."
            mode = "0700" if stat.S_ISDIR(facts.st_mode) else "0600"
            yield Finding(name, "permissions", details, f"Type chmod {mode}; if others may have read it, make it anew.")


def _mismatched(folder: Path) -> Iterator[Finding]:
    for path in _PAIRS:
        place = folder / path
        if not place.is_file():
            continue
        try:
            half = keys.public_half(place)
            beside = keys.public_file(place).read_text(encoding="utf-8", errors="replace").split()[:2]
        except FileNotFoundError:
            yield Finding(f"{path}.pub", "missing", "It is not there.", "Type: byoci host secrets")
        except ByociError as error:
            details = error.details.replace(str(place), path)
            yield Finding(path, "unusable", details or error.brief, "Put it back from a backup, or remove it.")
        else:
            if half.split() != beside:
                details = "The public key does not belong to the private one."
                yield Finding(f"{path}.pub", "mismatch", details, f"Remove {path}.pub and type: byoci host secrets")


def _expired(folder: Path) -> Iterator[Finding]:
    today = datetime.now(UTC).date()
    for place in (place for place in _below(folder) if place.name.endswith(_EXPIRES)):
        path = str(place.relative_to(folder)).removesuffix(_EXPIRES)
        text = place.read_text(encoding="utf-8", errors="replace").strip()
        try:
            last = date.fromisoformat(text)
        except ValueError:
            yield Finding(f"{path}{_EXPIRES}", "unusable", f"{text[:40]!a} is no day.", "Write it as 2027-01-31.")
            continue
        if last < today:
            yield Finding(path, "expired", f"It was good until {last}.", "Get a new one and put it in its place.")


def _shared(folder: Path) -> Iterator[Finding]:
    """Secrets that another namespace has too: whoever gets at one site would have the other."""
    others: dict[str, str] = {}
    for namespace in NAMESPACES:
        other = folder.parent.parent / namespace / FOLDER
        if other != folder:
            others |= {digest: namespace for _, digest in _digests(other)}
    for path, digest in _digests(folder):
        if digest in others:
            details = f"The namespace {others[digest]} has the same."
            yield Finding(path, "shared", details, "Remove one of them and make it anew.")


def _below(folder: Path) -> list[Path]:
    """All that is there, but for what version control keeps for itself."""
    found = (place for place in folder.rglob("*") if place.relative_to(folder).parts[0] not in VCS_FOLDERS)
    return sorted(found)


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for place in _below(folder):
        with contextlib.suppress(OSError):
            public = place.name.endswith(_PUBLIC) or not stat.S_ISREG(place.lstat().st_mode)
            if not public and 0 < place.stat().st_size < _LARGEST:
                yield str(place.relative_to(folder)), hashlib.sha256(place.read_bytes().strip()).hexdigest()
