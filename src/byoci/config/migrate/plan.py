"""What a migration comes to: all is read, all is decided, and all that is wrong is refused before anything is done."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.config.loading import check
from byoci.config.migrate import render, secret_files, secret_values
from byoci.config.migrate.files import Folders
from byoci.config.migrate.moving import Secrets
from byoci.config.migrate.older_site import OlderSite
from byoci.config.migrate.rows import Report
from byoci.config.migrate.wishes import wishes
from byoci.config.migrate.wrong import MigrationError
from byoci.config.paths import FILE_NAME, NAMESPACES, byoci_home
from byoci.config.problems import unknown_name
from byoci.config.source import contents
from byoci.config.source import parse as parse_toml
from byoci.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from byoci.config.migrate.jobs import Trunk
    from byoci.config.migrate.moving import Cut, Secret
    from byoci.config.migrate.render import Rendered
    from byoci.config.migrate.rows import Row

_LINE: Final = re.compile(r":(\d+): ")
_WORKERS: Final = (
    "Workers are bubblewrap's in this version and see this machine's own programs: install what tests need, or give"
    " [worker.NAME] an image."
)
_FORGE: Final = "Proposals come from byoci's own forge in this version: `byoci proposal create`."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration comes to; nothing of it is done yet.

    output   the file to write, and its `text`
    rows     what became of every older option
    secrets  what moves to the secrets folders; `cuts` are what goes from the older files then
    notes    what a person should know or do, a sentence each
    """

    output: Path
    text: str
    rows: tuple[Row, ...]
    secrets: tuple[Secret, ...]
    cuts: tuple[Cut, ...] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def written(self) -> bool:
        """Whether the file is there already, with this very text."""
        return os.path.lexists(self.output) and contents(self.output) == self.text.encode()


def plan(
    folders: Sequence[Path], output: Path | None, trunks: Sequence[Trunk], namespace: str, environ: Mapping[str, str]
) -> Plan:
    """Read the older configuration in some folders, the first of which counts most, and decide everything.

    output     the file to write; None: byoci.toml in the first folder
    trunks     what the person named beside what the jobs tell
    namespace  where the older files name none

    Raises `MigrationError` (a `ConfigError`) with all that is wrong with it.
    """
    if namespace not in NAMESPACES:
        raise UsageError(
            f"no such namespace: {unknown_name(namespace, NAMESPACES)}", resolution="Choose another with --namespace."
        )
    site = OlderSite(Folders(folders), trunks, namespace)
    made = {name: wishes(site, name) for name in site.namespaces}
    found = Secrets(byoci_home(environ))
    secret_files.find(site, found, environ)
    secret_values.find(site, found)
    report = Report(site, made, found.moved)
    rendered = render.render(made, report.kept())
    target = output if output is not None else folders[0] / FILE_NAME
    _check(rendered, target, site.namespaces[0], environ)
    _refuse_leaks(rendered, found.all)
    waiting = {wish.key[-1] for one in made.values() for wish in one.all.values() if not wish.here}
    general = [note for key, note in (("backend", _WORKERS), ("forge", _FORGE)) if key in waiting]
    notes = (*general, *site.unread, *(note for one in made.values() for note in one.notes))
    return Plan(
        target,
        rendered.text,
        tuple(report.rows()),
        tuple(found.all),
        tuple(found.cuts),
        tuple(dict.fromkeys((*notes, *found.notes))),
    )


def _check(rendered: Rendered, target: Path, namespace: str, environ: Mapping[str, str]) -> None:
    """The text must be one that byoci itself loads; what it finds wrong is told at its older place."""
    path = Path(os.path.realpath(target))
    try:
        check(parse_toml(rendered.text.encode(), path), namespace, environ)
    except ConfigError as error:
        lines = []
        for line in error.details.splitlines():
            number = _LINE.search(line)
            wish = rendered.lines.get(int(number[1])) if number else None
            places = sorted(one.place for one in wish.used) if wish is not None else []
            lines.append(f"{places[0] if places else 'the older configuration'}: {line.partition(': ')[2] or line}")
        raise MigrationError(lines) from error


def _refuse_leaks(rendered: Rendered, found: Iterable[Secret]) -> None:
    """The last look: no secret's own text may stand in the file, by whatever way it would have come there."""
    for one in found:
        word = one.content.strip()
        if one.source is None and len(word) >= 8 and one.told and word in rendered.text.encode():
            raise MigrationError(
                [f"{one.told}: the secret would come into the definition, through another option's value"]
            )
