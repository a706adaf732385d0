"""bubblewrap's arguments for a worker, and the stage before it where a worker needs one.

Descriptors of the started program: 1 and 2 output, 3 arguments, 4 the filter of system calls; for a stage 5, where it
tells its pid, and 6, where it waits; then the credentials.
"""

from __future__ import annotations

import functools
import os
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from byoci.errors import UsageError
from byoci.worker import images, network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from byoci.worker.base import Limits

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CREDENTIALS: Final = "/run/credentials"
BELOW: Final = "/run/layer"
_NAMESPACES: Final = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_SEALED: Final = ("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
_DESCRIPTORS: Final = ("--args", "3", "--seccomp", "4", "--json-status-fd", "{status}", "--args", "{last}")
_STAGE: Final = (
    "--unshare-user",
    "--uid",
    "0",
    "--gid",
    "0",
    "--cap-add",
    "ALL",
    "--die-with-parent",
    "--dev-bind",
    "/",
    "/",
)


@dataclass(frozen=True, slots=True)
class Overlay:
    """A folder that shows `lowers` below `upper`, which takes all changes; `work` is the kernel's, on the same disk.

    lowers  what is in an earlier one hides what is in a later one
    merged  where it is mounted; it may be `upper` itself
    """

    lowers: tuple[Path, ...]
    upper: Path
    work: Path
    merged: Path


@dataclass(frozen=True, slots=True)
class Box:
    """A sandbox and the command in it.

    workspace    the folder that the command works in
    home         the folder that is its home; None for an empty one in memory
    credentials  name → content, as files in `CREDENTIALS`
    below        a folder that is shown, read-only, as `BELOW`
    overlays     mounted first; `workspace` and `home` may lie in them
    scratch      a folder above all paths of `overlays`
    by_stage     whether a stage mounts them, since the guard may not
    stdin        the reading end of a pipe that the command reads; None for nothing
    """

    image: images.Image
    command: str
    limits: Limits
    workspace: Path
    home: Path | None = None
    network: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    below: Path | None = None
    overlays: tuple[Overlay, ...] = ()
    scratch: Path | None = None
    by_stage: bool = False
    stdin: int | None = None

    @property
    def staged(self) -> bool:
        """Whether a program has to prepare namespaces before bubblewrap makes the worker's."""
        return self.network or self.by_stage


def command(box: Box, bwrap: str, *, wait: bool) -> list[str]:
    """What to start; "{status}" and the like stand for descriptors that the guard gives.

    wait  the first process in the sandbox waits before it starts the command
    """
    block = ("--block-fd", "{block}") if wait else ()
    inner = [bwrap, *_DESCRIPTORS, *block, "--", *box.image.shell, box.command]
    if not box.staged:
        return inner
    unshare = ("--unshare-net",) if box.network else ()
    return [bwrap, *_STAGE, *unshare, "--", "/bin/sh", "-euc", _stage(box), "stage", *inner]


def _stage(box: Box) -> str:
    """A script that mounts the overlays and closes the network, and turns into its arguments.

    It runs as root of a user namespace, which outside is the workers' ordinary user, and sees the host's files. In a
    network namespace it tells its pid, so that the network can be connected, and waits until it is.
    """
    lines = [f"export PATH={PATH}"]
    if box.network:
        lines += ["echo $$ >&5", "read -r _ <&6", f"ip -batch - <<'END'\n{network.closing()}\nEND"]
    lines.append("exec 5>&- 6<&-")
    if box.by_stage:
        lines.append(f"cd {shlex.quote(str(box.scratch))}")
        lines += [f"mount -t overlay overlay -o {options} {merged}" for options, merged in mounts(box)]
    return "\n".join([*lines, 'exec "$@"'])


def mounts(box: Box) -> list[tuple[str, str]]:
    """The overlays, as options and place: paths from `box.scratch`, below which no name needs to be quoted."""
    return [(_overlay(overlay, box.scratch), os.path.relpath(overlay.merged, box.scratch)) for overlay in box.overlays]


def _overlay(overlay: Overlay, base: Path | None) -> str:
    lowers = ":".join(os.path.relpath(path, base) for path in overlay.lowers)
    upper, work = (os.path.relpath(path, base) for path in (overlay.upper, overlay.work))
    return f"lowerdir={lowers},upperdir={upper},workdir={work},userxattr"


def options(box: Box) -> bytes:
    """What bubblewrap reads from its descriptor for arguments: words that end with NUL.

    Raises `UsageError` where a word has a NUL within, and so would be two.
    """
    words = [*_fixed(box.image, box.network, in_memory(box), box.limits.memory), *_options(box)]
    text = "\0".join((*words, ""))
    if text.count("\0") != len(words):
        raise UsageError("a variable or a path for a worker has a NUL character in it")
    return os.fsencode(text)


@functools.lru_cache(maxsize=64)
def _fixed(image: images.Image, network: bool, memory: tuple[str, ...], size: int) -> tuple[str, ...]:
    """The first of the options, which are alike from one worker to the next."""
    words = [*_NAMESPACES, *(() if network else ("--unshare-net",)), *_SEALED]
    words += ("--hostname", "worker", "--uid", str(images.UID), "--gid", str(images.UID), *image.arguments)
    words += ("--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp")  # noqa: S108
    for folder in memory:
        words += ("--perms", "0700" if folder == images.HOME else "1777", "--size", str(size), "--tmpfs", folder)
    return tuple(words)


def _options(box: Box) -> Iterator[str]:
    if box.home is not None:
        yield from ("--bind", str(box.home), images.HOME)
    if box.below is not None:
        yield from ("--ro-bind", str(box.below), BELOW)
    for number, name in enumerate(box.credentials, first_credential(box)):
        yield from ("--perms", "0400", "--file", str(number), f"{CREDENTIALS}/{name}")
    yield from ("--chdir", images.WORKSPACE, "--clearenv")
    for name, value in (_environment(box) | dict(box.environment)).items():
        yield from ("--setenv", name, value)


def last_options(box: Box) -> list[str]:
    """What bubblewrap reads after `options`, once its limits are set; without them it cannot enter the workspace."""
    return ["--bind", str(box.workspace), images.WORKSPACE, "--remount-ro", "/dev", "--remount-ro", "/"]


def in_memory(box: Box) -> tuple[str, ...]:
    """The folders that a worker sees and that are kept in memory."""
    folders = ("/dev/shm", "/tmp")  # noqa: S108 -- the worker's own
    return folders if box.home is not None else (*folders, images.HOME)


def first_credential(box: Box) -> int:
    """The number of the first credential's descriptor."""
    return 7 if box.staged else 5


def _environment(box: Box) -> dict[str, str]:
    variables = {
        "HOME": images.HOME,
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "USER": "worker",
        "LOGNAME": "worker",
        "TMPDIR": "/tmp",  # noqa: S108 -- the worker's own
        "CI": "true",
    }
    if box.image.certificates:
        # Python's own installers bring a bundle along, which does not know a site's own authority.
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
        variables |= dict.fromkeys(names, box.image.certificates)
    if box.credentials:
        variables["CREDENTIALS_DIRECTORY"] = CREDENTIALS
    return variables
