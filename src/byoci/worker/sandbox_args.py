"""bubblewrap's arguments for a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.worker import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from byoci.worker.images import Image

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NAMESPACES: Final = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-net",
    "--unshare-cgroup-try",
    "--disable-userns",
    "--die-with-parent",
    "--new-session",
)


def environment(shown: Image) -> dict[str, str]:
    """What a command in a worker finds in its environment, before the project's own."""
    variables = {
        "HOME": images.HOME,
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "USER": "worker",
        "LOGNAME": "worker",
        "TMPDIR": "/tmp",  # noqa: S108 -- the worker's own
        "CI": "true",
    }
    if shown.certificates:
        # Python's own installers bring a bundle along, which does not know a site's own authority.
        variables |= dict.fromkeys(
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE"), shown.certificates
        )
    return variables


def options(shown: Image, workspace: Path, variables: Mapping[str, str], memory: int) -> Iterator[str]:
    """Everything but the descriptors and the command. `memory` bounds, in bytes, what is kept in memory as files."""
    yield from NAMESPACES
    yield from ("--hostname", "worker", "--uid", str(images.UID), "--gid", str(images.UID))
    yield from shown.arguments
    yield from ("--proc", "/proc", "--dev", "/dev")
    size = str(memory)
    for folder, mode in (("/dev/shm", "1777"), ("/tmp", "1777"), (images.HOME, "0700")):  # noqa: S108
        yield from ("--perms", mode, "--size", size, "--tmpfs", folder)
    yield from ("--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp")  # noqa: S108
    yield from ("--bind", str(workspace), images.WORKSPACE, "--chdir", images.WORKSPACE)
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")
    yield "--clearenv"
    for name, value in variables.items():
        yield from ("--setenv", name, value)
