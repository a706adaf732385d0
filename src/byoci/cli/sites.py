"""Where commands find the site's configuration and its controller, if there are any."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.config.paths import NAMESPACES, byoci_home
from byoci.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from byoci.cli.main import Context
    from byoci.config.loading import Config
    from byoci.errors import ByociError


dry_option = click.option("-n", "--dry-run", "dry", is_flag=True, help="Show what would be done; do nothing.")


def config_if_any(context: Context) -> Config | None:
    """The configuration; None where there is no file. Raises `ConfigError` for one that is wrong."""
    from byoci.config.loading import found_file

    there = found_file(context.config, os.environ, context.namespace)
    return None if there is None else context.site.config


def controller_home(context: Context) -> Path:
    """The controller's state folder; a site without a configuration has the usual one."""
    if context.namespace not in NAMESPACES:
        raise UsageError(f"there is no namespace {context.namespace}", details=f"There are {', '.join(NAMESPACES)}.")
    config = config_if_any(context)
    return config.controller_folder if config else byoci_home(os.environ) / context.namespace / "controller"


def own_program(context: Context) -> tuple[str, ...]:
    """How somebody else on this machine calls this byoci with this configuration."""
    path, namespace = context.site.config.path, context.namespace
    program = str(Path(sys.executable).with_name("byoci"))
    home = f"BYOCI_HOME={context.site.config.home}"  # an agent's environment is not this one
    return ("env", home, program, "--config", str(path.absolute()), "--namespace", namespace)


def need_controller() -> None:
    """Raises `UsageError` where the embedded controller is not installed."""
    _need("the embedded controller", "controller", ("starlette", "uvicorn", "httptools", "defusedxml"))


def need_own_controller(context: Context) -> None:
    """Raises `NothingToDoError` where the controller is a Jenkins, which byoci neither starts nor ends."""
    config = config_if_any(context)
    if config and not config.has_own_controller:
        raise NothingToDoError(
            "the controller is not byoci's own",
            details=f'It is the Jenkins at {config.controller.url}: controller.engine = "jenkins"',
            resolution="Type: byoci monitor serve",
        )


def need_jenkins(context: Context) -> None:
    """Raises `UsageError` where the controller is byoci's own."""
    if context.site.config.has_own_controller:
        raise UsageError(
            "the controller is byoci's own, which sees to its agents itself and has no plugins",
            resolution='This is for a Jenkins: controller.engine = "jenkins".',
        )


def need_monitor() -> None:
    """Raises `UsageError` where the monitor is not installed."""
    _need("the monitor", "monitor", ("starlette", "uvicorn", "jinja2"))


def _need(what: str, extra: str, modules: tuple[str, ...]) -> None:
    if any(importlib.util.find_spec(name) is None for name in modules):
        raise UsageError(f"{what} is not installed", resolution=f"Install byoci with its extra: byoci[{extra}].")


def sync_nodes(context: Context) -> list[ByociError]:
    """Have the controller know the definition's agents, where it runs; gives what it refused."""
    from byoci.controller import background
    from byoci.controller.client import Client
    from byoci.host.agent_nodes import sync

    home, config = controller_home(context), config_if_any(context)
    found = background.find(home)
    if config is None or found is None or not found.url:
        return []
    return sync(Client(found.url, home), config.agents, context.namespace)
