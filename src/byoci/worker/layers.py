"""Setup layers: what a setup command made of an image and its inputs, kept for every worker that needs the same.

    layers/KEY/home/       the command's home folder when it ended
    layers/KEY/work/       its working folder, inputs included
    layers/KEY/size        how many bytes both take
    layers/KEY.lock        held shared by those who use the layer, exclusively by who makes or removes it
    layers/.gone-X/        what is being removed

A layer appears by a rename when it is whole, is never written to afterwards, and disappears by a rename.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import ConfigError, RejectedError, UnavailableError
from byoci.worker import sharing, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from byoci.worker.base import Setup
    from byoci.worker.images import Image

_AGAIN_SECONDS: Final = 0.02
_GONE: Final = ".gone-"
_CHUNK: Final = 1024**2
_LONG_WORD: Final = 16
_STORE = effects.declare("layer.store", "the folder of layers")
_LOCK = effects.declare(
    "layer.lock",
    "a layer's lock file is made and locked",
    half="The kernel took the lock back.",
    done="The kernel took the lock back.",
)
_USE = effects.declare("layer.use", "that a layer is used now", done="It stays longer.")
_KEEP = effects.declare(
    "layer.keep",
    "what a setup made becomes a layer",
    half="It is a layer, whole, or in the folder of a dead run.",
    done="It is used.",
)
_PRUNE = effects.declare("layer.prune", "layers that nobody uses are removed", half="The rest is removed.")
_HOST: Final = re.compile(rb"[a-z0-9-]+(\.[a-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that is being used: it stays as long as `lock` is open."""

    path: Path
    lock: int

    @property
    def home(self) -> Path:
        """The home folder that the setup left."""
        return self.path / "home"

    @property
    def work(self) -> Path:
        """The working folder that the setup left."""
        return self.path / "work"

    @property
    def made(self) -> str:
        """Which layer it is, and when it was made: another text for one that was made again."""
        return f"{self.path.name} {(self.path / 'size').stat().st_mtime_ns}"

    def close(self) -> None:
        """Let go of it."""
        os.close(self.lock)


def key_of(image: Image, setup: Setup) -> str:
    """What a layer is known by: a digest of the image, the command, its inputs, and whether it had network.

    Credentials are not part of it: they let a command in somewhere, they do not change what it finds there.
    """
    digest = hashlib.sha256()
    parts = [image.identity.encode(), setup.command.encode(), b"network" if setup.network else b""]
    for name, content in sorted(setup.inputs.items()):
        parts += [os.fsencode(name), content]
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:40]


class Store:
    """The layers of a site. `folder` may be used by several processes at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _STORE:
            folder.mkdir(mode=0o711, exist_ok=True)

    def get(self, key: str, make: Callable[[], Path]) -> Layer:
        """The layer `key`; where there is none, `make` is called for a folder that becomes it.

        Whoever else needs the same layer meanwhile waits for it.
        """
        while True:
            lock = self._lock(key, fcntl.LOCK_SH)
            if self._use(key):
                return Layer(self._folder / key, lock)
            os.close(lock)
            try:
                lock = self._lock(key, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # somebody makes it, or uses it already, which may take hours: not waited for here
                time.sleep(_AGAIN_SECONDS)
                continue
            try:
                if not (self._folder / key).is_dir():
                    self._keep(make(), key)
                    self.prune()
            finally:
                os.close(lock)

    @_KEEP
    def _keep(self, made: Path, key: str) -> None:
        (made / "size").write_text(str(_size(made)))
        os.sync()  # a layer that a crash of the machine left half written would look like a whole one
        made.rename(self._folder / key)

    @_USE
    def _use(self, key: str) -> bool:
        """Note that the layer is used now; False where there is none."""
        try:
            os.utime(self._folder / key)
        except FileNotFoundError:
            return False
        return True

    @_LOCK
    def _lock(self, key: str, kind: int) -> int:
        return sharing.locked(self._folder / f"{key}.lock", kind)

    @_PRUNE
    def prune(self) -> None:
        """Remove layers that nobody used for a month, and the least used ones while all together are too large."""
        layers = []
        for path in self._folder.iterdir():
            if path.name.startswith(_GONE):
                _discard(path)  # who wanted to do that was killed
            elif path.suffix != ".lock":
                with contextlib.suppress(FileNotFoundError):  # somebody else removes it
                    layers.append((path.stat().st_mtime, path, int((path / "size").read_text())))
        for path in sharing.surplus(layers):
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            lock = self._lock(path.name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is used
        gone = self._folder / f"{_GONE}{secrets.token_hex(8)}"
        try:
            with contextlib.suppress(FileNotFoundError):
                path.rename(gone)
            (self._folder / f"{path.name}.lock").unlink()
        finally:
            os.close(lock)
        _discard(gone)


def _discard(path: Path) -> None:
    """Remove what nobody finds any more; it can wait for the next time, and another process may be at it."""
    with contextlib.suppress(UnavailableError):
        tree.remove(path)


def _size(path: Path) -> int:
    used = tree.Usage()
    with contextlib.suppress(OSError), tree.opened(path) as fd:
        used.add(fd)
    return used.size


def write_inputs(inputs: Mapping[str, bytes], folder: Path) -> None:
    """Write a setup's input files into an empty folder; `ConfigError` where a name leads out of it."""
    for name, content in inputs.items():
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
            raise ConfigError(
                f"a setup cannot have the input {name!r}",
                resolution="Name files by their path within the tree.",
            )
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def refuse(folder: Path, credentials: Mapping[str, bytes]) -> None:
    """Raise `RejectedError` where something in `folder` holds a credential: a file, a name, or where a link leads."""
    secrets = [(name, secret) for name, content in credentials.items() for secret in _secrets(content)]
    if not secrets:
        return
    with tree.opened(folder) as top:
        for parent, entries in tree.walk(top):
            if entries is None:
                raise RejectedError("the setup left a folder that cannot be looked through for credentials")
            for entry in entries:
                _refuse(entry, parent, secrets)


def _refuse(entry: os.DirEntry[str], parent: int, secrets: list[tuple[str, bytes]]) -> None:
    longest = max(len(secret) for _, secret in secrets)
    try:
        for text in _texts(entry, parent, longest):
            for name, secret in secrets:
                if secret in text:
                    raise RejectedError(
                        f"the setup's result holds the credential {name}",
                        details=f"in {entry.name!r}",
                        resolution="Let the setup command use the credential without leaving it behind.",
                    )
    except PermissionError as error:
        raise RejectedError(
            "the setup left a file that cannot be looked through for credentials", details=repr(entry.name)
        ) from error


def _secrets(content: bytes) -> set[bytes]:
    """What of a credential must not be found: all of it, and each long word of it that is not just a host's name."""
    words = {word for word in content.split() if len(word) >= _LONG_WORD and not _HOST.fullmatch(word)}
    return words | ({content.strip()} - {b""})


def _texts(entry: os.DirEntry[str], parent: int, overlap: int) -> Iterator[bytes]:
    """All that a name and what it names say, in pieces that overlap."""
    yield os.fsencode(entry.name)
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        yield os.fsencode(os.readlink(entry.name, dir_fd=parent))
    elif stat.S_ISREG(mode):
        fd = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            yield from _pieces(fd, overlap)
        finally:
            os.close(fd)


def _pieces(fd: int, overlap: int) -> Iterator[bytes]:
    """A file's content without its holes, which cost no disk and could go on for ever."""
    position, last = 0, b""
    while True:
        try:
            data = os.lseek(fd, position, os.SEEK_DATA)
        except OSError:  # nothing but a hole from here on
            return
        if data != position:
            last = b""
        chunk = os.pread(fd, _CHUNK, data)
        if not chunk:
            return
        yield last + chunk
        last = (last + chunk)[-overlap:]
        position = data + len(chunk)
