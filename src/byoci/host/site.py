"""Set up a site of a namespace, and try it: definition, secrets, seeded projects, and what lands of them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ByociError, UnavailableError
from byoci.gate.rounds import land_round, not_worked_on
from byoci.host import definition, packages, seeds
from byoci.host.following import follow
from byoci.host.running import bring_down, bring_up, place_of
from byoci.model import Landing, Location, Outcome, Status
from byoci.wiring import open_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from byoci.gate.rounds import Told
    from byoci.host.running import Running
    from byoci.model import Proposal
    from byoci.wiring import Site

HELLO: Final = ("hello-git", "hello-bzr")


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation came to.

    site        what was set up
    rows        every proposal of every seeded project
    changed     whether anything was written: a definition, a secret, a seed, or a landing
    errors      what byoci itself failed at, where a project could not be worked on
    unexpected  proposals that were seeded in this run and did not fare as they should, byoci's failures aside
    dashboard   its address, where the site runs now; "" where it does not
    """

    site: Site
    rows: tuple[Landing, ...]
    changed: bool
    errors: tuple[ByociError, ...] = ()
    unexpected: tuple[Landing, ...] = ()
    dashboard: str = ""


def install(
    home: Path,
    namespace: str,
    checkout: Path | None,
    tell: Callable[[str], None],
    doing: Callable[[str], None],
    *,
    run: bool = True,
) -> Installed:
    """Set up the namespace's site below `home` and land what may land. Again, it makes what is missing only.

    checkout  byoci's own source, which becomes the project `byoci`; None leaves that project out
    doing     is told what is being done now, `tell` what came of it
    run       have the site run, so that it lands; otherwise, and where it cannot run, it is done here

    Of several at once each waits for the one before it.
    """
    state = home / namespace
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(state, tell):
        site, made, seeding = _prepare(state, namespace, checkout, tell, doing)
        before = _fates(site)
        for name in seeding.names:
            seeding.seed(name)
        names = [name for name in seeding.names if name not in seeding.failed]
        with _running(site, tell, wanted=run and bool(names)) as running:
            tried = _follow(site, names, tell, doing) if running and running.monitor else set()
            rows, errors = _land(site, names, tried, tell, doing)
        expected = seeding.expected
        odd = [row for row in rows if row.outcome not in (expected.get(row.proposal, row.outcome), Outcome.ERROR)]
        started = running is not None and running.changed and not _ends(namespace)
        changed = made or started or _fates(site) != before
        dashboard = running.monitor.url if running and running.monitor and not _ends(namespace) else ""
        errors = [*seeding.failed.values(), *errors]
        return Installed(site, tuple(rows), changed, tuple(errors), tuple(odd), dashboard)


def _ends(namespace: str) -> bool:
    """Whether its site runs only for as long as it is looked at."""
    return namespace == "selftest"


@contextlib.contextmanager
def _alone(state: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the site's lock, which the system lets go of when this process ends, however it ends."""
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another one that sets up this site")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare(
    state: Path, namespace: str, checkout: Path | None, tell: Callable[[str], None], doing: Callable[[str], None]
) -> tuple[Site, bool, _Seeding]:
    """The site, whether its definition or a secret was made now, and who makes its projects."""
    python = packages.worker_python()
    names = _names(namespace, checkout if python else None)
    trunks = {name: _trunk(state, name) for name in names}
    text = definition.render(namespace, trunks, python[0] if python else "")
    made = definition.write(state / "definition", text)
    tell(f"the definition is in {state / 'definition'}" + ("" if made else ", as it was"))
    made |= definition.write_secrets(state / "secrets")
    site = open_site(state / "definition" / "byoci.toml", namespace)
    return site, made, _Seeding(site, names, checkout, python[1] if python else "", tell, doing)


@contextlib.contextmanager
def _running(site: Site, tell: Callable[[str], None], *, wanted: bool) -> Iterator[Running | None]:
    """Have the site run; None where that is not wanted, or cannot be, which is told."""
    if not wanted or not site.config.has_own_controller:
        yield None
        return
    place = place_of(site.config)
    try:
        running = bring_up(place, site)
    except ByociError as error:
        tell(f"the site does not run, so this program lands itself. {error}\nThen type: byoci up")
        yield None
        return
    for trouble in running.troubles:
        tell(str(trouble))
    if running.monitor is None:
        tell("the monitor does not run, so this program lands itself; later type: byoci up")
    else:
        tell(f"the site runs: its dashboard is {running.monitor.url}")
    try:
        yield running
    finally:
        if _ends(site.config.namespace):
            bring_down(place, site.config.monitor_folder)


def _follow(site: Site, names: Sequence[str], tell: Callable[[str], None], doing: Callable[[str], None]) -> set[str]:
    """Wait while the site lands; the proposals that it tried."""
    try:
        return follow(site, names, doing)
    except ByociError as error:
        tell(f"{error}\nWhat is left to land is landed here.")
        return set()


def _names(namespace: str, checkout: Path | None) -> tuple[str, ...]:
    """The projects to seed. Production is for a team's own."""
    if namespace == "production":
        return ()
    return HELLO if checkout is None else (*HELLO, "byoci")


def _trunk(state: Path, name: str) -> Location:
    folder = state / "seeds" / name
    return Location(str(folder / "trunk")) if name.endswith("bzr") else Location(str(folder), "main")


class _Seeding:
    """Makes the seeded projects.

    names     of them all
    expected  proposals that were made now: id → what is to become of it
    failed    projects that could not be made, and why; another run tries again
    """

    def __init__(
        self,
        site: Site,
        names: Sequence[str],
        checkout: Path | None,
        python: str,
        tell: Callable[[str], None],
        doing: Callable[[str], None],
    ) -> None:
        self.names = names
        self.expected: dict[str, Outcome] = {}
        self.failed: dict[str, ByociError] = {}
        self._site = site
        self._checkout = checkout
        self._python = python
        self._tell = tell
        self._doing = doing

    def seed(self, name: str) -> None:
        """Make the project of that name, as far as it is not there yet."""
        folder = self._site.config.state / "seeds" / name
        there = folder.exists()
        self._tell(f"{name}: {'its proposals are there' if there else 'making its repository and proposals'}")
        try:
            found = self._make(name, folder)
        except ByociError as error:
            self.failed[name] = error
            self._tell(f"{name}: not made: {error.brief}")
            return
        if not there:
            self.expected |= found

    def _make(self, name: str, folder: Path) -> dict[str, Outcome]:
        forge = self._site.local_forge
        checkout = self._checkout
        if name in HELLO or checkout is None:
            return seeds.seed_hello(name, folder, forge, self._site.config.home)
        wheels = sorted((self._site.config.home / "wheels").glob("*/"))

        def pack(target: Path) -> None:
            self._doing(f"{name}: fetching what its tests need")
            packages.pack(checkout / "requirements/tests.txt", self._python, target, wheels)

        return seeds.seed_byoci(folder, forge, lambda draft: _clone(checkout, draft), pack)


def _clone(checkout: Path, folder: Path) -> None:
    """Clone byoci's checkout: the commit that is installed, as branch `main`; or its files, where it is no clone."""
    environment = proc.base_environment() | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    def git(*arguments: str, cwd: Path | None = None) -> None:
        proc.run(("git", *arguments), env=environment, cwd=cwd)

    git("init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    if (checkout / ".git").exists():
        git("fetch", "--quiet", str(checkout), "+HEAD:refs/heads/main", cwd=folder)
        return
    person = ("-c", "user.name=byoci", "-c", "user.email=byoci@localhost")
    where = (f"--git-dir={folder}", f"--work-tree={checkout}")
    git(*where, "add", "--all", ".", cwd=checkout)
    git(*person, *where, "commit", "--quiet", "--message", "byoci as it was installed", cwd=checkout)


def _fates(site: Site) -> list[tuple[str, Status, str | None]]:
    return [(item.id, item.status, item.merged_revision) for item in site.local_forge.list_proposals()]


def _land(
    site: Site, names: Sequence[str], tried: set[str], tell: Callable[[str], None], doing: Callable[[str], None]
) -> tuple[list[Landing], list[ByociError]]:
    """Land what may land of these projects: a row for each of their proposals, and what byoci failed at.

    tried  proposals that were tried in this run already: what came of it is news
    """
    told: dict[str, Told] = {}
    errors: list[ByociError] = []
    for name in names:
        gate = site.gate(name, doing)
        try:
            rows = land_round(gate, site.leases)
        except ByociError as error:
            tell(f"{name}: not worked on: {error.brief}")
            errors.append(error)
            rows = not_worked_on(gate, error)
        else:
            errors += [row.error for row in rows if row.error is not None]
        told |= {row.landing.proposal: row for row in rows}
    _check_outlivers()
    known = [item for item in site.local_forge.list_proposals() if item.project in names]
    return [_row(site, item, _fresh(site, told.get(item.id), tried)) for item in known], errors


def _fresh(site: Site, row: Told | None, tried: set[str]) -> Landing | None:
    """A row of a round, without the word that it is old where it is not."""
    if row is None:
        return None
    if row.new or row.landing.proposal not in tried:
        return row.landing
    attempt = site.store.last_attempt(row.landing.project, row.landing.proposal)
    news = attempt is not None and attempt.outcome is row.landing.outcome
    return dataclasses.replace(row.landing, reasons=attempt.reasons) if attempt and news else row.landing


def _row(site: Site, proposal: Proposal, row: Landing | None) -> Landing:
    """A proposal's row: this round's, or for one that is over what the forge and the lander's memory tell."""
    if row is not None:
        return row
    blank = Landing(proposal.project, proposal.id, proposal.title, Outcome.WAITING)
    if proposal.status is not Status.MERGED:
        return dataclasses.replace(blank, reasons=(f"its status is {proposal.status}",))
    attempt = site.store.last_attempt(proposal.project, proposal.id)
    by_others = "merged by others" + (f" as {proposal.merged_revision}" if proposal.merged_revision else "")
    reasons = attempt.reasons if attempt and attempt.outcome is Outcome.LANDED else (by_others,)
    return dataclasses.replace(blank, outcome=Outcome.LANDED, revision=proposal.merged_revision, reasons=reasons)


def _check_outlivers() -> None:
    """Look whether the hostile seed outlived its worker; the sandbox is broken if it did, and nobody may rely on it."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if arguments[0] == seeds.OUTLIVER.encode():
            raise UnavailableError(
                "a process of a test outlived its worker",
                details=f"process {folder.name} is {seeds.OUTLIVER}",
                resolution="Do not gate anything on this machine; please report it with the output of `uname -a`.",
            )
