"""How much memory a lander needs at most: one run of `byoci land`, and a process that lands one after the other."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import byoci
from benchmarks.runner import Figure
from benchmarks.sites import measured
from byoci import proc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runner import Tell
    from benchmarks.sites import Measured

_COMMITS: Final = (1_000, 50_000)
_TARGETS: Final = {"git": 80.0, "bzr": 150.0}  # MB
_MANY: Final = 40
_PEAK: Final = """\
def tell_peak():
    with open("/proc/self/status") as status:
        print(next(line for line in status if line.startswith("VmHWM:")), file=sys.stderr)
"""
_ONCE: Final = f"""\
import atexit, sys
from byoci.cli.main import main
{_PEAK}
atexit.register(tell_peak)
main()
"""
_AGAIN: Final = f"""\
import sys
from byoci.gate.rounds import land_round
from byoci.wiring import open_site
{_PEAK}
site = open_site(None, "testing")
gate = site.gate("measured", lambda _: None)
for _ in sys.stdin:
    print(*(row.landing.outcome for row in land_round(gate, site.leases)), flush=True)
tell_peak()
"""


def measure(tell: Tell) -> Iterator[Figure]:
    """In git, and in bzr, with a short and with a long history."""
    for vcs, target in _TARGETS.items():
        for commits in _COMMITS:
            yield from peaks(tell, vcs, commits, _MANY, target)


def peaks(tell: Tell, vcs: str, commits: int, many: int, target: float) -> Iterator[Figure]:
    """A run that lands one, for which it fetches the whole history; then a process that lands so `many`."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder:
        tell(f"{vcs}: making a history of {commits:,} commits")
        with measured(Path(folder, "site"), vcs, commits) as site:
            tell(f"{vcs}: byoci land, and a process that lands {many}")
            site.approve(0)
            once = [_peak(_start(site, _ONCE, "land"))]
            lander = _start(site, _AGAIN)
            for number in range(1, many + 1):
                site.approve(number)
                _land(lander)
            again = [_peak(lander)]
    for name, value in (("byoci land", once), (f"a process that lands {many}", again)):
        yield Figure(f"{vcs}: {name}, {commits:,} commits", "MB", value, target=target, absolute=True)


def _start(site: Measured, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = proc.base_environment() | site.environment | {"PYTHONPATH": str(Path(byoci.__file__).parents[1])}
    return proc.start([sys.executable, "-c", program, *arguments], env=environment, stdin=subprocess.PIPE)


def _land(lander: subprocess.Popen[bytes]) -> None:
    """Let a process land what was approved."""
    assert lander.stdin is not None
    assert lander.stdout is not None
    lander.stdin.write(b"\n")
    lander.stdin.flush()
    landed = lander.stdout.readline()
    assert landed == b"landed\n", landed


def _peak(process: subprocess.Popen[bytes]) -> float:
    """The most memory, in MB, that a process ever had, which tells it at its end (VmHWM, proc_pid_status(5))."""
    _, told = process.communicate()
    assert process.returncode == 0, told.decode()
    *_, size, _unit = told.split()
    return int(size) * 1024 / 1e6
