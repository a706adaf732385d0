"""`byoci up`, `byoci down` and `byoci job`: the embedded controller from the command line."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.config.paths import NAMESPACES, byoci_home
from byoci.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from byoci.cli.main import Context
    from byoci.controller.checking import Checked

_DEFAULT_PORT = 8010


def _home(context: Context) -> Path:
    if context.namespace not in NAMESPACES:
        raise UsageError(f"there is no namespace {context.namespace}", details=f"There are {', '.join(NAMESPACES)}.")
    return byoci_home(os.environ) / context.namespace / "controller"


def _need_extra() -> None:
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "defusedxml")):
        raise UsageError(
            "the embedded controller is not installed", resolution="Install byoci with its extra: byoci[controller]."
        )


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_DEFAULT_PORT, show_default=True, help="0: any free one."
)
@json_option
@click.pass_obj
def up(context: Context, port: int) -> None:
    """Start the embedded controller in the background, on loopback, with this host as its agent.

    It speaks the remote API of Jenkins; sign in as `admin` with the API token in the file that is told.
    """
    from byoci.controller import background

    _need_extra()
    home = _home(context)
    found = background.find(home) or background.start(home, port)
    token = home / "admin-token"
    if context.json:
        output.as_json({"url": found.url, "token_file": str(token), "pid": found.pid})
    else:
        output.say(f"The controller answers at {found.url}\nUser admin, API token in {token}")


@click.command()
@click.pass_obj
def down(context: Context) -> None:
    """End the embedded controller. Builds that run go on, and `byoci up` goes on with them."""
    from byoci.controller import background

    if not background.stop(_home(context)):
        raise NothingToDoError("no controller is running")
    output.progress("The controller has ended.")


@click.group()
def job() -> None:
    """Jobs of the controller."""


@job.command()
@click.argument("source", metavar="URL|FOLDER")
@click.option("--user", default="", help="Whom to sign in as, at a URL.")
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="With his API token.")
@json_option
@click.pass_obj
def check(context: Context, source: str, user: str, token_file: Path | None) -> int:
    """Tell which jobs of a Jenkins would run on the embedded controller, and what in the others would not.

    FOLDER holds what `jenkins-jobs test --config-xml -o FOLDER` wrote, or is the `jobs` of a Jenkins' own home. At a
    URL everything is only read. The exit code is 1 where a job would not run.
    """
    from byoci.controller.checking import Jenkins, check_folder

    _need_extra()
    if "://" in source:
        word = token_file.read_text(encoding="utf-8").strip() if token_file else ""
        found: Iterable[Checked] = Jenkins(source, user, word).check()
    elif Path(source).is_dir():
        found = check_folder(Path(source))
    else:
        raise UsageError(f"{source} is neither a folder nor a URL")
    jobs = list(found)
    bad = [checked for checked in jobs if checked.reasons]
    if context.json:
        rows = [{"name": one.name, "runs": not one.reasons, "reasons": list(one.reasons)} for one in jobs]
        output.as_json(rows)
        return 1 if bad else 0
    for one in bad:
        output.say("\n".join([one.name, *(f"    {reason}" for reason in one.reasons)]))
    output.say(f"{len(jobs)} jobs, of which {len(jobs) - len(bad)} would run")
    return 1 if bad else 0
