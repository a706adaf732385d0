"""Why a sandbox could not be made, from what bubblewrap said and the kernel's settings, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from byoci.errors import UnsealableError

_PROFILE: Final = (
    r"abi <abi/4.0>,\ninclude <tunables/global>\nprofile bwrap /usr/bin/bwrap flags=(unconfined) {\n  userns,\n}\n"
)
_APPARMOR: Final = (
    "Ubuntu allows user namespaces only to programs with a profile. Give bubblewrap one, once, as root:\n"
    f"    printf '{_PROFILE}' > /etc/apparmor.d/bwrap && apparmor_parser -r /etc/apparmor.d/bwrap"
)

# A setting of /proc/sys, the value that forbids sandboxes, and what to do then.
_SETTINGS: Final = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", _APPARMOR),
    ("kernel/unprivileged_userns_clone", "0", "Type, as root: sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "Type, as root: sysctl -w user.max_user_namespaces=10000"),
)
_CONTAINER: Final = (
    "A container has to allow user namespaces and an unmasked /proc: start it with --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined, or run byoci outside of it."
)

# What bubblewrap says, and what to do about it.
_WORDS: Final = (
    ("Unknown option", "Install bubblewrap 0.8 or newer."),
    (
        "Can't find source path",
        "Every user must be able to reach it: look at the permissions of all folders on the way.",
    ),
    ("Cannot allocate memory", "Free some memory, or raise the worker's memory limit."),
    ("No space left on device", "Free some space on that disk."),
    ("Can't mount proc", _CONTAINER),
)
_NAMESPACES: Final = ("namespace", "uid map", "gid map", "uid_map", "gid_map")


def explained(said: str) -> UnsealableError:
    """The error for a sandbox that was not made; `said` is what bubblewrap, or the stage before it, wrote."""
    return UnsealableError("the sandbox could not be made, so nothing was run", details=said, resolution=_remedy(said))


def _remedy(said: str) -> str:
    if any(word in said for word in _NAMESPACES):
        return next((what for name, forbids, what in _SETTINGS if _setting(name) == forbids), _CONTAINER)
    known = next((what for words, what in _WORDS if words in said), "")
    return (
        known
        or "See whether an ordinary user can do this, and mend what it says: bwrap --unshare-all --ro-bind / / true"
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""
