"""What of a system a worker sees: the host's own, cut down to what tools need, or a root file system in a folder."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import ConfigError
from byoci.worker import network

if TYPE_CHECKING:
    from collections.abc import Iterator

UID: Final = 1000
HOME: Final = "/home/worker"
WORKSPACE: Final = "/workspace"

_HOST_FOLDERS: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_OURS: Final = frozenset(
    "proc dev sys tmp run home root etc var workspace boot mnt media lost+found".split()  # noqa: SIM905 -- as below
)
_HOST_ETC: Final = """
    ld.so.cache ld.so.conf ld.so.conf.d alternatives localtime timezone locale.alias locale.conf
    debian_version os-release lsb-release redhat-release fedora-release system-release alpine-release dpkg/origins
    ssl/certs ssl/openssl.cnf ca-certificates ca-certificates.conf pki/tls/certs pki/ca-trust crypto-policies
    services protocols rpc networks ethertypes gai.conf host.conf mime.types magic magic.mime
    inputrc terminfo shells profile bash.bashrc login.defs xattr.conf manpath.config
    python3 python3.* perl java java-*-openjdk vim fonts xml sgml groff texmf glvnd X11/rgb.txt
""".split()  # noqa: SIM905 -- easier to read
"""What tools read and none of which is a place for secrets. Files that not everybody may read are left out anyway."""
_BUNDLES: Final = ("ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/cert.pem")
_FRESH_SECONDS: Final = 60
_ETC = effects.declare(
    "worker.etc",
    "what an image's /etc shows, where that has changed",
    half="An unfinished copy stays, under a name that nobody looks for.",
)
_SYSTEM_USERS: Final = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
_SYSTEM_GROUPS: Final = "root:x:0:\nnogroup:x:65534:\n"


@dataclass(frozen=True, slots=True)
class Image:
    """A system that can be shown to a worker.

    arguments     bubblewrap's, that show it, read-only
    shell         the program, with arguments, that a command is appended to: bash, so that a pipeline fails when any
                  part does, otherwise sh
    certificates  where its bundle of trusted certificate authorities is
    identity      a digest that changes when the system does, as far as its package database and its name tell
    root          the folder of its root file system, no link; None for the host's own system
    """

    arguments: tuple[str, ...]
    shell: tuple[str, ...]
    certificates: str | None
    identity: str
    root: Path | None


def load(name: str, base: Path) -> Image:
    """The image `name`: "host", or the folder of a root file system. What is made of it is kept in `base`.

    Changes of the system are seen within a minute. Raises `ConfigError` where there is no such image.
    """
    return _load(name, base, int(time.monotonic() / _FRESH_SECONDS))


@functools.lru_cache(maxsize=16)
def _load(name: str, base: Path, _period: int) -> Image:
    root = Path("/") if name == "host" else Path(name)
    if not (root.is_absolute() and (root / "usr/bin").is_dir() and os.path.lexists(root / "bin/sh")):
        raise ConfigError(
            f"there is no image {name}",
            details="" if name == "host" else f"{root} is not an absolute path of a folder with usr/bin and bin/sh",
            resolution='Name the folder of a root file system, or "host".',
        )
    root = root.resolve()  # from here on it stays the same folder, wherever a link may lead
    files: dict[str, Path | str] = dict(_host_etc() if name == "host" else _whole(root / "etc", ""))
    files |= _generated(root if name != "host" else None)
    etc = _snapshot(files, base)
    bundles = (bundle for bundle in _BUNDLES if (etc / bundle).exists())
    bash = next((f"/{path}" for path in ("bin/bash", "usr/bin/bash") if (root / path).exists()), None)
    return Image(
        arguments=(*_shown(root), "--ro-bind", str(etc), "/etc"),
        shell=(bash, "-o", "pipefail", "-c", "--") if bash else ("/bin/sh", "-c", "--"),
        certificates=next((f"/etc/{bundle}" for bundle in bundles), None),
        identity=_identity(root),
        root=None if name == "host" else root,
    )


def _shown(root: Path) -> Iterator[str]:
    if root == Path("/"):
        names = list(_HOST_FOLDERS)
    else:
        names = sorted({path.name for path in root.iterdir()} - _OURS)
        if (var := root / "var").is_dir() and not var.is_symlink():
            names += sorted(f"var/{path.name}" for path in var.iterdir() if path.name not in _OURS)
    for name in names:
        path = root / name
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), f"/{name}")
        elif path.is_dir():
            yield from ("--ro-bind", str(path), f"/{name}")


def _host_etc() -> Iterator[tuple[str, Path]]:
    for pattern in _HOST_ETC:
        for path in Path("/etc").glob(pattern):
            yield from _whole(path, str(path.relative_to("/etc")))


def _whole(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    """All that everybody may read, at and below `path`: name below /etc → where it is."""
    found = path.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_IXOTH and found.st_mode & stat.S_IROTH:
        for child in path.iterdir():
            yield from _whole(child, f"{name}/{child.name}".lstrip("/"))
    elif stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IROTH):
        yield name, path


def _generated(root: Path | None) -> dict[str, str]:
    """The files that say who and where one is; `root` is the image, unless it is the host's system."""
    users, groups = _SYSTEM_USERS, _SYSTEM_GROUPS
    if root is not None:
        users, groups = _lines(root / "etc/passwd", users), _lines(root / "etc/group", groups)
    return {
        "passwd": f"{users}worker:x:{UID}:{UID}:worker:{HOME}:/bin/sh\n",
        "group": f"{groups}worker:x:{UID}:\n",
        "hosts": "127.0.0.1 localhost worker\n::1 localhost ip6-localhost ip6-loopback\n",
        "hostname": "worker\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        "resolv.conf": f"nameserver {network.RESOLVER}\n",
    }


def _lines(path: Path, default: str) -> str:
    if not path.is_file():
        return default
    text = path.read_text("utf-8", "surrogateescape")
    return text if text.endswith("\n") or not text else f"{text}\n"


def _snapshot(files: dict[str, Path | str], base: Path) -> Path:
    """A folder with these files: paths are copied (links as links), text is written. An equal one is found again."""
    digest = hashlib.sha256()
    for name, source in sorted(files.items()):
        found = source if isinstance(source, str) else _signature(source)
        digest.update(f"{name}\0{found}\0".encode("utf-8", "surrogateescape"))
    folder = base / f"etc-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    _make_snapshot(files, folder)
    return folder


@_ETC
def _make_snapshot(files: dict[str, Path | str], folder: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    building.chmod(0o755)
    for name, source in files.items():
        target = building / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if isinstance(source, str):
            target.write_text(source, "utf-8", "surrogateescape")
            target.chmod(0o644)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
    os.sync()  # it is not looked at again
    try:
        building.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(building)


def _signature(path: Path) -> str:
    found = path.lstat()
    link = path.readlink() if stat.S_ISLNK(found.st_mode) else ""
    return f"{found.st_mode:o} {found.st_size} {found.st_mtime_ns} {link}"


def fingerprint(root: Path) -> str:
    """A digest of a root file system as it is now: every entry's path, kind, mode, owner, size and time of change.

    Nobody but who can set the clock can change a file and keep its time of change.
    """
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = os.path.join(folder, name)  # noqa: PTH118 - many thousand times
            facts = os.lstat(path)
            entry = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_size, facts.st_ctime_ns, facts.st_ino)
            digest.update(os.fsencode(path) + b"\0" + repr(entry).encode() + b"\n")
    return digest.hexdigest()


def _identity(root: Path) -> str:
    digest = hashlib.sha256(os.fsencode(root.resolve()))
    for name in (
        "etc/os-release",
        "var/lib/dpkg/status",
        "var/lib/rpm/rpmdb.sqlite",
        "lib/apk/db/installed",
        "usr",
        "usr/bin",
    ):
        path = root / name
        digest.update(f"{name} {_signature(path) if path.exists() else ''}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
