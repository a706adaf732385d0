"""The other side of `crash_lander`: landers that die as planned, and what the next one makes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).parents[2]


class Landers:
    """A warm process, and a site at one place that is put back to how it was prepared before each case.

    Disks are slow to sync, and what dies here is a process, not the machine: the site lies in memory where it can.
    """

    def __init__(self, vcs: str) -> None:
        self.vcs = vcs
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
        self._place = Path(tempfile.mkdtemp(prefix="byoci-crash-", dir=memory))
        self._place.chmod(0o755)
        self.site = self._place / "site"
        self._kept: dict[str, list[tuple[str, str]]] = {}
        self._bases: set[str] = set()
        places = [ROOT / "src", ROOT, ROOT / "tests", ROOT / "tests/integration"]
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("crash_lander.py")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        for folder in (self._place, *self._bases):
            shutil.rmtree(folder, ignore_errors=True)

    def order(self, do: str, **order: Any) -> Any:
        """Have the process do something; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def child(self, function: str, **order: Any) -> Any:
        """Call a function of `crash_site`, or `run`, in a process of its own."""
        return self.order("child", function=function, folder=str(self.site), vcs=self.vcs, **order)

    def prepare(self, scenario: str) -> None:
        """Put the site back to how a scenario begins; the first time, make it."""
        if scenario not in self._kept:
            self.order("copy", pairs=[(str(self._place / "none"), str(self.site))])
            told = self.child("build", scenario=scenario)["told"]
            assert "failed" not in told, told["failed"]
            base = told["base"]
            self._bases |= {base, f"{base}.kept"} - {b for b in (base,) if Path(b).is_relative_to(self.site)}
            pairs = [(str(self.site), str(self._place / scenario))]
            if not Path(base).is_relative_to(self.site):
                pairs.append((base, f"{base}.{scenario}"))
                self._bases.add(f"{base}.{scenario}")
            self.order("copy", pairs=pairs)
            self._kept[scenario] = pairs
        else:
            self.order("copy", pairs=[(kept, place) for place, kept in self._kept[scenario]])
