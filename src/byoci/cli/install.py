"""`byoci-install`, the part after the bootstrap: set up the site of a namespace and show what lands on it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option, run

if TYPE_CHECKING:
    from byoci.host.site import Installed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "namespace", type=click.Choice(["testing", "production", "selftest"]), default="testing", help="What is set up."
)
@click.option("--checkout", type=click.Path(path_type=Path, exists=True, file_okay=False), hidden=True)
@json_option
@click.pass_obj
def install(context: Context, namespace: str, checkout: Path | None) -> int:
    """Set up the site of NAMESPACE and land what may land of its seeded projects; again, it makes what is missing.

    The site's definition, secrets and state are in $BYOCI_HOME/NAMESPACE; $BYOCI_HOME is ~/.byoci by default.
    """
    from byoci.config.paths import byoci_home
    from byoci.host.site import install as install_site

    done = install_site(byoci_home(os.environ), namespace, checkout, output.progress)
    if context.json:
        output.as_json([row.as_json() for row in done.rows])
    else:
        output.say()
        output.landings(done.rows)
        output.say()
        output.say(_summary(done))
    for error in done.errors:
        output.error(error)
    return 75 if done.errors else 0


def _summary(done: Installed) -> str:
    if not done.changed:
        return "Nothing changed: the site is there, and nothing may land that has not."
    landed = sum(row.revision is not None for row in done.rows)
    return (
        f"{landed} of {len(done.rows)} proposals are on their trunks. Look closer with `byoci explain ID` and"
        " `byoci proposal show ID`; gate your own repository with `byoci init`."
    )


def main() -> None:
    """Entry point of the program that the bootstrap runs."""
    sys.exit(run(install, program="byoci-install"))
