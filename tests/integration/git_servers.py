"""Real servers for git and bzr on loopback, which end with the test: smart and dumb http, and ssh."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from loopback import served

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Http:
    """A running http server; `logins` are the Authorization headers it was shown."""

    url: str
    logins: list[str] = field(default_factory=list)


class _Backend(BaseHTTPRequestHandler):
    """One request to `git http-backend`, as a web server hands it on."""

    protocol_version = "HTTP/1.1"
    root: Path
    want: str  # the Authorization header that lets in; "" lets everybody in
    logins: list[str]
    lose: Path | None

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.body()
        if self.lose and self.lose.with_name("gone").exists():
            self.close_connection = True
            return
        given = self.headers.get("Authorization", "")
        self.logins.append(given)
        if self.want and given != self.want:
            self.reply({"Status": "401 Unauthorized", "WWW-Authenticate": 'Basic realm="test"'}, b"")
            return
        done = subprocess.run(["git", "http-backend"], env=self.cgi(), input=body, capture_output=True, check=True)
        if self.lose and self.path.endswith("/git-receive-pack") and self.lose.exists():
            self.lose.rename(self.lose.with_name(self.lose.read_text()))
            self.close_connection = True
            return
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        self.reply(dict(line.split(": ", 1) for line in head.decode().split("\r\n")), content)

    def reply(self, headers: dict[str, str], content: bytes) -> None:
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().strip(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def cgi(self) -> dict[str, str]:
        parts = urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def smart_http(root: Path, login: str = "", lose: Path | None = None) -> Iterator[Http]:
    """`git http-backend` for all repositories below `root`; with `login` ("user:password") only for him.

    lose  a file: where it is there, a push is carried out and not answered. It gets the name then that stands in it,
          and as long as there is one called `gone`, nothing is answered
    """
    served = Http("")
    want = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
    with _running(
        type("Handler", (_Backend,), {"root": root, "want": want, "logins": served.logins, "lose": lose})
    ) as served.url:
        yield served


@contextmanager
def dumb_http(root: Path) -> Iterator[Http]:
    """A plain file server, from which git walks a repository object by object."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **keywords: object) -> None:
            super().__init__(*args, directory=str(root), **keywords)  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with _running(Handler) as url:
        yield Http(url)


@contextmanager
def redirecting_http(url: str) -> Iterator[Http]:
    """A server that sends everybody to the same path below another URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{url}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with _running(Handler) as own:
        yield Http(own)


@contextmanager
def _running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with served(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield url.removesuffix("/")


@dataclass(frozen=True)
class Ssh:
    """A running sshd that lets this user in with `key`; `config` is what his ssh needs for it, host key pinned."""

    url: str
    host: str
    config: Path
    key: Path


_BZR = """\
import os, subprocess, sys, threading
env = {name: value for name, value in os.environ.items() if name != "BRZ_HOME"} | {"BRZ_LOG": os.devnull}
argv = [sys.executable, "-m", "breezy", "--no-plugins", *sys.argv[1:]]
if os.path.exists(GONE):
    sys.exit("gone")
if not os.path.exists(LOSE):
    os.execve(sys.executable, argv, env)
bzr = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
moved = threading.Event()
def ask():
    while chunk := os.read(0, 65536):
        if b"Branch.set_last_revision" in chunk:
            moved.set()
        bzr.stdin.write(chunk)
        bzr.stdin.flush()
    bzr.stdin.close()
threading.Thread(target=ask, daemon=True).start()
while chunk := os.read(bzr.stdout.fileno(), 65536):
    if moved.is_set():
        os.rename(LOSE, os.path.join(os.path.dirname(LOSE), open(LOSE).read()))
        break
    os.write(1, chunk)
os._exit(0)
"""


@contextmanager
def sshd(folder: Path) -> Iterator[Ssh]:
    """The real sshd on a free port, for the user that runs the tests."""
    program = _sshd(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "sshd_config").open("a") as settings:
        settings.write(f"ListenAddress 127.0.0.1\nPort {port}\n")
    (folder / "config").write_text(
        f"Host git-host\n  HostName 127.0.0.1\nHost *\n  Port {port}\n{_client(folder, f'[127.0.0.1]:{port}')}"
    )
    with (folder / "log").open("wb") as log:
        argv = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(argv, stderr=log, process_group=0)
    try:
        _await(port, server, folder / "log")
        yield Ssh(f"ssh://127.0.0.1:{port}", "git-host", folder / "config", folder / "user")
    finally:
        server.terminate()
        server.wait(10)


def ssh_without_network(folder: Path) -> str:
    """A configuration for ssh with which it starts an sshd itself to talk to, as git-host; `bzr` is a program there.

    Where there is a file `lose` in the folder, trunk moves and its client is not told: the connection ends. The file
    gets the name then that stands in it, and as long as there is one called `gone`, no connection comes to anything.
    """
    program = _sshd(folder)
    (folder / "bzr").write_text(
        f"#!{sys.executable}\nLOSE, GONE = {str(folder / 'lose')!r}, {str(folder / 'gone')!r}\n{_BZR}"
    )
    (folder / "bzr").chmod(0o755)
    key = folder / "user.pub"
    key.write_text(f'command="PATH={folder}:$PATH sh -c \\"$SSH_ORIGINAL_COMMAND\\"" {key.read_text()}')
    return f"Host git-host\n  ProxyCommand {program} -i -f {folder}/sshd_config\n{_client(folder, 'git-host')}"


def _sshd(folder: Path) -> str:
    """Keys and settings of an sshd; its program."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("missing: sshd")
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's sshd shuts its children in
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/user.pub\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"AcceptEnv GIT_PROTOCOL\n"
    )
    return program


def _client(folder: Path, name: str) -> str:
    """What a client needs to log in, for a server that is known by `name`."""
    kind, key, *_ = (folder / "host.pub").read_text().split()
    (folder / "known").write_text(f"{name} {kind} {key}\n")
    return (
        f"  User {getpass.getuser()}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n  HostKeyAlias {name}\n"
    )


def _await(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(250):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.02)
    pytest.skip(f"sshd does not start here: {log.read_text()[-300:]}")
