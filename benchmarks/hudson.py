"""Hudson 1.395 and 3.3.2, which Jenkins comes from, as servers on loopback: for comparison, where Java is at hand.

Their wars are fetched by Maven, by their coordinates, and are what their digests say; they are kept in `.cache/hudson`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.runner import Tell

FOLDER: Final = Path(__file__).parents[1] / ".cache/hudson"
_PROGRAMS: Final = ("mvn", "java", "javac", "jar")
_INSTALL: Final = "apt-get install maven default-jdk-headless"
_FETCH_PATIENCE: Final = 300.0
_START_PATIENCE: Final = 90.0


@dataclass(frozen=True, slots=True)
class Release:
    """What Maven calls a war, the SHA-256 of its bytes, and the newest Java that it knows ("": any)."""

    version: str
    artifact: str
    digest: str
    java: str = ""

    @property
    def war(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"hudson-war-{self.version}.war"


OLD: Final = Release(
    "1.395",
    "org.jvnet.hudson.main:hudson-war:1.395:war",
    "20b7099d04a97462f45aefbf533f6c03f238c553ab82cec5aeda38c2825a8af0",
)
LAST: Final = Release(
    "3.3.2",
    "org.eclipse.hudson:hudson-war:3.3.2:war",
    "29db3f39025edbd547f445a9d46b9a9eff9ddf1411cde2adc8b52b3503f9536c",
    java="1.8.0_300",
)
_OPENED: Final = {
    "java.base": ("lang", "lang.ref", "lang.reflect", "util", "util.zip", "util.concurrent", "text", "io", "net"),
    "java.desktop": ("awt", "awt.font"),
}
# It is loaded before Hudson, which refuses to run on a Java that it does not know, and which would tell the whole
# network by datagrams where it is.
_AGENT: Final = """import java.net.DatagramSocket;
import java.net.DatagramSocketImpl;
import java.net.SocketException;

public class Before {
    public static void premain(String version) throws Exception {
        System.setProperty("java.vm.vendor", "Sun Microsystems Inc.");
        if (version != null) {
            System.setProperty("java.version", version);
        }
        DatagramSocket.setDatagramSocketImplFactory(() -> Before.<RuntimeException>refuse());
    }

    @SuppressWarnings("unchecked")
    private static <E extends Exception> DatagramSocketImpl refuse() throws E {
        throw (E) new SocketException("there are no datagrams here");
    }
}
"""
# No port for agents: it would be open to the whole network. 3.3.2 reads that from a file of its own.
_SETTINGS: Final = {
    "config.xml": "<hudson><slaveAgentPort>-1</slaveAgentPort>{}</hudson>",
    "hudson-security.xml": "<hudsonSecurityManager><slaveAgentPort>-1</slaveAgentPort></hudsonSecurityManager>",
}
CRUMBS: Final = '<crumbIssuer class="hudson.security.csrf.DefaultCrumbIssuer"/>'
"""Settings by which it asks for crumbs, as every Jenkins does: some clients insist on them."""
# Nothing is asked of its update sites, or of anybody else: what it asks for goes to a port on which nobody listens.
_PROPERTIES: Final = (
    "java.awt.headless=true", "java.net.preferIPv4Stack=true", "skipInitSetup=true",
    "hudson.DNSMultiCast.disabled=true", "hudson.model.UpdateCenter.never=true", "hudson.model.UpdateSite.never=true",
    "hudson.model.DownloadService.never=true", "hudson.model.UsageStatistics.disabled=true",
    "http.proxyHost=127.0.0.1", "http.proxyPort=9", "https.proxyHost=127.0.0.1", "https.proxyPort=9",
)  # fmt: skip
SPARING: Final = ("-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
"""Java's options where it is asked only a little: what makes it fast later is left out."""


def fetch(release: Release) -> str:
    """Have its war; why it cannot be had or run, "" where it can. Safe to be called by several processes at once."""
    if absent := [program for program in _PROGRAMS if not shutil.which(program)]:
        return f"{', '.join(absent)}; to have Hudson to compare with, as root: {_INSTALL}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is(release.war, release):
            return ""
        return _fetch(release)


def _is(war: Path, release: Release) -> bool:
    return war.exists() and hashlib.sha256(war.read_bytes()).hexdigest() == release.digest


def _fetch(release: Release) -> str:
    fetched = FOLDER / "fetched"
    shutil.rmtree(fetched, ignore_errors=True)
    argv = ["mvn", "--batch-mode", "--quiet", "dependency:copy"]
    argv += [f"-Dartifact={release.artifact}", f"-DoutputDirectory={fetched}"]
    # Its person's own Maven, with his settings: they know where he gets artifacts from.
    options = f"{os.environ.get('MAVEN_OPTS', '')} -XX:TieredStopAtLevel=1"
    run = proc.run(
        argv, env={**os.environ, "MAVEN_OPTS": options.strip()}, cwd=FOLDER, timeout=_FETCH_PATIENCE, ok=None
    )
    war = fetched / release.war.name
    if not war.exists():
        said = (run.stdout + run.stderr).decode(errors="replace").strip()
        return f"{release.artifact}, which Maven could not fetch: {said[:600]}"
    if not _is(war, release):
        return f"{release.artifact}: what Maven fetched is another file, and is not used"
    war.replace(release.war)
    shutil.rmtree(fetched)
    return ""


def _agent() -> Path:
    """A program that is loaded before Hudson."""
    folder = FOLDER / hashlib.sha256(_AGENT.encode()).hexdigest()[:16]
    jar = folder / "before.jar"
    if not jar.exists():
        folder.mkdir(exist_ok=True)
        (folder / "Before.java").write_text(_AGENT, encoding="utf-8")
        (folder / "manifest").write_text("Premain-Class: Before\n", encoding="utf-8")
        environment = proc.base_environment()
        proc.run(["javac", "--release", "8", "-Xlint:-options", "Before.java"], env=environment, cwd=folder)
        proc.run(["jar", "cfm", "made.jar", "manifest", "Before.class"], env=environment, cwd=folder)
        (folder / "made.jar").replace(jar)
    return jar


def _command(release: Release, port: int, options: Sequence[str]) -> list[str]:
    opened = [f"--add-opens={module}/java.{name}=ALL-UNNAMED" for module, names in _OPENED.items() for name in names]
    agent = f"-javaagent:{_agent()}" + (f"={release.java}" if release.java else "")
    argv = ["java", *options, *(f"-D{text}" for text in _PROPERTIES), agent, *opened, "-jar", str(release.war)]
    argv += ["--httpListenAddress=127.0.0.1", f"--httpPort={port}"]
    return argv if release.java else [*argv, "--httpsPort=-1", "--ajp13Port=-1"]


@contextlib.contextmanager
def running(release: Release, home: Path, options: Sequence[str] = (), settings: str = "") -> Iterator[str]:
    """Its address, with nobody to sign in as; its war has been fetched.

    `options` are Java's own, `settings` XML in the middle of its config.xml.
    """
    home.mkdir(parents=True)
    for name, text in _SETTINGS.items():
        (home / name).write_text(text.format(settings), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (home / "output").open("wb") as file:
        output = file.fileno()
        environment = {**proc.base_environment(), "HUDSON_HOME": str(home), "HOME": str(home)}
        process = proc.start(_command(release, port, options), env=environment, stdout=output, stderr=output)
    try:
        _wait(process, port, home / "output")
        yield f"http://127.0.0.1:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # and what its builds started: it does not end that itself
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            proc.kill(process)


@contextlib.contextmanager
def running_hudson(home: Path, tell: Tell) -> Iterator[str]:
    """The address of 1.395; "" where it cannot be run, which `tell` is told."""
    if not OLD.war.exists():
        tell("fetching Hudson")
    if why := fetch(OLD):
        tell(f"without Hudson: missing: {why}")
        yield ""
        return
    with running(OLD, home) as url:
        yield url


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _START_PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/api/json")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Hudson did not start:\n{output.read_text(errors='replace')[-2000:]}")
