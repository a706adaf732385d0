"""A worker with a network reaches the public Internet, and nothing that is behind its host's back, however it tries."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import internet
import pytest

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from internet import Internet

pytestmark = [pytest.mark.worker, pytest.mark.slow, elsewhere.needs_root]

TUN = ("mount -t tmpfs none /dev/net", "mknod -m 666 /dev/net/tun c 10 200", "chmod 755 /dev/net")  # as udev makes it
ONLY_SLIRP = "mount --bind /dev/null $(realpath /usr/bin/pasta)"

# What runs on the host: a worker that runs what it reads.
RUN = """
import json, sys
from pathlib import Path
from byoci.worker import folders, tree
from byoci.worker.base import Limits, Setup
from byoci.worker.bubblewrap import BubblewrapWorker

state, network, setup_network, program = Path(sys.argv[1]) / "state", *map(json.loads, sys.argv[2:4]), sys.stdin.read()
worker, heard = BubblewrapWorker(state), []
try:
    setup = None
    if setup_network is not None:
        setup = Setup("python3 program.py", {"program.py": program.encode()}, network=setup_network)
    worker.prepare("host", setup, heard.append)
    if setup is None:
        workspace = worker.workspace()
        (workspace / "program.py").write_text(program)
        worker.run("python3 program.py", workspace, Limits(seconds=100.0), heard.append, network=network)
finally:
    worker.destroy()
    folders.session(folders.base_of(state)).close()
    tree.remove(folders.base_of(state).path)
sys.stdout.buffer.write(b"".join(heard))
"""

# What runs in the worker: tries addresses in every way, all at once, and prints those that answered.
TRY = """
import socket, struct, threading
PORT, ADDRESSES, ADDRESSES_6 = {port}, {addresses}, {addresses_6}
answered = set()

def attempt(how, address, *details):
    try:
        if how(address, *details) == b"reached":
            answered.add(address)
    except OSError:
        pass

def made(kind, family=socket.AF_INET):
    made = socket.socket(family, kind)
    made.settimeout(5)
    return made

def tcp(address, family=socket.AF_INET):
    with made(socket.SOCK_STREAM, family) as s:
        s.connect((address, PORT))
        return s.recv(100)

def tcp_on_the_link(address):
    with made(socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
        s.connect((address, PORT))
        return s.recv(100)

def tcp_by_a_detour(address):
    with made(socket.SOCK_STREAM) as s:  # a loose source route by way of a public address
        s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\\x83\\x07\\x04" + socket.inet_aton(address) + b"\\0")
        s.connect(({public!r}, PORT))
        return s.recv(100) if s.getpeername()[0] == address else b""

def udp(address, family=socket.AF_INET):
    with made(socket.SOCK_DGRAM, family) as s:
        s.sendto(b"?", (address, PORT))
        return s.recv(100)

def udp_on_the_link(address):
    with made(socket.SOCK_DGRAM) as s:
        # IP_PKTINFO names the interface to leave by
        eth0 = struct.pack("@i4s4s", socket.if_nametoindex("eth0"), bytes(4), bytes(4))
        s.sendmsg([b"?"], [(socket.IPPROTO_IP, 8, eth0)], 0, (address, PORT))
        return s.recv(100)

def fast_open(address):
    with made(socket.SOCK_STREAM) as s:
        s.sendto(b"?", socket.MSG_FASTOPEN, (address, PORT))
        return s.recv(100)

def mapped(address):
    return tcp("::ffff:" + address, socket.AF_INET6)

each_way = (tcp, tcp_on_the_link, tcp_by_a_detour, udp, udp_on_the_link, fast_open)
ways = [(how, address) for address in ADDRESSES for how in each_way]
ways += [(how, address, socket.AF_INET6) for address in ADDRESSES_6 for how in (tcp, udp)]
ways += [(mapped, address) for address in ADDRESSES]
threads = [threading.Thread(target=attempt, args=way) for way in ways]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(answered))
"""


@pytest.fixture(scope="module")
def small() -> Iterator[Internet]:
    with internet.internet() as made:
        yield made


def answering(addresses: tuple[str, ...], addresses_6: tuple[str, ...] = ()) -> str:
    return TRY.format(port=internet.PORT, addresses=addresses, addresses_6=addresses_6, public=internet.PUBLIC)


def heard(
    small: Internet, program: str, user: int | None, *first: str, network: bool = True, setup: bool | None = None
) -> str:
    before = [*small.prefix(), *elsewhere.prefix(user, first=(*TUN, *first))]
    with elsewhere.home_of(user) as home:
        words = [sys.executable, "-c", RUN, str(home), json.dumps(network), json.dumps(setup)]
        done = elsewhere.run(words, before, home, stdin=program)
    assert done.returncode == 0, done.stderr
    return done.stdout


ALL = (
    internet.PUBLIC, *internet.PRIVATE, internet.HOST, internet.HOST_TOO, internet.GATEWAY, "127.0.0.1", "0.0.0.0",
    "192.0.0.2", "192.0.0.3", "255.255.255.255", "224.0.0.1",
)  # fmt: skip
ALL_6 = (internet.PUBLIC_6, internet.PRIVATE_6, "2001:db8::1", "2001:db8::2", "::1", "fe80::1%eth0")
FOUND = f"{sorted((internet.PUBLIC, internet.GATEWAY))}\n"
USERS = [pytest.param(None, id="root"), pytest.param(elsewhere.STRANGER, id="an ordinary user")]
PROGRAMS = [pytest.param((), id="pasta"), pytest.param((ONLY_SLIRP,), id="slirp4netns")]


def test_the_host_itself_reaches_them_all(small: Internet) -> None:
    """Otherwise the tests below could not fail."""
    with elsewhere.home_of(None) as home:
        program = answering(
            (internet.PUBLIC, *internet.PRIVATE, internet.HOST, internet.HOST_TOO), (internet.PUBLIC_6,)
        )
        program = program.replace("eth0", "wan")
        done = elsewhere.run([sys.executable, "-c", program], small.prefix(), home)
    found = set(json.loads(done.stdout.replace("'", '"')))
    assert found == {internet.PUBLIC, *internet.PRIVATE, internet.HOST, internet.HOST_TOO, internet.PUBLIC_6}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("user", USERS)
def test_a_worker_reaches_what_is_public_and_nothing_else(
    small: Internet, user: int | None, program: tuple[str, ...]
) -> None:
    for name in ("pasta", "slirp4netns"):
        if not shutil.which(name):
            pytest.skip(f"missing: {name}")
    assert heard(small, answering(ALL, ALL_6), user, *program) == FOUND


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_worker_finds_names(small: Internet, program: tuple[str, ...]) -> None:
    said = heard(small, "import socket; print(socket.gethostbyname('www.example.com'))", None, *program)
    assert said == f"{internet.PUBLIC}\n"


def test_without_asking_for_it_there_is_none(small: Internet) -> None:
    assert heard(small, answering(ALL, ALL_6).replace("eth0", "lo"), None, network=False) == "[]\n"


@pytest.mark.parametrize(("network", "found"), [(True, FOUND), (False, "[]\n")])
def test_a_setup_has_what_it_was_given(small: Internet, network: bool, found: str) -> None:
    assert heard(small, answering(ALL, ALL_6), None, setup=network) == found


def test_it_cannot_open_what_is_closed(small: Internet) -> None:
    program = """
        import subprocess
        for line in (
            "ip xfrm policy flush", "ip xfrm policy deleteall", "ip route add 10.0.0.0/8 dev eth0",
            "ip link set eth0 down", "ip addr add 10.1.2.4/8 dev eth0",
            "unshare -n true", "unshare -rn true", "nsenter -t 1 -n true",
        ):
            if subprocess.run(line, shell=True, capture_output=True).returncode == 0:
                print("allowed:", line)
        """
    assert heard(small, textwrap.dedent(program), None) == ""
