"""`byoci config`: every value of the configuration, and where it came from."""

from __future__ import annotations

import json

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option
from byoci.errors import UsageError


@click.command()
@click.argument("key", required=False)
@json_option
@click.pass_obj
def config(context: Context, key: str | None) -> int:
    """Show every value of the configuration and where it came from, or those at and below KEY.

    \b
      byoci config
      byoci config project.hello.tests
      byoci --namespace production config --json
    """
    from byoci.config.older import successor

    loaded = context.site.config
    found = [item for item in loaded.origins() if key is None or f"{item.key}.".startswith(f"{key}.")]
    if not found:
        later = successor(tuple(key.split("."))) if key else None
        resolution = f"An older byoci's {key} is {later} now." if later else "`byoci config` shows all keys."
        raise UsageError(f"the configuration has no {key}", resolution=resolution)
    if context.json:
        output.as_json([item._asdict() for item in found])
        return 0
    output.say(f"# {loaded.path}, namespace {loaded.namespace}, state in {loaded.state}")
    rows = [(item.key, "-" if item.value is None else json.dumps(item.value), item.origin) for item in found]
    output.table(("KEY", "VALUE", "FROM"), rows)
    return 0
