"""A small Internet within this machine: two network namespaces, a host's and that of everybody else.

The host is behind addresses of the documentation's ranges, as behind public ones, has a loopback with services, and a
name server. The other side has servers at public and at private addresses, all of which the host itself can reach.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PUBLIC: Final = "203.0.113.5"
PRIVATE: Final = (
    "10.1.2.3", "100.64.1.1", "169.254.169.254", "172.16.9.9", "172.31.255.254", "192.168.7.7", "198.18.0.1",
)  # fmt: skip
HOST: Final = "198.51.100.2"  # the host's own
HOST_TOO: Final = "203.0.113.77"
GATEWAY: Final = "198.51.100.1"
PUBLIC_6: Final = "2001:db8:1::5"
PRIVATE_6: Final = "fd00::5"
PORT: Final = 4711

# Answers every connection and datagram, and every question for a name with PUBLIC. A socket for each address, so that
# an answer comes from where the question went.
_SERVE: Final = f"""
import contextlib, json, socket, subprocess, threading

def stream(server):
    while True:
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            connection.sendall(b"reached")

def datagrams(server):
    while True:
        data, sender = server.recvfrom(2048)
        server.sendto(b"reached", sender)

def names(server):
    while True:
        data, sender = server.recvfrom(2048)
        question = data[12 : data.index(b"\\0", 12) + 5]
        answer = b"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04" + socket.inet_aton({PUBLIC!r})
        answers = [answer] if question[-4:-2] == b"\\0\\x01" else []
        head = data[:2] + b"\\x81\\x80\\0\\x01\\0" + bytes([len(answers)]) + b"\\0\\0\\0\\0"
        server.sendto(head + question + b"".join(answers), sender)

def serve(how, kind, address, port):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(50)
    threading.Thread(target=how, args=(server,)).start()

for interface in json.loads(subprocess.check_output(["ip", "-json", "addr"])):
    for address in interface["addr_info"]:
        if address["scope"] != "link":
            serve(stream, socket.SOCK_STREAM, address["local"], {PORT})
            serve(datagrams, socket.SOCK_DGRAM, address["local"], {PORT})
        if address["local"] == {PUBLIC!r}:
            serve(names, socket.SOCK_DGRAM, address["local"], 53)
print("up", flush=True)
"""


@dataclass(frozen=True)
class Internet:
    """Both sides, as long as the context that made it."""

    host: int
    others: int

    def prefix(self, resolver: str = PUBLIC) -> list[str]:
        """What to put before a command to run it on the host."""
        lines = [
            "file=$(mktemp); chmod 644 $file",
            f"echo nameserver {resolver} > $file",
            "mount --bind $file $(realpath /etc/resolv.conf); rm $file",
            'exec "$@"',
        ]
        return [*_inside(self.host), "unshare", "--mount", "sh", "-euc", "\n".join(lines), "sh"]


def _inside(pid: int) -> list[str]:
    return ["nsenter", f"--target={pid}", "--net"]


def _set_up(pid: int, lines: Sequence[str]) -> None:
    subprocess.run([*_inside(pid), "ip", "-batch", "-"], input="\n".join(lines), check=True, text=True)


@contextmanager
def internet() -> Iterator[Internet]:
    """Make it; needs root."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    try:
        host, others = (start("unshare", "--net", "sh", "-c", "echo up; exec sleep 1000") for _ in range(2))
        for process in (host, others):
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
        _connect(host.pid, others.pid)
        for process in (host, others):
            server = start(*_inside(process.pid), sys.executable, "-c", _SERVE)
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
        yield Internet(host.pid, others.pid)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _connect(host: int, others: int) -> None:
    _set_up(host, ["link set lo up", f"link add wan type veth peer name wan netns {others}"])
    _set_up(others, [
        "link set lo up", "link set wan up", f"addr add {GATEWAY}/24 dev wan",
        *(f"addr add {address}/32 dev lo" for address in (PUBLIC, *PRIVATE)),
        f"route add {HOST_TOO}/32 via {HOST}",
        "addr add 2001:db8::1/64 dev wan nodad", f"addr add {PUBLIC_6}/128 dev lo", f"addr add {PRIVATE_6}/128 dev lo",
    ])  # fmt: skip
    _set_up(host, [
        "link set wan up", f"addr add {HOST}/24 dev wan", f"addr add {HOST_TOO}/32 dev lo",
        f"route add default via {GATEWAY}",
        "addr add 2001:db8::2/64 dev wan nodad", "route add default via 2001:db8::1",
    ])  # fmt: skip
