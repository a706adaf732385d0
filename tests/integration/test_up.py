"""`byoci up`: the site of local processes, with its agent over a real ssh connection; `down` leaves nothing of it."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from controller_process import ControllerProcess, wait_for

from byoci.controller import background

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BYOCI = str(Path(sys.executable).with_name("byoci"))
ON_SSH = "<assignedNode>ssh</assignedNode><canRoam>false</canRoam>"


class Site:
    """A site in a folder of its own, as a person starts and ends it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "testing/controller"
        self.api = ControllerProcess(self.home)

    def byoci(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BYOCI, *arguments],
            env={**os.environ, "BYOCI_HOME": str(self.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def up(self, *arguments: str) -> dict[str, Any]:
        run = self.byoci(*(*arguments, "up", "--json") if arguments else ("up", "--json", "--port", "0"))
        assert run.returncode == 0, run.stderr
        told: dict[str, Any] = json.loads(run.stdout)
        assert told["agent"] == {"name": "loopback", "online": True, "reason": ""}
        return told

    def processes(self) -> list[psutil.Process]:
        """All that mention the site's folder, the daemons of its sshd among them."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = " ".join(process.cmdline())
                ours = str(self.root) in words or str(self.home) in words
                if ours and process.pid != os.getpid():
                    found.append(process)
        return found

    def sshd(self) -> list[psutil.Process]:
        return [process for process in self.processes() if "sshd/config" in " ".join(process.cmdline())]

    @property
    def ssh_port(self) -> int:
        return int((self.home / "sshd/port").read_text())

    def ssh(self, *options: str, command: str = "echo in") -> subprocess.CompletedProcess[str]:
        """What OpenSSH's own client gets from the site's sshd; with the controller's key unless `options` say other."""
        key = () if any("IdentityFile" in option for option in options) else ("-i", str(self.home / "controller-key"))
        argv = ["ssh", "-F", "none", "-p", str(self.ssh_port), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]
        argv += ["-o", "IdentityAgent=none", "-o", f"UserKnownHostsFile={self.home}/known_hosts"]
        argv += ["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", *key, *options]
        return subprocess.run([*argv, "127.0.0.1", command], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if not shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"]):
        pytest.skip("missing: sshd")
    site = Site(tmp_path / "byoci")
    yield site
    site.byoci("down")
    for process in site.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()


def test_a_job_runs_over_ssh_and_nothing_is_left_after_down(site: Site) -> None:
    told = site.up()
    site.api.shell("far", "set +x; echo over ssh", ON_SSH)
    facts, log = site.api.run("far")
    assert (facts["result"], facts["builtOn"]) == ("SUCCESS", "loopback")
    assert "over ssh\nFinished: SUCCESS" in log
    assert len(site.sshd()) == 1
    down = site.byoci("down")
    assert (down.returncode, down.stderr) == (0, "The controller has ended.\n")
    wait_for(lambda: not site.processes())
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", site.ssh_port)) != 0
    port = site.ssh_port
    assert site.up()["pid"] != told["pid"]
    assert site.ssh_port == port
    assert site.api.run("far", number=2)[0]["result"] == "SUCCESS"


def test_a_build_over_ssh_outlives_down_and_sshd(site: Site, tmp_path: Path) -> None:
    site.up()
    end = tmp_path / "end"
    script = f"set +x; i=0; while [ ! -e {end} ]; do i=$((i+1)); echo line $i; sleep 0.02; done; echo total $i"
    site.api.shell("long", script, ON_SSH)
    site.api.build("long")

    def lines() -> int:
        return site.api.get("job/long/1/consoleText").text.count("line ")

    wait_for(lambda: lines() > 5)
    site.byoci("down")
    site.up()
    told = lines()
    wait_for(lambda: lines() > told + 5)
    for child in site.sshd()[0].children(recursive=True):  # its connections
        child.kill()
    site.sshd()[0].kill()
    told = lines()
    wait_for(lambda: lines() > told + 5)
    end.touch()
    assert site.api.finished("long")["result"] == "SUCCESS"
    log = site.api.get("job/long/1/consoleText").text.splitlines()
    (total,) = [int(line.split()[1]) for line in log if line.startswith("total ")]
    assert [line for line in log if line.startswith("line ")] == [f"line {n + 1}" for n in range(total)]
    assert "the site's own sshd is started again" in (site.home / "log").read_text()


def test_a_killed_controller_takes_its_sshd_with_it(site: Site) -> None:
    told = site.up()
    os.kill(told["pid"], signal.SIGKILL)
    wait_for(lambda: not site.processes())
    site.up()
    assert len(site.sshd()) == 1


def test_a_port_of_sshd_that_somebody_else_took_meanwhile(site: Site) -> None:
    site.up()
    site.byoci("down")
    port = site.ssh_port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        site.up()
        assert site.ssh_port != port
        assert f"[127.0.0.1]:{port} " not in (site.home / "known_hosts").read_text()
        assert site.api.get("computer/loopback/config.xml").text.count(f"<port>{site.ssh_port}</port>") == 1


def test_only_the_controller_gets_in_and_nothing_is_forwarded(site: Site, tmp_path: Path) -> None:
    site.up()
    assert site.ssh().stdout == "in\n"
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    for options in (
        ("-o", f"IdentityFile={other}"),
        ("-o", "IdentityFile=none", "-o", "PreferredAuthentications=password,keyboard-interactive"),
    ):
        refused = site.ssh(*options)
        assert (refused.returncode, refused.stdout) == (255, "")
        assert "Permission denied (publickey)" in refused.stderr
    strange = site.ssh("-l", "nobody" if getpass.getuser() != "nobody" else "daemon")
    assert strange.returncode == 255
    with socket.socket() as beyond:
        beyond.bind(("127.0.0.1", 0))
        beyond.listen()
        forwarded = site.ssh("-W", f"127.0.0.1:{beyond.getsockname()[1]}")
        assert "administratively prohibited" in forwarded.stderr
    assert "PTY allocation request failed" in site.ssh("-tt").stderr
    assert site.ssh(command='test -z "$SSH_AUTH_SOCK" && echo none').stdout == "none\n"
    for path in ("", "sshd", "sshd/host_key", "controller-key", "sshd/authorized_keys"):
        assert (site.home / path).stat().st_mode & 0o077 == 0


def test_a_port_in_use_is_told(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = site.byoci("up", "--port", str(port))
    assert run.returncode == 75
    assert f"port {port} cannot be used" in run.stderr
    assert "Choose another with --port" in run.stderr
    assert not site.processes()


def test_down_in_the_midst_of_a_restart_ends_it(site: Site) -> None:
    for pause in range(4):
        site.up()
        assert site.api.post("safeRestart").status == 302
        time.sleep(0.08 * pause)
        assert background.stop(site.home)
        assert not [process for process in site.processes() if "byoci.controller" in process.cmdline()]
        assert background.find(site.home) is None


def test_the_monitor_and_its_jobs_and_only_what_is_dead_or_changed_is_started_again(site: Site) -> None:
    file = site.root / "byoci.toml"
    site.root.mkdir()

    def write(*projects: str) -> None:
        table = '[project.{0}]\nvcs = "git"\ntrunk = "{1}/{0};main"\ntests.command = "true"\n'
        tables = "".join(table.format(name, site.root) for name in projects)
        file.write_text(
            '[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n'
            f"[controller]\nport = 0\n[monitor]\nport = {port}\n{tables}"
        )

    def up() -> dict[str, Any]:
        return site.up("--config", str(file))

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        write("hello")
        run = site.byoci("--config", str(file), "up", "--json")
    assert run.returncode == 75
    assert f"port {port} cannot be used" in run.stderr
    assert "monitor.port" in run.stderr
    without = json.loads(run.stdout)
    made = [{"name": f"{kind}-hello", "change": "make"} for kind in ("land", "test")]
    assert (without["monitor"], without["jobs"]) == (None, made)
    port = 0
    write("hello")
    first = up()
    assert (first["pid"], first["changed"], first["jobs"]) == (without["pid"], True, [])
    with urllib.request.urlopen(f"{first['monitor']['url']}healthz", timeout=30) as reply:
        assert json.load(reply)["ok"]
    again = up()
    assert not again["changed"]
    assert (again["pid"], again["monitor"]) == (first["pid"], first["monitor"])
    os.kill(first["monitor"]["pid"], signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(first["monitor"]["pid"]))
    second = up()
    assert second["pid"] == first["pid"]
    assert second["monitor"]["pid"] != first["monitor"]["pid"]
    write("hello", "other")
    third = up()
    assert (third["pid"], [job["name"] for job in third["jobs"]]) == (first["pid"], ["land-other", "test-other"])
    with urllib.request.urlopen(f"{third['monitor']['url']}api/projects", timeout=30) as reply:
        assert [project["project"] for project in json.load(reply)] == ["hello", "other"]
    down = site.byoci("--config", str(file), "down")
    assert (down.returncode, down.stderr) == (0, "The monitor has ended.\nThe controller has ended.\n")
    wait_for(lambda: not site.processes())
    assert site.byoci("--config", str(file), "down").returncode == 3


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
def test_the_definition_says_where_the_controller_is(site: Site, tmp_path: Path, listen: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((listen, 0))
        except OSError:
            pytest.skip("this system has no such address")
        port = probe.getsockname()[1]
    file = site.root / "byoci.toml"
    site.root.mkdir()
    file.write_text(
        '[site]\nlanding.fullname = "L"\nlanding.email = "l@example.com"\n[namespace.testing.controller]\n'
        f'listen = "{listen}"\nport = {port}\nurl = "https://ci.example.com/builds"\nfolder = "{tmp_path}/state"\n'
        "[monitor]\nport = 0\n"
    )
    site.home = site.api.home = tmp_path / "state/testing"
    told = site.up("--config", str(file))
    shown = f"[{listen}]" if ":" in listen else listen
    assert told["url"] == site.api.url == f"http://{shown}:{port}/builds/"
    site.api.shell("where", "set +x; echo $BUILD_URL", ON_SSH)
    assert "https://ci.example.com/builds/job/where/1/\n" in site.api.run("where")[1]
    written = (site.home / "address").stat().st_mtime_ns
    assert site.api.post("safeRestart").status == 302
    wait_for(lambda: (site.home / "address").stat().st_mtime_ns != written)
    assert site.up("--config", str(file))["url"] == told["url"]
    down = site.byoci("--config", str(file), "down")
    assert down.returncode == 0, down.stderr
    wait_for(lambda: not [process for process in psutil.process_iter() if str(site.home) in _words(process)])


def _words(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
