"""Where commands find the site's configuration and its controller, if there are any."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Final

import click

from byoci.config.paths import NAMESPACES, byoci_home
from byoci.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.cli.main import Context
    from byoci.config.loading import Config
    from byoci.errors import ByociError

_MONITOR: Final = ("starlette", "uvicorn", "jinja2")


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
    from byoci.host.running import own_program

    return own_program(context.site.config)


def need_controller() -> None:
    """Raises `UsageError` where the embedded controller is not installed."""
    _need("the embedded controller", "controller", ("starlette", "uvicorn", "httptools", "defusedxml"))


def need_own_controller(context: Context) -> None:
    """Raises `UsageError` where the controller is a Jenkins, which byoci neither starts nor ends."""
    config = config_if_any(context)
    if config and not config.has_own_controller:
        raise UsageError(
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
    _need("the monitor", "monitor", _MONITOR)


def has_monitor() -> bool:
    """Whether the monitor is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _MONITOR)


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
