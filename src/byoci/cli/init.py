"""`byoci init`: gate one's own repository."""

from __future__ import annotations

import os
from pathlib import Path

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option


@click.command(short_help="Gate your own git or bzr repository.")
@click.argument(
    "path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="A folder in the repository.  [default: the working folder]",
)
@click.option("--name", help="The project's name; default: the folder's.")
@click.option("--trunk", metavar="URL[;BRANCH]", help="The branch to gate; default: the repository's main branch.")
@click.option("--test", metavar="CMD", help="The command that tests it; default: what the tree suggests.")
@click.option("--minimum", type=click.IntRange(0, 1000), default=0, show_default=True, help="Approvals it takes.")
@json_option
@click.pass_obj
def init(context: Context, path: Path, name: str | None, trunk: str | None, test: str | None, minimum: int) -> int:
    """Gate the git or bzr repository at PATH: find its trunk and test command, and write the configuration.

    The project is added to the configuration in use, or to ~/.config/byoci/byoci.toml. The repository is left alone.
    """
    from byoci.cli.lacking import lacking
    from byoci.config.detect import detect
    from byoci.config.writing import add_project, refuse_gated, render_project, target_file

    detected = detect(path, home=Path.home(), trunk=trunk)
    target = target_file(context.config, os.environ, context.namespace)
    refuse_gated(target, detected.trunk, namespace=context.namespace, environ=os.environ)
    text = render_project(detected, name=name, test=test, minimum=minimum)
    config = add_project(target, text, namespace=context.namespace, environ=os.environ)
    project = config.project(name or detected.name)
    if context.json:
        output.as_json(
            {
                "project": project.name,
                "vcs": project.vcs,
                "trunk": str(project.trunk),
                "tests": list(project.tests.command),
                "config": str(config.path),
            }
        )
        return 0
    output.say(f"{project.name}: {project.vcs} trunk {project.trunk}, tested by: {'; '.join(project.tests.command)}")
    for note in (*detected.notes, *lacking(config, project)):
        output.say(f"  {note}")
    if minimum:
        output.say("  Name whose approvals count: approve.trusted, in the file below.")
    output.say(f"Written to {config.path}. Now, on a branch with your change:")
    output.say('  byoci proposal create --title "What it does"   # tells its ID')
    output.say("  byoci proposal set-status ID approved\n  byoci land")
    return 0
