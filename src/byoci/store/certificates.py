"""Certificates on disk: signed, durable before anybody relies on them, one file for each candidate.

    PROJECT/CANDIDATE             what passed its tests and was, or was about to be, published
    PROJECT/failed/CANDIDATE      what failed them, to be repeated; only the newest are kept

A file is one line, the statement, and below it OpenSSH's signature of that line (without its end), so that anybody can
check it without byoci: `ssh-keygen -Y verify -f KEYS -I byoci -n byoci -s SIGNATURE < STATEMENT`.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from byoci import durable, effects
from byoci.errors import ProgramError, UnavailableError, UsageError
from byoci.keys import keygen, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE: Final = "byoci"  # of the signatures (ssh-keygen(1), -n), so that they count for nothing else
_FAILED: Final = "failed"
_TAIL: Final = 8  # characters at an id's end that name it
_FAILED_KEPT: Final = 100  # of a project

_DRAFT: Final = "A draft has one name, and is written over."
_KEY = effects.declare(
    "certificate.key",
    "the landing key, where there is none",
    half="The private half is there whole or not at all; the public half follows from it.",
    done="It is used.",
)
_SIGN = effects.declare("certificate.sign", "`ssh-keygen -Y sign` signs what is to be published")
_WRITE = effects.declare(
    "certificate.write", "a certificate, on the disk before anybody sees its candidate", half=_DRAFT
)
_DROP = effects.declare(
    "certificate.drop",
    "the certificate of a candidate that trunk did not take is removed",
    half="It is removed, or stays: an audit counts it as one of a candidate that is elsewhere.",
)
_FORGET = effects.declare(
    "certificate.forget", "the oldest records of failed tests are removed", half="The rest is removed."
)
_LARGEST: Final = 16 * 1024**2  # bytes; a statement holds a proposal's description


@_KEY
def make_key(key: Path, comment: str) -> bool:
    """Make the landing key, and beside it its public half, unless they are there; whether it was made.

    The private half appears whole, and by a link, so that of two runs one wins; the public half follows from it.
    """
    return make_pair(key, comment)


class CertificateStore:
    """The certificates of a site, signed with its landing key.

    folder  where they are kept
    key     the landing key; made when it is needed and not there
    """

    def __init__(self, folder: Path, key: Path) -> None:
        self._folder = folder
        self._key = key

    @property
    def public_key(self) -> Path:
        """The file with the public half of the landing key."""
        return self._key.with_suffix(".pub")

    def keep(self, project: str, candidate: str, statement: bytes, *, passed: bool) -> Path:
        """Sign a statement and keep it; it is on the disk, whole, when this returns. One of before is replaced."""
        path = self.place(project, candidate, passed=passed)
        signed = statement + b"\n" + self._sign(statement)
        try:
            with _WRITE:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                durable.write(path, signed)
        except OSError as error:
            raise UnavailableError(
                f"the certificate of {candidate} cannot be written",
                details=f"{error.filename or path}: {error.strerror}",
                resolution="Nothing was published. Make room, or mend the folder's permissions, and land again.",
            ) from error
        if not passed:
            _forget_oldest(path.parent)
        return path

    @_DROP
    def drop(self, project: str, candidate: str) -> None:
        """Remove the certificate of a candidate that was not published."""
        with contextlib.suppress(FileNotFoundError):
            self.place(project, candidate).unlink()

    def find(self, project: str, candidate: str) -> bytes | None:
        """The certificate of a candidate that passed; None where there is none."""
        try:
            return self.place(project, candidate).read_bytes()
        except FileNotFoundError:
            return None

    def named(self, name: str) -> list[Path]:
        """The files, of what passed and what failed, whose candidate's id begins with `name`, in any project.

        Where none begins with it, those that end with it: that is how people are shown a bzr id, after "…".
        """
        wanted = quote(name.removeprefix("…"), safe="")
        if not wanted:
            return []
        known = sorted(path for path in self._folder.glob("**/*") if path.is_file())
        begun = [path for path in known if path.name.startswith(wanted)]
        return begun or [path for path in known if len(wanted) >= _TAIL and path.name.endswith(wanted)]

    def signed(self, statement: bytes, signature: bytes) -> bool:
        """Whether it was this site that signed a statement, with the landing key that it has now."""
        if not self.public_key.exists():
            return False
        with contextlib.closing(Verifier(self.public_key)) as verifier:
            return verifier.verify(statement, signature)

    def place(self, project: str, candidate: str, *, passed: bool = True) -> Path:
        """The file of a candidate's certificate, whether it is there or not."""
        folder = self._folder / quote(project, safe="")
        return (folder if passed else folder / _FAILED) / quote(candidate, safe="")

    def _sign(self, statement: bytes) -> bytes:
        if not self._key.exists() or not self.public_key.exists():
            make_key(self._key, "byoci landing key")
        with _SIGN:
            return keygen("-q", "-Y", "sign", "-f", str(self._key), "-n", NAMESPACE, stdin=statement)


def in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Certificates below a folder: the candidate that a file is named by, and what it holds; what failed is left out.

    Raises `UsageError` where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", resolution="Name the folder that holds the certificates.")
    for path in sorted(folder.glob("**/*")):
        if path.is_file() and path.parent.name != _FAILED and not path.name.startswith("."):
            with path.open("rb") as file:
                yield unquote(path.name), file.read(_LARGEST)


class Verifier:
    """Checks signatures against public keys: `ssh-keygen -Y verify`.

    keys  files with public keys, a line each, as ssh-keygen writes them. Raises `UsageError` for one that holds none
    """

    def __init__(self, *keys: Path) -> None:
        lines = [f'byoci namespaces="{NAMESPACE}" {line}' for path in keys for line in _public_keys(path)]
        self._folder = tempfile.TemporaryDirectory(prefix="byoci-keys-")
        self._allowed = Path(self._folder.name, "allowed")
        self._allowed.write_text("\n".join([*lines, ""]))

    def verify(self, statement: bytes, signature: bytes) -> bool:
        """Whether one of the keys signed the statement. Safe to call from several threads at once."""
        with tempfile.NamedTemporaryFile(dir=self._folder.name) as file:
            file.write(signature)
            file.flush()
            try:
                keygen(
                    "-q", "-Y", "verify", "-f", str(self._allowed), "-I", "byoci", "-n", NAMESPACE, "-s", file.name,
                    stdin=statement,
                )  # fmt: skip
            except ProgramError:
                return False
        return True

    def close(self) -> None:
        """Remove what was written for ssh-keygen."""
        self._folder.cleanup()


def _public_keys(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the public key {path} cannot be read", details=str(error)) from error
    keys = [line for line in lines if line.startswith(("ssh-", "ecdsa-", "sk-"))]
    if not keys:
        raise UsageError(f"{path} holds no public key", resolution="Name the landing key's public half, its .pub file.")
    return keys


@_FORGET
def _forget_oldest(folder: Path) -> None:
    kept = sorted((path.stat().st_mtime_ns, path) for path in folder.iterdir() if not path.name.startswith("."))
    for _, path in kept[:-_FAILED_KEPT]:
        path.unlink(missing_ok=True)
