"""`byoci controller user`: who may sign in at the embedded controller, and at the dashboard."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import config_if_any, controller_home, need_controller, need_own_controller
from byoci.config.paths import byoci_home
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.cli.main import Context
    from byoci.identity.people import People

_ADMINISTRATOR = "admin"


@click.group()
def controller() -> None:
    """The embedded controller."""


@controller.command(short_help="Run the controller, until it is ended.")
@click.pass_obj
def serve(context: Context) -> None:
    """Run the controller until SIGTERM or Ctrl-C, as a unit of systemd does. Its builds outlive it.

    Agents of the definition are told to it by `byoci host update-agent-access`.
    """
    from byoci.controller import background
    from byoci.host import secrets
    from byoci.host.running import serving_of
    from byoci.host.site_agent import prepare

    need_own_controller(context)
    need_controller()
    home = controller_home(context)
    prepare(byoci_home(os.environ) / context.namespace / secrets.FOLDER, home, context.namespace)
    program = background.command(home, serving_of(config_if_any(context)))
    os.execv(program[0], program)  # noqa: S606 - the same process, which systemd watches


@controller.group()
def user() -> None:
    """People who sign in, with a password or an API token: at the controller, or (readers) at the dashboard only.

    What is changed holds at once.
    """


def _password_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        help="The password is its first line; - is standard input. Without it one is asked.",
    )(function)


@user.command()
@click.argument("name", help="Whom.")
@_password_option
@click.option("--no-password", is_flag=True, help="Somebody who signs in with API tokens only, as programs do.")
@click.option("--reader", is_flag=True, help="Somebody who reads at the monitor's dashboard, and does nothing else.")
@click.pass_obj
def add(context: Context, name: str, password_file: Path | None, no_password: bool, reader: bool) -> None:
    """Let somebody sign in. Who is no reader may do everything at the controller."""
    from byoci.identity.people import OPERATOR, READER

    if no_password and password_file:
        raise click.UsageError("--password-file and --no-password exclude each other")
    if reader and name == _ADMINISTRATOR:
        raise UsageError("admin is no reader: the site's own programs sign in with that name")
    with _people(context) as people:
        people.add(name, None if no_password else _password(password_file), READER if reader else OPERATOR)
    output.progress(f"{name} may sign in.")


@user.command()
@click.argument("name", help="Whose.")
@_password_option
@click.pass_obj
def password(context: Context, name: str, password_file: Path | None) -> None:
    """Give somebody another password; the one of before is good no more."""
    with _people(context) as people:
        people.set_password(name, _password(password_file))
    output.progress(f"{name} has another password.")


@user.command()
@click.argument("name", help="Whom.")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Let somebody sign in no more, with no password and no token."""
    if name == _ADMINISTRATOR:
        raise UsageError("admin stays: the site's own programs sign in with that name")
    with _people(context) as people:
        known = name in people.names() or name in people.tokens.people()
        people.tokens.drop_all(name)
        if name in people.names() or not known:
            people.remove(name)
    output.progress(f"{name} may sign in no more.")


@user.command()
@click.argument("name", help="Whose.")
@click.option("--label", default="made by byoci controller user token", show_default=True, help="What it is for.")
@click.pass_obj
def token(context: Context, name: str, label: str) -> None:
    """Make an API token for somebody, and print it; it is shown this once."""
    from byoci.identity.access import new_token

    with _people(context) as people:
        if name not in people.names():
            raise UsageError(f"there is no person {name[:100]!a}", resolution="Add the person first.")
        output.say(new_token(people, name, label)[0])


@user.command("list")
@json_option
@click.pass_obj
def list_(context: Context) -> None:
    """Tell who may sign in."""
    from byoci.identity.people import READER

    with _people(context) as people:
        passwords, tokens = people.names(), set(people.tokens.people())
        rows = [
            {
                "name": name,
                "password": passwords.get(name, False),
                "tokens": name in tokens,
                "reader": people.role(name) == READER,
            }
            for name in sorted({*passwords, *tokens})
        ]
    if context.json:
        output.as_json(rows)
        return
    words = {True: "yes", False: "no"}
    shown = [tuple(str(value) if key == "name" else words[bool(value)] for key, value in row.items()) for row in rows]
    output.table(("NAME", "PASSWORD", "TOKENS", "READER"), shown)


def _password(file: Path | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise UsageError("a password is asked in a terminal only", resolution="Name a file: --password-file -")
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8").partition("\n")[0]
    return text.rstrip("\r\n")


@contextlib.contextmanager
def _people(context: Context) -> Iterator[People]:
    from byoci.controller.state import STATE_FILE, State
    from byoci.identity.people import People

    home = controller_home(context)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    people = People(home)
    try:
        if (home / STATE_FILE).exists():
            with contextlib.closing(State(home / STATE_FILE)) as state:
                state.hand_over_tokens(people.tokens.add)
        yield people
    finally:
        people.close()
