"""What a project's commands name and its workers do not have, told before the first tests fail for it."""

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.config.loading import Config
    from byoci.config.schema import Project

_PYTHON: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


def lacking(config: Config, project: Project) -> Iterator[str]:
    """A sentence for each program and Python module that the system which workers see does not have.

    Looks at the first word of each command only, and at what `python3 -m` runs; nothing where the worker has an image
    of its own.
    """
    if config.workers[project.worker].image != "host":
        return
    for command in dict.fromkeys((*project.setup.command, *project.tests.command)):
        program, module = _named(command)
        if program is None:
            continue
        if not _has_program(program):
            yours = shutil.which(program)
            yield (
                f"Workers have no {program}: they see this system's own programs"
                + (f", and yours is {yours}. " if yours else ". ")
                + "Install it for all users."
            )
        elif module is not None and not _has_module(program, module):
            yield (
                f"Workers' {program} has no {module}: install it for all users (python3-{module.replace('_', '-')}),"
                " or let setup.command install it."
            )


def _named(command: str) -> tuple[str | None, str | None]:
    """The program that a shell command starts with, and the Python module that it runs; None for what is not plain."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return None, None
    while words and "=" in words[0]:
        words.pop(0)
    if not words or set(words[0]) & set("/$`(){}<>|&;*?[]!~"):
        return None, None
    runs_module = words[0].startswith("python") and words[1:2] == ["-m"] and len(words) > 2
    return words[0], words[2] if runs_module else None


def _has_program(name: str) -> bool:
    from byoci import proc
    from byoci.worker.sandbox_args import PATH

    known = proc.run(("bash", "-c", 'type -t -- "$1"', "bash", name), env={"PATH": PATH}, ok=None, timeout=10)
    return known.status == 0


def _has_module(python: str, module: str) -> bool:
    from byoci import proc
    from byoci.worker.sandbox_args import PATH

    path = shutil.which(python, path=PATH)
    return (
        path is None
        or not proc.run((path, "-I", "-c", _PYTHON, module), env={"PATH": PATH}, ok=None, timeout=30).status
    )
