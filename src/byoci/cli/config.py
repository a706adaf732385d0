"""`byoci config`: every value of the configuration, and where it came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option
from byoci.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.loading import Config


@click.command(short_help="Show every value and where it came from.")
@click.argument("key", required=False, shell_complete=complete.keys, help="A dotted key, whole or its first parts.")
@json_option
@click.pass_obj
def config(context: Context, key: str | None) -> int:
    """Show every value of the configuration and where it came from, or those at and below KEY.

    \b
      byoci config
      byoci config project.hello.tests
      byoci --namespace production config --json
      byoci config vm.ram_size                       # what an older name is now
    """
    loaded = _loaded(context, key)
    found = [item for item in loaded.origins() if key is None or f"{item.key}.".startswith(f"{key}.")]
    if key is not None and not found:
        raise _unknown(key, loaded)
    if context.json:
        output.as_json([item._asdict() for item in found])
        return 0
    output.say(f"# {loaded.path}, namespace {loaded.namespace}, state in {loaded.state}")
    rows = [(item.key, _place(item.origin, loaded.path), _toml(item.value)) for item in found]
    output.table(("KEY", "FROM", "VALUE"), rows)
    return 0


def _loaded(context: Context, key: str | None) -> Config:
    """The configuration; where there is none that can be loaded, an older name is told all the same."""
    try:
        return context.site.config
    except ConfigError:
        if key is not None and _older(key):
            raise _unknown(key) from None
        raise


def _unknown(key: str, loaded: Config | None = None) -> UsageError:
    now = _older(key)
    near = _nearest(key, loaded) if loaded is not None and not now else None
    brief = f"the configuration has no {key}" + (f"; did you mean {near}?" if near else "")
    resolution = f"{key} is a name of the older byoci; {now}" if now else "`byoci config` shows all keys."
    return UsageError(brief, resolution=resolution)


def _nearest(key: str, loaded: Config) -> str | None:
    """The key, whole or its first parts, that looks most like `key`."""
    from difflib import get_close_matches

    parts = [item.key.split(".") for item in loaded.origins()]
    known = {".".join(words[:length]) for words in parts for length in range(1, len(words) + 1)}
    return next(iter(get_close_matches(key, sorted(known), 1)), None)


def _older(key: str) -> str | None:
    from byoci.config.older import told

    return told(tuple(key.split(".")))


def _place(origin: str, path: Path) -> str:
    """Where a value is from, in few words: the heading tells the file's folder."""
    return origin.replace(f"{path}:", f"{path.name}:", 1)


def _toml(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
