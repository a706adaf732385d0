"""The guard's mounts: what all of its sandboxes find in its stead, and overlays for a single one.

Like the guard it imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_MS_NOSUID, _MS_NODEV = 1 << 1, 1 << 2  # linux/mount.h
_MS_BIND, _MS_REC, _MS_SLAVE = 1 << 12, 1 << 14, 1 << 19
_MNT_DETACH = 2

# What no sandbox shows anything of. Each has a copy of all mounts, and bubblewrap reads their table at every step.
_UNSEEN = (b"/sys", b"/dev/pts", b"/dev/mqueue", b"/dev/hugepages")


def furnish(binds: list[tuple[int, str, str]]) -> None:
    """Give this process, which is root's, and its children mounts of their own, which are gone with them."""
    libc = _libc()
    if libc.unshare(_CLONE_NEWNS) != 0:
        if binds:
            raise OSError(ctypes.get_errno(), "unshare")
        return
    _mount(libc, b"none", b"/", None, _MS_REC | _MS_SLAVE)
    for place in _UNSEEN:
        while libc.umount2(place, _MNT_DETACH) == 0:  # there may be several, one above the other
            pass
    for fd, source, target in binds:
        # A descriptor from before belongs to the old mounts, of which nothing can be bound here.
        here = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if not os.path.samestat(os.fstat(here), os.fstat(fd)):
            raise OSError(errno.ESTALE, "it was replaced meanwhile", source)
        _mount(libc, b"/proc/self/fd/%d" % here, os.fsencode(target), None, _MS_BIND)
        os.close(here)
        os.close(fd)
    with contextlib.suppress(OSError):
        mode = os.stat("/dev/net/tun").st_mode  # noqa: PTH116 -- pathlib is not loaded here
        if mode & 0o666 != 0o666:  # udev opens it to everybody, but not every system has udev
            _mount(libc, b"none", b"/dev/net", b"tmpfs", 0)
            os.mknod("/dev/net/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
            os.chmod("/dev/net/tun", 0o666)  # noqa: PTH101, S103
            os.chmod("/dev/net", 0o755)  # noqa: PTH101, S103


def mount_overlays(base: str, mounts: list[tuple[str, str]]) -> None:
    """Enter a user namespace, as its root, and mount overlays that are gone with the processes in it."""
    libc = _libc()
    uid, gid = os.getuid(), os.getgid()
    os.chdir(base)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # until bubblewrap is there and asks for the same
    # Who has changed his user id must not write to his own /proc, unless he may be looked at.
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 -- pathlib is not loaded here
            file.write(text)
    for options, place in mounts:
        _mount(libc, b"overlay", os.fsencode(place), b"overlay", _MS_NOSUID | _MS_NODEV, os.fsencode(options))
    os.chdir("/")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(
    libc: ctypes.CDLL, source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None
) -> None:
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        raise OSError(ctypes.get_errno(), "mount", os.fsdecode(target))
