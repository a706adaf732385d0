"""Hudson 1.395, Jenkins' ancestor, as a server on loopback: for comparison, where Java and its war are at hand.

The war is never fetched by byoci. Whoever wants the comparison puts it at `.cache/hudson/hudson-war-1.395.war`: it is
the artifact `org.jvnet.hudson.main:hudson-war:1.395` of Maven Central.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runner import Tell

FOLDER: Final = Path(__file__).parents[1] / ".cache/hudson"
WAR: Final = FOLDER / "hudson-war-1.395.war"
_DIGEST: Final = "20b7099d04a97462f45aefbf533f6c03f238c553ab82cec5aeda38c2825a8af0"
_PATIENCE: Final = 90.0
_OPENED: Final = {
    "java.base": ("lang", "lang.reflect", "util", "util.zip", "util.concurrent", "text", "io", "net"),
    "java.desktop": ("awt", "awt.font"),
}
# It refuses to run where nobody whom it knows made the Java machine.
_AGENT: Final = """public class Vendor {
    public static void premain(String arguments) {
        System.setProperty("java.vm.vendor", "Sun Microsystems Inc.");
    }
}
"""


def missing() -> str:
    """Why it cannot be run; "" where it can."""
    for program in ("java", "javac", "jar"):
        if not shutil.which(program):
            return f"there is no {program}"
    if not WAR.exists():
        return f"there is no {WAR}"
    found = hashlib.sha256(WAR.read_bytes()).hexdigest()
    return "" if found == _DIGEST else f"{WAR} is another file"


def _agent() -> Path:
    """A program that is loaded before Hudson."""
    jar = FOLDER / "vendor.jar"
    if not jar.exists():
        source = FOLDER / "Vendor.java"
        source.write_text(_AGENT, encoding="utf-8")
        manifest = FOLDER / "manifest"
        manifest.write_text("Premain-Class: Vendor\n", encoding="utf-8")
        environment = proc.base_environment()
        proc.run(["javac", "--release", "8", "-Xlint:-options", source.name], env=environment, cwd=FOLDER)
        proc.run(["jar", "cfm", jar.name, manifest.name, "Vendor.class"], env=environment, cwd=FOLDER)
    return jar


@contextlib.contextmanager
def running_hudson(home: Path, tell: Tell) -> Iterator[str]:
    """Its address; "" where it cannot be run, which `tell` is told."""
    why = missing()
    if why:
        tell(f"without Hudson: {why}")
        yield ""
        return
    home.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    opened = [f"--add-opens={module}/java.{name}=ALL-UNNAMED" for module, names in _OPENED.items() for name in names]
    argv = ["java", "-Djava.awt.headless=true", f"-javaagent:{_agent()}", *opened, "-jar", str(WAR)]
    argv += ["--httpListenAddress=127.0.0.1", f"--httpPort={port}", "--httpsPort=-1", "--ajp13Port=-1"]
    with (home / "output").open("wb") as file:
        output = file.fileno()
        environment = {**proc.base_environment(), "HUDSON_HOME": str(home), "HOME": str(home)}
        process = proc.start(argv, env=environment, stdout=output, stderr=output)
    try:
        _wait(process, port, home / "output")
        yield f"http://127.0.0.1:{port}/"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            proc.kill(process)


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/api/json")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Hudson did not start:\n{output.read_text(errors='replace')[-2000:]}")
