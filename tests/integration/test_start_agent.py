"""`start-slave-via-ssh` over a real sshd: the jar, the bytes, and what it says where the agent cannot be had.

What stands for Java copies its input to its output, so that the stream can be seen.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import json
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from agent_sshd import Sshd

from loopback import served

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

PROGRAM = str(Path(sys.executable).with_name("start-slave-via-ssh"))
BYOCI = str(Path(sys.executable).with_name("byoci"))
BANNER = "Welcome!\n"
JAVA = """#!/bin/sh
[ "$2" != -version ] || exit 0
echo "java $*" >&2
exec cat
"""
CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[controller]
engine = "jenkins"
url = "{url}"
[agent.big]
host = "127.0.0.1"
port = {port}
user = "{user}"
host_keys = ["{key}"]
authorized_keys = "{authorized}"
folder = "{folder}"
java = {java}
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Launcher:
    """A definition with an agent, and the program that starts it."""

    def __init__(self, folder: Path, url: str, sshd: Sshd) -> None:
        self.sshd = sshd
        self.files = folder / "files"
        self.root = folder / "agent"
        self.config = folder / "byoci.toml"
        self.url = url
        self.java = folder / "java"
        self.java.write_text(JAVA)
        self.java.chmod(0o755)
        self.serve(b"PK the first")
        self.write()

    def serve(self, jar: bytes) -> None:
        (self.files / "jnlpJars").mkdir(parents=True, exist_ok=True)
        (self.files / "jnlpJars/slave.jar").write_bytes(jar)

    def write(self, **other: str) -> None:
        values = {
            "url": self.url,
            "port": str(self.sshd.port),
            "user": getpass.getuser(),
            "key": " ".join((self.sshd.folder / "host.pub").read_text().split()[:2]),
            "authorized": str(self.sshd.folder / "authorized"),
            "folder": str(self.root),
            "java": json.dumps([str(self.java), "-Xmx1g"]),
        }
        self.config.write_text(CONFIG.format(**(values | other)))

    def byoci(self, *words: str) -> None:
        run = subprocess.run([BYOCI, "--config", self.config, *words], capture_output=True, check=False, text=True)
        assert run.returncode == 0, run.stderr

    def start(self, sent: bytes = b"", name: str = "big") -> tuple[int, bytes, str]:
        """Exit code, standard output and standard error."""
        done = subprocess.run([PROGRAM, name], input=sent, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr.decode()

    def refused(self, *words: str) -> None:
        """It ends, says these words, and has written nothing."""
        code, written, said = self.start(b"x")
        assert (code, written) == (75, b""), said
        for word in words:
            assert word in said


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BYOCI_CONFIG", str(tmp_path / "byoci.toml"))
    sshd = Sshd(tmp_path / "sshd", BANNER)
    (tmp_path / "files").mkdir()
    try:
        # At the addresses that a Jenkins has for its own.
        files = functools.partial(_Quiet, directory=tmp_path / "files")
        with served(ThreadingHTTPServer(("127.0.0.1", 0), files)) as url:
            made = Launcher(tmp_path, url, sshd)
            yield made
    finally:
        sshd.cut()
        sshd.stop()


def test_the_jar_of_the_jenkins_is_started_and_its_bytes_pass(launcher: Launcher) -> None:
    launcher.refused("the controller's key is missing", "byoci host update-agent-access")
    launcher.byoci("host", "update-agent-access")
    jar = launcher.root / "testing/remoting.jar"
    bytes_ = bytes(range(256)) * 3000
    code, written, said = launcher.start(bytes_)
    assert code == 0
    assert written == BANNER.encode() + bytes_  # the agent's own shell was there first
    assert f"SHA-256 {hashlib.sha256(b'PK the first').hexdigest()}" in said
    assert said.endswith("java -Xmx1g -jar remoting.jar\n")
    assert jar.read_bytes() == b"PK the first"

    before = jar.stat()
    assert "putting" not in launcher.start()[2]
    assert (jar.stat().st_ino, jar.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    newer = b"PK the second" * 100_000
    launcher.serve(newer)
    with jar.open("rb") as running:  # what is running keeps its own
        assert launcher.start(b"hello")[1] == BANNER.encode() + b"hello"
        assert running.read() == b"PK the first"
    assert jar.read_bytes() == newer
    assert not list(jar.parent.glob(".*"))


def test_what_is_wrong_is_told_on_standard_error_before_a_byte_is_written(launcher: Launcher) -> None:
    launcher.byoci("host", "update-agent-access")
    where = f"127.0.0.1:{launcher.sshd.port}"
    assert launcher.start(name="small")[0] == 2

    launcher.write(java='["no-java-here"]')
    launcher.refused("has no Java that can be started", "no-java-here", "agent.NAME.java")
    launcher.write(folder=f"{launcher.java}/in-a-file")
    launcher.refused("the remoting jar cannot be put into", "Not a directory")
    launcher.write()

    launcher.serve(b"<html>")
    launcher.refused("the remoting jar cannot be fetched", "There is none at jnlpJars/slave.jar")
    launcher.write(url="http://127.0.0.1:9/")
    launcher.refused("the remoting jar cannot be fetched", "does not answer", "127.0.0.1:9")
    launcher.write()
    launcher.serve(b"PK")

    (launcher.sshd.folder / "authorized").write_text("")
    launcher.refused(f"{where} does not accept the key controller-key", "Permission denied")
    launcher.sshd.stop()
    launcher.sshd.start("host2")
    launcher.refused(f"the host key of {where} is none of those that are pinned", "somebody may be in its place")
    launcher.sshd.stop()
    launcher.refused(f"{where} cannot be reached")
    launcher.sshd.start("host")
