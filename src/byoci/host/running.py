"""The site as processes in the background: the controller, its jobs, and the monitor; made to run, and ended."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.controller import background as controllers
from byoci.controller.client import Client
from byoci.durable import locked
from byoci.errors import ByociError
from byoci.host import secrets
from byoci.host.agent_nodes import sync
from byoci.host.site_agent import prepare
from byoci.web import background
from byoci.web.background import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.config.loading import Config
    from byoci.jenkins.jobs import Change, Plan
    from byoci.web.background import Found
    from byoci.wiring import Site

MONITOR: Final = "monitor"


@dataclass(frozen=True, slots=True)
class Running:
    """What of a site runs now.

    controller  None where it is a Jenkins, which byoci does not start
    monitor   None where it is not wanted, or could not be started
    jobs      what was done about the controller's jobs
    foreign   jobs of wanted names that are somebody else's
    changed   whether anything was started or changed
    troubles  what could not be done, although the controller runs
    """

    controller: Found | None
    monitor: Found | None = None
    jobs: tuple[Change, ...] = ()
    foreign: tuple[str, ...] = ()
    changed: bool = False
    troubles: tuple[ByociError, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a namespace's site keeps its state.

    controller  the controller's state
    secrets     the namespace's secrets
    """

    namespace: str
    controller: Path
    secrets: Path


def place_of(config: Config) -> Place:
    """Where the configured site is."""
    return Place(config.namespace, config.controller_folder, config.state / secrets.FOLDER)


def own_program(config: Config) -> tuple[str, ...]:
    """How somebody else on this machine calls this byoci with this configuration."""
    home = f"BYOCI_HOME={config.home}"  # whoever calls it has another environment
    return ("env", home, _byoci(), *_options(config))


def _byoci() -> str:
    return str(Path(sys.executable).with_name("byoci"))


def _options(config: Config) -> tuple[str, ...]:
    return "--config", str(config.path.absolute()), "--namespace", config.namespace


def bring_up(place: Place, site: Site | None, port: int | None = None, *, with_monitor: bool = True) -> Running:
    """Have the site run: what runs already as it should stays as it is.

    site  None where there is no configuration: then there is only a controller
    port  of the controller, for once

    Raises `UnavailableError` where the controller does not start. Of several at once each waits for the one before it.
    """
    # A folder for this lock alone: who installs a site holds the site's, and the controller, which is asked, its own.
    lock = place.controller.parent / "running"
    for folder in (place.controller, lock):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(lock):
        if site is not None and not site.config.has_own_controller:
            return _with_the_rest(place, site, None, started=False, with_monitor=with_monitor)
        before = controllers.find(place.controller)
        controller = _controller(place, site.config if site else None, before, port)
        started = before is None or before.pid != controller.pid
        if site is None:
            return Running(controller, changed=started)
        return _with_the_rest(place, site, controller, started=started, with_monitor=with_monitor)


def _controller(place: Place, config: Config | None, found: Found | None, port: int | None) -> Found:
    home, wanted = place.controller, serving_of(config)
    if found is not None and found.url:
        at_its_port = port in (None, 0) or f":{port}/" in found.url
        if at_its_port and controllers.is_as_started(home, wanted):
            return found
        controllers.stop(home)
    prepare(place.secrets, home, place.namespace)
    return controllers.start(home, wanted, port)


def serving_of(config: Config | None) -> controllers.Serving:
    """How the configuration has the controller answer."""
    from byoci.config.schema_controller import Controller
    from byoci.controller.bounds import Bounds

    settings = config.controller if config else Controller()
    kept = settings.keep
    bounds = Bounds(kept.log, kept.artifacts, kept.files)
    return controllers.Serving(settings.port, settings.listen, settings.url or "", bounds)


def _with_the_rest(place: Place, site: Site, controller: Found | None, *, started: bool, with_monitor: bool) -> Running:
    """Agents, jobs and monitor; each may fail, and the others go on."""
    agents = site.config.agents
    troubles = sync(Client(controller.url, place.controller), agents, place.namespace) if controller else []
    plan = monitor = None
    changed = started
    try:
        plan = update_jobs(site)
    except ByociError as error:
        troubles.append(error)
    try:
        monitor, new = _monitor(site) if with_monitor else (None, False)
        changed |= new
    except ByociError as error:
        troubles.append(error)
    jobs, foreign = (plan.changes, plan.foreign) if plan else ((), ())
    return Running(controller, monitor, jobs, foreign, changed or bool(jobs), tuple(troubles))


def update_jobs(site: Site) -> Plan:
    """Make the controller's jobs what the definition says; what was done."""
    from byoci.jenkins.jobs import carry_out, plan_update

    jenkins = site.jenkins()
    plan = plan_update(jenkins, site.jobs(own_program(site.config)))
    for change in plan.changes:
        carry_out(jenkins, change)
    return plan


def _monitor(site: Site) -> tuple[Found, bool]:
    """The monitor, and whether it was started now."""
    config = site.config
    home = config.monitor_folder
    argv = (_byoci(), *_options(config), "monitor", "serve")
    program = Program(MONITOR, argv, {"BYOCI_HOME": str(config.home)}, repr(config.root))
    found = background.find(home)
    if found is not None and found.url:
        if background.is_as_started(home, program.mark):
            return found, False
        background.stop(home, MONITOR)
    return background.start(home, program), True


def bring_down(place: Place, monitor: Path | None) -> Sequence[str]:
    """End what of the site runs, the monitor before the controller; what was ended. Builds that run go on.

    monitor  the monitor's state, None where there can be none
    """
    ended = [MONITOR] if monitor is not None and background.stop(monitor, MONITOR) else []
    return [*ended, controllers.WHAT] if controllers.stop(place.controller) else ended
