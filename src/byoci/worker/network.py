"""A network for a worker: user-mode, by pasta or slirp4netns, with everything closed that is not the public Internet.

The programs have no firewall, and routes do not make one: for a socket that is bound to the interface, or that names it
with a packet, the kernel takes any address without a route for one on the link. So the kernel's transform policies
(`ip xfrm policy`) refuse the packets; they hold for every packet that is about to leave the worker's network namespace.
They are set before the worker's code starts, and that has no right to change them. Only IPv4 is connected.
"""

from __future__ import annotations

import json
import shutil
from typing import Final

from byoci import effects, proc
from byoci.errors import UnavailableError, UnsealableError

# One network for both programs, in the range that IETF protocols keep for themselves (RFC 6890): it is nobody's.
_SUBNET: Final = "192.0.0.0/24"
_ADDRESS: Final = "192.0.0.100"
_GATEWAY: Final = "192.0.0.2"
RESOLVER: Final = "192.0.0.3"
"""Where a worker with network finds its name server; the programs hand its queries on to the host's own."""
INTERFACE: Final = "eth0"

_CLOSED: Final = (
    "0.0.0.0/8",  # this host
    "10.0.0.0/8",  # private, as are 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918)
    "100.64.0.0/10",  # shared, behind carriers' NAT (RFC 6598)
    "127.0.0.0/8",  # loopback, should it be sent out
    "169.254.0.0/16",  # link-local, with the metadata services of clouds
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks (RFC 2544)
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    _SUBNET,
)

_ADDRESSES = effects.declare("worker.addresses", "`ip` is asked for this host's own addresses", half=effects.READ_ONLY)


def program() -> str:
    """The path of the program that connects workers.

    Raises `UnsealableError` where none is installed, or what closes the private ranges is missing.
    """
    if shutil.which("ip", path=proc.SEARCH_PATH) is None:
        raise UnsealableError(
            "a worker's network cannot be closed off",
            details="the program ip is missing",
            resolution="Install the system package iproute2.",
        )
    for name in ("pasta", "slirp4netns"):
        found = shutil.which(name, path=proc.SEARCH_PATH)
        if found is not None:
            return found
    raise UnsealableError(
        "a worker's network cannot be made",
        details="neither pasta nor slirp4netns is installed",
        resolution="Install the package passt or slirp4netns, or set tests.network and setup.network to false.",
    )


def connecting(path: str, pid: int, ready: int) -> list[str]:
    """The command that connects the network namespace of process `pid`, and writes to descriptor `ready` then."""
    if path.endswith("pasta"):
        closed = ("--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none")
        unasked = ("--no-dhcp", "--no-ndp", "--no-dhcpv6", "--no-ra")
        addresses = ("-a", _ADDRESS, "-n", "24", "-g", _GATEWAY, "--dns-forward", RESOLVER)
        mode = ("--foreground", "--quiet", "--ipv4-only", "--config-net", "--ns-ifname", INTERFACE)
        return [path, *mode, *addresses, *closed, *unasked, "--pid", f"/proc/self/fd/{ready}", str(pid)]
    safe = ("--disable-host-loopback", "--enable-sandbox", "--enable-seccomp")
    return [
        path,
        "--configure",
        "--cidr",
        _SUBNET,
        "--mtu",
        "65520",
        *safe,
        "--ready-fd",
        str(ready),
        str(pid),
        INTERFACE,
    ]


def closing() -> str:
    """What `ip -batch` reads, in the network namespace of a worker, to close all that a worker may not reach."""
    rule = "xfrm policy add dir out dst {} priority {} action {}"
    lines = [
        rule.format(f"{RESOLVER}/32", 1, "allow"),
        rule.format("::1/128", 1, "allow"),
        rule.format("::/0", 2, "block"),
    ]
    return "\n".join([*lines, *(rule.format(addresses, 2, "block") for addresses in (*_CLOSED, *_own_addresses()))])


@_ADDRESSES
def _own_addresses() -> list[str]:
    """The host's own IPv4 addresses, whatever range they are in: what listens on them counts on being inside.

    Raises `UnavailableError` where there is no IPv4 route to the Internet.
    """
    ip = ["ip", "-json", "-4", "route", "show"]
    environment = proc.base_environment() | {"PATH": proc.SEARCH_PATH}
    if not json.loads(proc.run([*ip, "default"], env=environment).text or "[]"):
        raise UnavailableError(
            "workers cannot be given a network",
            details="this host has no IPv4 default route",
            resolution="Connect the host, or set tests.network and setup.network to false.",
        )
    routes = json.loads(proc.run([*ip, "table", "local", "type", "local"], env=environment).text or "[]")
    return [str(route["dst"]) for route in routes if not str(route["dst"]).startswith("127.")]
