"""The system calls that code in a worker may not make, as a filter for the kernel.

The list holds what container engines refuse by default to code without capabilities; it is there to keep the kernel's
attack surface small, since none of these could reach beyond the sandbox by right. What asks for one of them is told
EPERM, or ENOSYS where programs try a newer call first and fall back. Programs of another architecture are killed.
"""

from __future__ import annotations

import errno
import functools
import os
from typing import TYPE_CHECKING, Final

from byoci.errors import UnsealableError

if TYPE_CHECKING:
    import pyseccomp

_REFUSED: Final = (  # noqa: SIM905 -- a list literal would be four times as long
    # kernel keyrings belong to no namespace
    "add_key keyctl request_key "
    # mounts and namespaces
    "mount umount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick unshare setns "
    # the machine: modules, kernels, swap, clocks, quotas, ports, names
    "init_module finit_module delete_module create_module get_kernel_syms query_module kexec_load kexec_file_load "
    "reboot swapon swapoff acct quotactl nfsservctl sysfs _sysctl ustat uselib vhangup syslog "
    "settimeofday stime clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex "
    "iopl ioperm vm86 vm86old modify_ldt lookup_dcookie sethostname setdomainname "
    # large parts of the kernel that tests seldom need, and that have let code out before
    "bpf perf_event_open userfaultfd vmsplice kcmp open_by_handle_at fanotify_init fanotify_mark "
    "move_pages migrate_pages mbind set_mempolicy"
).split()

# Calls by number, for those younger than some libseccomp: from 424 on a number means the same on every architecture.
_REFUSED_NUMBERS: Final = (438, 440, 442, 443, 450)
"""pidfd_getfd, process_madvise, mount_setattr, quotactl_fd, set_mempolicy_home_node"""
_UNKNOWN_NUMBERS: Final = (425, 426, 427, 435, 447, *range(457, 600))
"""io_uring (three calls), clone3 (its flags are out of a filter's reach), memfd_secret, and all that is too young for
anybody to depend on, which begins at statmount"""

_NEW_NAMESPACES: Final = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h)"""
_TERMINAL_INJECTION: Final = (0x5412, 0x541C)
"""TIOCSTI, TIOCLINUX (asm-generic/ioctls.h)"""
_AF_NETLINK: Final = 16
_FAMILIES: Final = (1, 2, 10, _AF_NETLINK)
"""AF_UNIX, AF_INET, AF_INET6; netlink only for routes (protocol 0), which libc's resolver asks for"""
_HIGHEST_FAMILY: Final = 63
_INT: Final = (
    0xFFFFFFFF  # the kernel looks at the lower half only, so the filter must not be led astray by the upper one
)


@functools.cache
def program() -> bytes:
    """The filter as the kernel takes it. Made once a process.

    Raises `UnsealableError` where libseccomp or its binding is missing.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise UnsealableError(
            "a worker's system calls cannot be filtered",
            details=str(error),
            resolution="Install the system package libseccomp2, and byoci with its extra: pip install 'byoci[worker]'.",
        ) from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)  # a binary tree instead of a chain
    _refuse(rules)
    _refuse_by_argument(rules)
    fd = os.memfd_create("byoci-seccomp")
    with os.fdopen(fd, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _refuse(rules: pyseccomp.SyscallFilter) -> None:
    import pyseccomp

    refuse, unknown = pyseccomp.ERRNO(errno.EPERM), pyseccomp.ERRNO(errno.ENOSYS)
    native = pyseccomp.system_arch()
    numbers = {pyseccomp.resolve_syscall(native, name) for name in _REFUSED}
    # Negative: libseccomp does not know the call, or this architecture does not have it.
    for number in sorted({n for n in numbers if n >= 0} | set(_REFUSED_NUMBERS)):
        rules.add_rule(refuse, number)
    for number in _UNKNOWN_NUMBERS:
        rules.add_rule(unknown, number)


def _refuse_by_argument(rules: pyseccomp.SyscallFilter) -> None:
    from pyseccomp import EQ, ERRNO, GT, MASKED_EQ, NE, Arg

    refuse, no_family = ERRNO(errno.EPERM), ERRNO(errno.EAFNOSUPPORT)
    flags = 1 if os.uname().machine == "s390x" else 0  # which argument of clone holds them
    for flag in _NEW_NAMESPACES:
        rules.add_rule(refuse, "clone", Arg(flags, MASKED_EQ, flag, flag))
    for request in _TERMINAL_INJECTION:
        rules.add_rule(refuse, "ioctl", Arg(1, MASKED_EQ, _INT, request))
    for family in range(_HIGHEST_FAMILY + 1):
        if family not in _FAMILIES:
            rules.add_rule(no_family, "socket", Arg(0, EQ, family))
    rules.add_rule(no_family, "socket", Arg(0, GT, _HIGHEST_FAMILY))
    rules.add_rule(no_family, "socket", Arg(0, EQ, _AF_NETLINK), Arg(2, NE, 0))
