"""The `byoci` command: its groups, its options, and how errors become exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from byoci import __version__, log
from byoci.cli import output
from byoci.config.paths import NAMESPACES
from byoci.errors import ByociError, of_bug, of_system

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from byoci.wiring import Site

_log = logging.getLogger(__name__)

_EPILOG = """Exit codes: 0 done; 1 the proposal or job failed; 2 wrong use or configuration; 3 nothing to do; 75 byoci
failed, try again."""

COMPLETE_VARIABLE: Final = "_BYOCI_COMPLETE"

COMMANDS: Final[Mapping[str, str]] = {
    "init": "byoci.cli.init:init",
    "land": "byoci.cli.land:land",
    "queue": "byoci.cli.land:queue",
    "shadow": "byoci.cli.land:shadow",
    "explain": "byoci.cli.explain:explain",
    "why": "byoci.cli.proof:why",
    "audit": "byoci.cli.proof:audit",
    "replay": "byoci.cli.replay:replay",
    "proposal": "byoci.cli.proposal:proposal",
    "config": "byoci.cli.config:config",
    "migrate": "byoci.cli.migrate:migrate",
    "agent": "byoci.cli.agent:agent",
    "host": "byoci.cli.host:host",
    "up": "byoci.cli.controller:up",
    "down": "byoci.cli.controller:down",
    "controller": "byoci.cli.people:controller",
    "job": "byoci.cli.job:job",
    "monitor": "byoci.cli.monitor:monitor",
    "completion": "byoci.cli.completion:completion",
}


@dataclass
class Context:
    """The options that every command shares, and the site that they name, opened when a command asks for it."""

    config: Path | None = None
    namespace: str = "testing"
    json: bool = False
    acting_for: str | None = None
    _site: Site | None = None

    @property
    def site_if_any(self) -> Site | None:
        """The configured site, for what works without one; None where there is none, or it cannot be read."""
        from byoci.errors import ConfigError

        try:
            return self.site
        except ConfigError:
            return None

    @property
    def site(self) -> Site:
        """The configured site; loading it can raise `ConfigError`."""
        if self._site is None:
            from byoci.wiring import open_site

            self._site = open_site(self.config, self.namespace)
        return self._site


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """In the order in which they are written down, which is the order in which one meets them."""
        return [*self.commands, *self._lazy]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but what was meant is guessed among all commands."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            known = self.list_commands(ctx)
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=known, ctx=ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazy[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, lazy=COMMANDS, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="byoci")
@click.option("--config", type=click.Path(path_type=Path), envvar="BYOCI_CONFIG", help="The configuration file.")
@click.option(
    "--namespace",
    "-N",
    type=click.Choice(NAMESPACES),
    default=NAMESPACES[0],
    envvar="BYOCI_NAMESPACE",
    show_default=True,
    help="Which site.",
)
@click.option("--verbose", "-v", count=True, help="Tell what is done; twice: every program that is started.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, namespace: str, verbose: int) -> None:
    """Build Your Own CI: approved proposals are merged in memory, tested sealed off, and only then published.

    \b
    In your own git or bzr repository:
      byoci init
      byoci proposal create --source my-branch --title "What it does"   # tells its ID
      byoci proposal set-status ID approved
      byoci land
    """
    log.configure(verbose)
    output.status.lasting = verbose > 0
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    ctx.obj = Context(config, namespace)


def json_option(function: Any) -> Any:
    """The option `--json` of a command."""

    def wanted(ctx: click.Context, _parameter: click.Parameter, value: bool) -> bool:
        ctx.find_root().obj.json = value
        return value

    return click.option(
        "--json", "json_wanted", is_flag=True, callback=wanted, expose_value=False, help="Print JSON, for programs."
    )(function)


def run(command: click.Command, arguments: Sequence[str] | None = None, program: str = "byoci") -> int:
    """Run a command line; returns its exit code. Every error that byoci raises on purpose is told to a person."""
    context = None
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        with command.make_context(program, words, obj=Context()) as context:
            result = command.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as problem:
        problem.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        output.progress("byoci: interrupted")
        return 130
    except Exception as problem:  # noqa: BLE001 - that we failed has an exit code of its own, whatever it was
        return _failed(context, problem)
    return result if isinstance(result, int) else 0


def _failed(context: click.Context | None, problem: Exception) -> int:
    if isinstance(problem, BrokenPipeError):
        # Whoever read our output has seen enough; Python would complain once more at its end.
        sys.stdout = None
        return 0
    if isinstance(problem, OSError):
        told: ByociError = of_system(problem)
    elif isinstance(problem, ByociError):
        told = problem
    else:
        _log.info("a bug", exc_info=problem)
        told = of_bug(problem)
    wanted = context is not None and isinstance(context.obj, Context) and context.obj.json
    output.error(told, json_wanted=wanted)
    return told.exit_code


def main() -> None:
    """Entry point of the program `byoci`, and of the completion script that it gives to shells."""
    wanted = os.environ.get(COMPLETE_VARIABLE)
    if wanted is not None:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(cli, {}, "byoci", COMPLETE_VARIABLE, wanted))
    sys.exit(run(cli))
