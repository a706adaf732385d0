"""The other side of `crash_lander`: landers that die as planned, and what the next one makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crash_site import EVENTS, address, circumstances, killed_before
from git_servers import smart_http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

ROOT = Path(__file__).parents[2]
UNSHARE = ("unshare", "--mount")  # util-linux: no other process sees what is mounted from then on


def can_mount() -> bool:
    """Whether a process may mount a small disk of its own: root may, unless it is in a container that forbids it."""
    tried = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return os.geteuid() == 0 and tried.returncode == 0


@dataclass(frozen=True)
class Dry:
    """A run that nothing happened to: its effects in order, what it did besides, and what was found after it."""

    effects: tuple[dict[str, Any], ...]
    unnamed: tuple[str, ...]
    found: dict[str, Any]
    round: dict[str, Any]


class Landers:
    """A warm process, and a site at one place that is put back to how it was prepared before each case.

    Disks are slow to sync, and what dies here is a process, not the machine: the site lies in memory where it can.

    disk  whether it lies on a small disk of its own, for root only (`can_mount`)
    """

    def __init__(self, vcs: str, *, disk: bool = False) -> None:
        self.vcs = vcs
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
        self._place = Path(tempfile.mkdtemp(prefix="byoci-crash-", dir=memory))
        self._place.chmod(0o755)
        self.site = self._place / "disk" / "site"
        self.site.parent.mkdir()
        self._hand = Path(tempfile.mkdtemp(prefix="byoci-crash-")) / "hand"  # a worker may not work in /dev
        self._hand.parent.chmod(0o755)
        self.tips: dict[str, str] = {}  # of the branches of the scenario that was built last
        self._ends = contextlib.ExitStack()
        self.lose = self.site / "lose" if vcs == "git" else self.site / "ssh" / "lose"  # see `git_servers`
        self._kept: dict[str, list[tuple[str, str]]] = {}
        self._dry: dict[str, Dry] = {}
        places = [ROOT / "src", ROOT, ROOT / "tests", ROOT / "tests/integration"]
        self._process = subprocess.Popen(
            [*(UNSHARE if disk else ()), sys.executable, Path(__file__).with_name("crash_lander.py"), vcs],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        if disk:
            self.order("mount", folder=str(self.site.parent))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        self._ends.close()
        kept = [place for pairs in self._kept.values() for pair in pairs for place in pair]
        for folder in (self._place, self._hand.parent, *kept):
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
        out = str(self._place / "told")
        return self.order("child", function=function, folder=str(self.site), vcs=self.vcs, out=out, **order)

    def told(self, function: str, **order: Any) -> Any:
        """The same, where it must succeed; what it tells."""
        answer = self.child(function, **order)
        assert answer["status"] == 0, answer
        assert "failed" not in answer["told"], answer["told"]["failed"]
        return answer["told"]

    def prepare(self, scenario: str) -> None:
        """Put the site back to how a scenario begins; the first time, make it."""
        shutil.rmtree(self._hand, ignore_errors=True)
        if scenario not in self._kept:
            if before := killed_before(scenario, self.vcs):
                self._killed_in(*before)
                if scenario == "half-way":
                    self.told("leave_lock")
            else:
                self._build(scenario)
            self._keep(scenario)
        # The first run, too, works on a copy: a shared tree counts only where it was made.
        self.order("copy", pairs=[(kept, place) for place, kept in self._kept[scenario]])

    def _build(self, scenario: str) -> None:
        if scenario == "served" and self.vcs == "git":
            where = self._ends.enter_context(smart_http(self.site, lose=self.lose))
            address(self.site).write_text(where.url)
        self.order("copy", pairs=[(str(self._place / "none"), str(self.site))])
        built = self.told("build", scenario=scenario)
        self._base, self.tips = built["base"], built["tips"]

    def _killed_in(self, scenario: str, name: str) -> None:
        """Kill a run before the last `name`."""
        last = [effect for effect in self.dry(scenario).effects if effect["name"] == name][-1]
        self.prepare(scenario)
        killed = self.child("run", plans=[{"name": name, "nth": last["nth"], "when": "before"}])
        assert os.WIFSIGNALED(killed["status"]), killed
        assert self.order("settle") == []

    def _keep(self, scenario: str) -> None:
        base = self._base
        pairs = [(str(self.site), str(self._place / scenario))]
        if not Path(base).is_relative_to(self.site):
            pairs.append((base, f"{base}.{scenario}"))
        # Moved, so that its folders' inodes stay in use: a shared tree in a copy with the same one would count.
        self.order("move", pairs=pairs)
        self._kept[scenario] = pairs

    def dry(self, scenario: str) -> Dry:
        """A scenario's run with nothing happening to it, and another one after it; remembered."""
        if scenario not in self._dry:
            self.prepare(scenario)
            first = self.told("run", count=True, audit=True, **circumstances(scenario, self._hand))
            assert first["rounds"][0]["code"] in (0, 1, 3) or scenario in EVENTS, first["rounds"]
            found = self.told("run", rounds=2, look=True)["found"]
            assert found["wrong"] == [], found["wrong"]
            assert self.order("settle") == []
            self._dry[scenario] = Dry(tuple(first["effects"]), tuple(first["unnamed"]), found, first["rounds"][0])
        return self._dry[scenario]

    def after(self, scenario: str, *plans: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What came of a run to which `plans` happen, and what is not after the next one as it is after a dry run."""
        want = self.dry(scenario).found
        self.prepare(scenario)
        order = circumstances(scenario, self._hand, plans)
        first = self.child("run", elsewhere=[str(self._hand), self._base], **order)
        self.order("free", folder=str(self.site))
        if any(plan["do"] == "tear" for plan in plans):
            self.order("boot", folders=[str(self.site), self._base])
        problems = self.next(want, first["pid"])
        return first, problems

    def next(self, want: dict[str, Any], *dead: int) -> list[str]:
        """Run the next lander, which begins at once; what is wrong then."""
        answer = self.child("run", rounds=2, look=True, dead=dead)
        left = self.order("settle")
        told = answer["told"] or {"failed": f"it ended with status {answer['status']}"}
        if "failed" in told:
            return [told["failed"]]
        problems = [f"{key}: {told['found'][key]}, not {want[key]}" for key in want if told["found"][key] != want[key]]
        now, after_that = told["rounds"]
        problems += [f"the next run: {now}"] if now["code"] not in (0, 1, 3) else []
        problems += [f"the run after that: {after_that}"] if after_that["code"] != 3 else []
        return problems + [f"still running: {process}" for process in left]


@dataclass
class Pool:
    """As many warm processes as there are processors (two at most: each case takes most of one)."""

    vcs: str
    disk: bool = False
    _free: queue.Queue[Landers] = field(default_factory=queue.Queue)
    size: int = 2

    @contextlib.contextmanager
    def open(self) -> Iterator[Self]:
        with contextlib.ExitStack() as stack:
            for _ in range(self.size):
                self._free.put(stack.enter_context(Landers(self.vcs, disk=self.disk)))
            yield self

    @contextlib.contextmanager
    def one(self) -> Iterator[Landers]:
        """One of them."""
        landers = self._free.get()
        try:
            yield landers
        finally:
            self._free.put(landers)

    def all_of(self, try_: Callable[[Landers, Any], list[str]], cases: Iterable[Any]) -> list[str]:
        """Try every case; what is wrong, a paragraph a case."""

        def one_case(case: Any) -> str:
            with self.one() as landers:
                problems = try_(landers, case)
            return "\n    ".join([str(case), *problems]) if problems else ""

        with ThreadPoolExecutor(self.size) as threads:
            return [said for said in threads.map(one_case, cases) if said]
