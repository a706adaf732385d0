"""Set up a site of a namespace, and try it: definition, secrets, seeded projects, and what lands of them."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.errors import ByociError, UnavailableError
from byoci.gate.rounds import land_round
from byoci.host import definition, seeds
from byoci.model import Landing, Location, Outcome, Status
from byoci.wiring import open_site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.model import Proposal
    from byoci.wiring import Site

HELLO: Final = ("hello-git", "hello-bzr")


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installation came to.

    rows     every proposal of every seeded project
    changed  whether anything was written: a definition, a secret, a seed, or a landing
    errors   what byoci itself failed at, where a project could not be worked on
    """

    rows: tuple[Landing, ...]
    changed: bool
    errors: tuple[ByociError, ...] = ()


def install(home: Path, namespace: str, checkout: Path | None, tell: Callable[[str], None]) -> Installed:
    """Set up the namespace's site below `home` and land what may land. Again, it makes what is missing only.

    checkout  byoci's own source, which becomes the project `byoci`; None leaves that project out
    """
    state = home / namespace
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = _names(namespace, checkout)
    trunks = {name: _trunk(state, name) for name in names}
    made = definition.write(state / "definition", definition.render(namespace, trunks))
    tell(f"the definition is in {state / 'definition'}" + ("" if made else ", as it was"))
    made |= definition.write_secrets(state / "secrets")
    site = open_site(state / "definition" / "byoci.toml", namespace)
    before = _fates(site)
    for name in names:
        _seed(site, name, checkout, tell)
    changed = made or _fates(site) != before
    return _land(site, names, tell, changed=changed)


def _names(namespace: str, checkout: Path | None) -> tuple[str, ...]:
    """The projects to seed. Production is for a team's own."""
    if namespace == "production":
        return ()
    return HELLO if checkout is None else (*HELLO, "byoci")


def _trunk(state: Path, name: str) -> Location:
    folder = state / "seeds" / name
    return Location(str(folder / "trunk")) if name.endswith("bzr") else Location(str(folder), "main")


def _seed(site: Site, name: str, checkout: Path | None, tell: Callable[[str], None]) -> None:
    folder = site.config.state / "seeds" / name
    tell(f"{name}: {'its proposals are there' if folder.exists() else 'making its repository and proposals'}")
    if name in HELLO:
        seeds.seed_hello(name, folder, site.local_forge, site.config.home)
    elif checkout is not None:
        seeds.seed_byoci(checkout, folder, site.local_forge, _clone)


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


def _land(site: Site, names: Sequence[str], tell: Callable[[str], None], *, changed: bool) -> Installed:
    rows: dict[str, Landing] = {}
    errors: list[ByociError] = []
    before = _fates(site)
    for name in names:
        try:
            for row in land_round(site.gate(name, tell), site.leases):
                rows[row.landing.proposal] = row.landing
                errors += [row.error] if row.error is not None else []
        except ByociError as error:
            errors.append(error)
            tell(f"{name}: not worked on: {error.brief}")
    everything = [_row(site, item, rows.get(item.id)) for item in site.local_forge.list_proposals()]
    _check_outlivers()
    return Installed(tuple(everything), changed or _fates(site) != before, tuple(errors))


def _row(site: Site, proposal: Proposal, row: Landing | None) -> Landing:
    """A proposal's row: this round's, or for one that is over what the forge and the lander's memory tell."""
    if row is not None:
        return row
    blank = Landing(proposal.project, proposal.id, proposal.title, Outcome.WAITING)
    if proposal.status is not Status.MERGED:
        return dataclasses.replace(blank, reasons=(f"its status is {proposal.status}",))
    attempt = site.store.last_attempt(proposal.project, proposal.id)
    reasons = attempt.reasons if attempt and attempt.outcome is Outcome.LANDED else ("merged by others",)
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
