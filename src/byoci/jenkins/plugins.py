"""The plugins of a Jenkins: the wanted ones against those that are there; installed, and rolled back on failure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from byoci.jenkins.client import Jenkins

_PATIENCE: Final = 900.0  # seconds for downloads, and for a restart, which lets builds end first
_LOOK: Final = 0.5  # seconds between looks
_FIELDS: Final = "shortName,version,enabled,active"
_JOBS: Final = "id,name,plugin[name,version],status[type]"
_UNFINISHED: Final = ("alpha", "a", "beta", "b", "milestone", "m", "rc", "cr", "snapshot", "pre", "ea")
_NUMBER: Final = re.compile(r"\d+|[a-z]+")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One that is there; `works` means that it is enabled, and was loaded."""

    version: str
    works: bool
    enabled: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What is to become of a plugin.

    have  its version; "" where it is not there
    want  the oldest version that will do; "": any
    """

    name: str
    have: str
    want: str

    @property
    def verb(self) -> str:
        """What is done, in a word."""
        if not self.have:
            return "install"
        return "update" if _older(self.have, self.want) else "enable"


def installed(jenkins: Jenkins) -> dict[str, Plugin]:
    """The plugins that are there."""
    return {
        str(told.get("shortName")): Plugin(
            str(told.get("version") or ""), bool(told.get("active") and told.get("enabled")), bool(told.get("enabled"))
        )
        for told in jenkins.listed("pluginManager/api/json", "plugins", _FIELDS)
    }


def plan(there: Mapping[str, Plugin], wanted: Iterable[str]) -> list[Step]:
    """What it takes to have the wanted ones, each `NAME` or `NAME:VERSION`; a newer version is good, too."""
    steps = []
    for text in wanted:
        name, _, version = text.partition(":")
        found = there.get(name)
        step = Step(name, found.version if found else "", version)
        if found is None or _older(found.version, version) or not found.enabled:
            steps.append(step)
    return steps


class Update:
    """Carries a plan out. What it changed is taken back where something fails, dependencies among it.

    Order: `install`, then `restart` where that says that it is needed. Concurrency: nobody else may change plugins
    meanwhile. Errors: `UnavailableError`, after the roll-back.
    """

    def __init__(self, jenkins: Jenkins, steps: Sequence[Step], tell: Callable[[str], None]) -> None:
        self._jenkins = jenkins
        self._steps = steps
        self._tell = tell
        self._before = installed(jenkins)
        self._changed: set[str] = set()

    def install(self) -> bool:
        """Have everything fetched and put in place; whether a restart is needed for it to count."""
        self._changed = {step.name for step in self._steps if step.verb != "enable" and self._waits(step)}
        wanted = [step for step in self._steps if step.verb != "enable" and step.name not in self._changed]
        enabled = [step for step in self._steps if step.verb == "enable"]
        failed = self._fetch(wanted) if wanted else {}
        for step in enabled:
            self._post(f"pluginManager/plugin/{quote(step.name)}/makeEnabled")
            self._changed.add(step.name)
        if failed:
            self._take_back()
            words = ", ".join(f"{name} ({why})" for name, why in failed.items())
            raise UnavailableError(
                f"plugins could not be installed: {words}",
                details="What was changed is taken back.",
                resolution="See the Jenkins' update center and its log.",
            )
        return bool(enabled) or self._needs_restart()

    def restart(self) -> None:
        """Restart the Jenkins, once its builds have ended, and see that everything works then."""
        self._restart()
        if wrong := self._wrong():
            self._tell(f"{', '.join(wrong)} does not work after the restart: taking back what was changed")
            self._take_back()
            self._restart()
            raise UnavailableError(
                f"plugins do not work: {', '.join(wrong)}",
                details="The Jenkins was restarted once more, with the plugins that it had before.",
                resolution="See its log, /manage/pluginManager/ and docs/jenkins.md.",
            )

    def _waits(self, step: Step) -> bool:
        """Whether it was fetched before and waits for a restart: fetched again, it would lose what it replaced."""
        versions = [_version(job) for job in self._jobs() if _plugin(job) == step.name and _is_good(_state(job))]
        return any(_older(step.have or "0", one) and not _older(one, step.want) for one in versions)

    def _fetch(self, steps: Sequence[Step]) -> dict[str, str]:
        """Have them fetched; the names of those that were not, with the reason."""
        first = 1 + max((_id(job) for job in self._jobs()), default=0)
        names = (f"{step.name}@{step.want or 'latest'}" for step in steps)
        parts = (f"<install plugin={quoteattr(name)}/>" for name in names)
        body = f"<jenkins>{''.join(parts)}</jenkins>".encode()
        self._post("pluginManager/installNecessaryPlugins", body, "text/xml")
        self._tell(f"fetching {', '.join(step.name for step in steps)}")
        jobs = self._await_jobs(first)
        self._changed |= _done(jobs)
        states = {_plugin(job): _state(job) for job in jobs}
        failed = {name: state for name, state in states.items() if not _is_good(state)}
        return failed | {step.name: "no update site knows it" for step in steps if step.name not in states}

    def _take_back(self) -> None:
        """The versions from before, and nothing that was not there; it counts from the next restart."""
        for name in sorted(self._changed):
            before = self._before.get(name)
            first = 1 + max((_id(job) for job in self._jobs()), default=0)
            if before is None:
                self._post(f"pluginManager/plugin/{quote(name)}/doUninstall")
            elif name in {step.name for step in self._steps if step.verb == "enable"}:
                self._post(f"pluginManager/plugin/{quote(name)}/makeDisabled")
            else:
                self._post(f"updateCenter/plugin/{quote(name)}/downgrade")
                self._await_jobs(first)
            self._tell(f"{name}: as it was before")

    def _restart(self) -> None:
        self._post("safeRestart")
        self._tell("the Jenkins restarts, once its builds have ended")
        deadline, was_away = time.monotonic() + _PATIENCE, False
        while time.monotonic() < deadline:
            try:
                there = installed(self._jenkins)
            except UnavailableError:
                was_away = True
            else:
                if was_away or (there != self._before and not self._wrong(there)):
                    return
            time.sleep(_LOOK)
        raise UnavailableError(
            "the Jenkins did not come back after its restart",
            details=f"It was waited for {_PATIENCE:g} seconds; changed were {', '.join(sorted(self._changed))}.",
            resolution="See its log. On its machine, each plugins/NAME.bak is the older NAME.jpi.",
        )

    def _wrong(self, there: Mapping[str, Plugin] | None = None) -> list[str]:
        """What is not as it should be: wanted plugins, and those that worked before."""
        there = installed(self._jenkins) if there is None else there
        wanted = {step.name for step in self._steps} | {name for name, plugin in self._before.items() if plugin.works}
        old = {step.name for step in self._steps if step.name in there and _older(there[step.name].version, step.want)}
        return sorted(old | {name for name in wanted if name not in there or not there[name].works})

    def _needs_restart(self) -> bool:
        told = self._jenkins.told("updateCenter/api/json?tree=restartRequiredForCompletion")
        return bool(told.get("restartRequiredForCompletion")) or bool(self._wrong())

    def _await_jobs(self, first: int) -> list[dict[str, Any]]:
        """The update center's jobs from that number on, once all of them have ended."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            jobs = [job for job in self._jobs() if _id(job) >= first]
            if all(_state(job) not in ("Pending", "Installing") for job in jobs):
                return jobs
            time.sleep(_LOOK)
        raise UnavailableError("the Jenkins does not get done with its plugins", resolution="See its update center.")

    def _jobs(self) -> list[dict[str, Any]]:
        """Those that are about a plugin."""
        return [job for job in self._jenkins.listed("updateCenter/api/json", "jobs", _JOBS) if _state(job)]

    def _post(self, path: str, body: bytes = b"", kind: str = "") -> None:
        if self._jenkins.post(path, body, kind) is None:
            raise UnavailableError(
                "the Jenkins does not know this way to change its plugins",
                details=path,
                resolution="Change them on its page /manage/pluginManager/.",
            )


def _older(version: str, than: str) -> bool:
    return bool(than) and _order(version) < _order(than)


def _order(version: str) -> list[tuple[int, int, str]]:
    """What versions are compared by: numbers by their value, and before the end of a version what is unfinished."""
    parts = [(0, 0, "")]
    for one in reversed(_NUMBER.findall(version.lower())):
        part = (1, int(one), "") if one.isdigit() else (-1 if one in _UNFINISHED else 0, 1, one)
        if part[:2] != (1, 0) or parts[0][0] == 1:  # 1.0 is 1
            parts.insert(0, part)
    return parts


def _id(job: Mapping[str, Any]) -> int:
    return job["id"] if isinstance(job.get("id"), int) else 0


def _plugin(job: Mapping[str, Any]) -> str:
    plugin = job.get("plugin")
    return str(plugin.get("name") if isinstance(plugin, dict) else job.get("name"))


def _version(job: Mapping[str, Any]) -> str:
    plugin = job.get("plugin")
    return str(plugin.get("version") or "") if isinstance(plugin, dict) else ""


def _state(job: Mapping[str, Any]) -> str:
    status = job.get("status")
    return str(status.get("type") or "") if isinstance(status, dict) else ""


def _is_good(state: str) -> bool:
    return state.startswith("Success") or state == "Skipped"


def _done(jobs: Iterable[Mapping[str, Any]]) -> set[str]:
    return {_plugin(job) for job in jobs if _state(job).startswith("Success")}
