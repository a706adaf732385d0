"""`byoci job`: the controller's jobs that byoci makes from the definition, and which of a Jenkins' would run here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.sites import dry_option, need_controller, own_program
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from byoci.cli.main import Context
    from byoci.controller.checking import Checked
    from byoci.jenkins.client import Jenkins
    from byoci.jenkins.jobs import Plan


@click.group()
def job() -> None:
    """Jobs of the controller."""


_regex_argument = click.argument(
    "regex", required=False, default="", help="Jobs whose whole name it matches.  [default: all]"
)


@job.command(short_help="Make the jobs what the definition says.")
@_regex_argument
@dry_option
@json_option
@click.pass_obj
def update(context: Context, regex: str, dry: bool) -> int:
    """Make the controller's jobs what the definition says. The differences are shown.

    For each project these are `land-PROJECT`, `test-PROJECT` and, where `jobs.triggers` says so,
    `trigger-PROJECT-devs-test`.

    A job that byoci did not make stays as it is, also where its name is wanted; that is told, and the exit code is 1.
    """
    from byoci.jenkins.jobs import plan_update

    jenkins = context.site.jenkins()
    plan = plan_update(jenkins, context.site.jobs(own_program(context)), regex)
    return _carry_out(context, jenkins, plan, dry=dry)


@job.command(short_help="Delete jobs that byoci made.")
@_regex_argument
@dry_option
@json_option
@click.pass_obj
def delete(context: Context, regex: str, dry: bool) -> int:
    """Delete jobs that byoci made, with all their builds. Others stay, and that is told where REGEX names them."""
    from byoci.jenkins.jobs import plan_delete

    jenkins = context.site.jenkins()
    return _carry_out(context, jenkins, plan_delete(jenkins, regex), dry=dry)


def _carry_out(context: Context, jenkins: Jenkins, plan: Plan, *, dry: bool) -> int:
    from byoci.jenkins.jobs import carry_out

    for change in plan.changes:
        if not context.json:
            output.say(change.diff().rstrip() if change.new is not None else f"{change.name}: to be deleted")
        if not dry:
            carry_out(jenkins, change)
    for name in plan.foreign:
        output.progress(f"{name} is not byoci's job, and stays as it is.")
    if context.json:
        rows = [{"name": change.name, "change": change.verb, "done": not dry} for change in plan.changes]
        output.as_json(rows)
    elif not plan.changes:
        output.say("All jobs are as they should be." if not plan.foreign else "Nothing to do.")
    else:
        output.say(f"{len(plan.changes)} jobs {'would be ' if dry else ''}done: {_counts(plan)}")
    return 1 if plan.foreign else 0


def _counts(plan: Plan) -> str:
    verbs = [change.verb for change in plan.changes]
    return ", ".join(f"{verb} {verbs.count(verb)}" for verb in dict.fromkeys(verbs))


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
    from byoci.controller import checking

    need_controller()
    if "://" in source:
        word = token_file.read_text(encoding="utf-8").strip() if token_file else ""
        found: Iterable[Checked] = checking.Jenkins(source, user, word).check()
    elif Path(source).is_dir():
        found = checking.check_folder(Path(source))
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
