"""`byoci migrate`: from an older byoci's configuration to a `byoci.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from byoci.config.migrate.jobs import Trunk
    from byoci.config.migrate.plan import Plan

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(short_help="Take over an older byoci's configuration.")
@click.argument(
    "folders", metavar="FOLDER...", type=_FOLDER, nargs=-1, required=True, help="Folders with an older configuration."
)
@click.option("--output", "target", type=click.Path(path_type=Path, dir_okay=False), help="Default: FOLDER/byoci.toml.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--dry-run", "-n", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option(
    "--trunk",
    "trunks",
    metavar="CONTAINER VCS URL[;BRANCH]",
    nargs=3,
    multiple=True,
    help="A trunk that no job tells, and the container that tests it.",
)
@click.option("--keep-secrets", is_flag=True, help="Copy secrets instead of moving them.")
@json_option
@click.pass_obj
def migrate(
    context: Context,
    folders: tuple[Path, ...],
    target: Path | None,
    force: bool,
    dry_run: bool,
    trunks: tuple[tuple[str, str, str], ...],
    keep_secrets: bool,
) -> int:
    """Write byoci.toml from the configuration of an older byoci and byov, and tell what became of each option.

    FOLDER is the older definition: the folder of byov.conf, byov.conf.d and jobs. Others may follow, such as
    ~/.config/byov, /etc/byov and the folder of the secrets; the first counts most, and no other is read. Keys, tokens
    and passwords move to the secrets folders below $BYOCI_HOME, and never into byoci.toml.

    \b
      byoci migrate ~/ci ~/.config/byov ~/ci-secrets --dry-run
      byoci migrate ~/ci --trunk hello git 'https://git.example.com/hello.git;main'
    """
    from byoci.config.migrate.carrying import carry_out
    from byoci.config.migrate.plan import plan

    done = plan(folders, target, [_trunk(*words) for words in trunks], context.namespace, os.environ)
    changed = not dry_run and carry_out(done, force=force, keep=keep_secrets)
    if context.json:
        output.as_json(
            {
                "config": str(done.output),
                "dry_run": dry_run,
                "changed": changed,
                "options": [row._asdict() for row in done.rows],
                "secrets": [{"from": one.told, "to": str(one.target)} for one in done.secrets if one.told],
                "notes": list(done.notes),
                "toml": done.text,
            }
        )
    else:
        _show(done, dry_run=dry_run, changed=changed, keep=keep_secrets)
    return 0 if changed or dry_run else 3


def _trunk(container: str, kind: str, url: str) -> Trunk:
    from byoci.config.migrate.jobs import Trunk
    from byoci.config.trunks import is_local
    from byoci.model import Location

    if kind not in ("git", "bzr"):
        raise UsageError(
            f"--trunk {container} {kind}: the VCS is git or bzr", resolution="For example --trunk a git URL."
        )
    path, _, branch = url.partition(";")
    if is_local(path) and not path.startswith(("/", "~")):
        url = str(Location(str(Path(path).absolute()), branch or None))
    return Trunk(container, kind, url, container, "--trunk")


def _show(done: Plan, *, dry_run: bool, changed: bool, keep: bool) -> None:
    rows = [(row.option, row.place, row.fate, ". ".join(filter(None, (row.now, row.why)))) for row in done.rows]
    output.table(("OPTION", "PLACE", "FATE", "NOW, AND WHY"), rows)
    for title, lines in (("Mind:", done.notes), (_secrets_title(dry_run=dry_run, keep=keep), _moves(done))):
        if lines:
            output.say()
            output.say(title)
            for line in lines:
                output.say(f"  {line}")
    output.say()
    if dry_run:
        output.say(f"{done.output} would be:\n\n{done.text}")
    elif changed:
        output.say(f"Written to {done.output}. Look at it: byoci --config {done.output} config")
    else:
        output.say(f"Nothing to do: {done.output} is as it must be, and no secret is left to move.")


def _secrets_title(*, dry_run: bool, keep: bool) -> str:
    verb = "copied" if keep else "moved"
    return f"Secrets that {'would be' if dry_run else 'were'} {verb}; version control remembers them, so renew them:"


def _moves(done: Plan) -> Sequence[str]:
    return [f"{one.told} -> {one.target}" for one in done.secrets if one.told]
