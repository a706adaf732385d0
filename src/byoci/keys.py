"""Pairs of ssh keys, made by ssh-keygen: ed25519, without a passphrase, the public half beside the private one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

from byoci import proc
from byoci.durable import replace, sync
from byoci.errors import ProgramError, ProgramMissingError, UsageError

INSTALL_CLIENT: Final = "Install OpenSSH's client; on Debian and Ubuntu: sudo apt-get install openssh-client"
_SECONDS: Final = 30.0


def make_pair(key: Path, comment: str) -> bool:
    """Make a key and its public half, as far as they are not there; whether the key was made.

    The private half appears whole, and by a link, so that of two runs one wins; the public half follows from it. What a
    run leaves behind that was killed has a name of its own, `.key-…`.
    """
    made = False
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".key-", dir=key.parent) as folder:
            draft = Path(folder, "key")
            keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(draft))
            sync(draft)
            with contextlib.suppress(FileExistsError):
                os.link(draft, key)
                made = True
        sync(key.parent)
    public = public_file(key)
    if made or not public.exists():
        public.unlink(missing_ok=True)
        replace(public, keygen("-y", "-f", str(key)))
    return made


def public_file(key: Path) -> Path:
    """Where the public half is."""
    return key.with_name(f"{key.name}.pub")


def public_half(key: Path) -> str:
    """Type and base64 of the public half that belongs to a private one. Raises `UsageError` where it is no key."""
    try:
        words = keygen("-y", "-P", "", "-f", str(key)).decode("ascii", "replace").split()
    except ProgramError as error:
        raise UsageError(f"{key} is no private key", details=error.details) from error
    return " ".join(words[:2])


def keygen(*arguments: str, stdin: bytes = b"") -> bytes:
    """What ssh-keygen writes. Raises `ProgramError`, and `ProgramMissingError` where it is not installed."""
    try:
        return proc.run(("ssh-keygen", *arguments), env=proc.base_environment(), stdin=stdin, timeout=_SECONDS).stdout
    except ProgramMissingError as error:
        raise ProgramMissingError(
            "ssh-keygen is not installed, and byoci's keys are made by it",
            resolution=INSTALL_CLIENT,
        ) from error
