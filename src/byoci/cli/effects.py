"""The catalogue of a landing's effects, for people; `python -m byoci.cli.effects` writes docs/effects.md."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING, Final

import byoci
from byoci import effects

if TYPE_CHECKING:
    from collections.abc import Iterable

_INTRODUCTION: Final = """\
# Effects

<!-- Made by `python -m byoci.cli.effects`; a test compares the two. -->

Everything that a landing does to the world has a name: each write to a repository, forge, database or file, and each
program that is started. `byoci -vv land` tells every one as it begins and as it ends; the last one that began is what a
lander that is stuck, or dead, is or was at.

byoci may be killed at any moment. The next run finishes what was begun: nothing is lost, nothing lands twice, nothing
is told twice. Killed *before* an effect, nothing of it has happened, and the next run comes to it again, or has no need
to. The table says what the next run makes of one that was cut short, and of one that was the last. Tests kill a lander
before, in the midst of and after every one.
"""
# Which names belong together, in the order in which a landing meets them, and what they are about.
_GROUPS: Final = {
    "database": "Databases: the local forge, and the lander's cache",
    "lease": "The lease of a trunk",
    "cache": "The lander's cache, `lander.sqlite`",
    "scratch": "Scratch folders in a private repository",
    "boot": "Private repositories after a power failure",
    "git": "git",
    "bzr": "bzr",
    "worker": "Workers",
    "layer": "Setup layers",
    "tree": "Shared trees, which lie below workspaces",
    "workdir": "A job's working folder",
    "log": "Logs of tests",
    "certificate": "Certificates",
    "checkout": "A trunk in git that a person has checked out",
    "notes": "Certificates beside trunk, in git",
    "sibling": "Certificates beside trunk, in bzr",
    "forge": "The forge",
    "byhand": "A landing by hand",
}
_PARTS: Final = ("sqlite", "forge", "gate", "store", "vcs", "worker")


def render_effects() -> str:
    """The text of docs/effects.md."""
    _import_all()
    known = effects.catalogue().values()
    parts = [_INTRODUCTION]
    for group, title in _GROUPS.items():
        found = [effect for effect in known if effect.name.startswith(f"{group}.")]
        parts.append(f"## {title}\n\n" + "\n".join(_table(found)) + "\n")
    return "\n".join(parts)


def _table(found: Iterable[effects.Effect]) -> Iterable[str]:
    yield "| effect | does | cut short | done, and nothing after it |"
    yield "|---|---|---|---|"
    for effect in found:
        yield f"| `{effect.name}` | {effect.writes} | {effect.half} | {effect.done} |"


def _import_all() -> None:
    """Import every module that could declare an effect."""
    for found in pkgutil.walk_packages(byoci.__path__, "byoci."):
        if found.name.split(".")[1] in _PARTS or found.name == "byoci.cli.workdirs":
            importlib.import_module(found.name)


if __name__ == "__main__":
    sys.stdout.write(render_effects())
