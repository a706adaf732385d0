"""`byoci completion`: the script that teaches a shell byoci's commands, projects and proposals."""

from __future__ import annotations

import click

from byoci.cli.main import COMPLETE_VARIABLE, cli
from byoci.errors import UsageError


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Your shell.")
def completion(shell: str) -> int:
    """Print the completion script for SHELL.

    \b
      eval "$(byoci completion bash)"        # in ~/.bashrc; likewise zsh in ~/.zshrc
      byoci completion fish >~/.config/fish/completions/byoci.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}")
    click.echo(found(cli, {}, "byoci", COMPLETE_VARIABLE).source())
    return 0
