"""`byoci-install`, the part after the bootstrap: set up the site of a namespace and show what lands on it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option, run
from byoci.config.paths import NAMESPACES, byoci_home
from byoci.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.host.site import Installed

PROGRAM: Final = "byoci-install"
_OUTCOMES: Final = {
    Outcome.LANDED: "landed",
    Outcome.WAITING: "wait",
    Outcome.TESTS_FAILED: "failed their tests",
    Outcome.CONFLICT: "in conflict",
    Outcome.ERROR: "in error",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("namespace", type=click.Choice(NAMESPACES), default=NAMESPACES[0], help="What is set up.")
@click.option("--checkout", type=click.Path(path_type=Path, exists=True, file_okay=False), hidden=True)
@click.option("--no-up", is_flag=True, help="Leave nothing running: land here, without controller and monitor.")
@json_option
@click.pass_obj
def install(context: Context, namespace: str, checkout: Path | None, no_up: bool) -> int:
    """Set up the site of NAMESPACE and land what may land of its seeded projects; again, it makes what is missing.

    The site runs from then on, until `byoci down`; that of `selftest` ends at once.
    The site's definition, secrets and state are in $BYOCI_HOME/NAMESPACE; $BYOCI_HOME is ~/.byoci by default.
    """
    from byoci.host.site import install as install_site

    done = install_site(byoci_home(os.environ), namespace, checkout, _tell, output.doing, run=not no_up)
    if context.json:
        output.as_json([row.as_json() for row in done.rows])
    else:
        _show(done, namespace)
    for error in done.errors:
        output.error(error)
    return 75 if done.errors else 1 if done.unexpected else 0


def _tell(text: str) -> None:
    """A line that stays, in the form of those that the bootstrap printed before."""
    output.progress(f"{PROGRAM}: {text}")


def _show(done: Installed, namespace: str) -> None:
    if done.rows:
        output.say()
        output.landings(done.rows)
    output.say()
    for line in _summary(done, _program(namespace)):
        output.say(line)
    if done.unexpected or not done.errors:
        output.say()
        for line in _next_steps(done, _program(namespace)):
            output.say(line)


def _summary(done: Installed, program: str) -> Iterator[str]:
    if not done.changed:
        yield "Nothing changed: the site is as it was, and nothing more may land."
        return
    if not done.rows:
        yield "The site is there. It has no project yet."
        return
    counts = Counter(row.outcome for row in done.rows)
    told = ", ".join(f"{counts[outcome]} {words}" for outcome, words in _OUTCOMES.items() if counts[outcome])
    good = not done.errors and not done.unexpected
    yield f"{len(done.rows)} proposals: {told}{', each as it should' if good else ''}."
    for row in done.unexpected:
        yield f"{row.project} {row.proposal} should have fared otherwise; see `{program} explain {row.proposal}`."


def _next_steps(done: Installed, program: str) -> Iterator[str]:
    steps = {}
    waiting = next((row.proposal for row in done.rows if row.outcome is Outcome.WAITING), None)
    if waiting is not None:
        steps[f"{program} explain {waiting}"] = "why it waits, and for what"
        steps[f"{program} proposal show {waiting}"] = "all about it"
    steps[f"{program} init PATH"] = "gate your own repository"
    if done.dashboard:
        steps[done.dashboard] = "the dashboard: the site runs on, and lands what is approved"
        steps[f"{program} down"] = f"end it; `{program} up` goes on"
    else:
        steps[f"{program} up"] = "have the site run, and land what is approved by itself"
    width = max(map(len, steps))
    yield "Next:"
    yield from (f"  {command.ljust(width)}   {meaning}" for command, meaning in steps.items())
    if "BYOCI_HOME" in os.environ:
        yield f"It is all in {byoci_home(os.environ)}: byoci looks there as long as BYOCI_HOME says so."


def _program(namespace: str) -> str:
    """What a person types to run `byoci` on this site: its name, or its path where her shell does not find it."""
    ours = byoci_home(os.environ) / "venv/bin/byoci"
    found = shutil.which("byoci")
    program = "byoci" if found and os.path.realpath(found) == os.path.realpath(ours) else shlex.quote(str(ours))
    return program if namespace == NAMESPACES[0] else f"{program} --namespace {namespace}"


def main() -> None:
    """Entry point of the program that the bootstrap runs."""
    sys.exit(run(install, program=PROGRAM))
