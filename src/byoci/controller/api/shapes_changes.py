"""What is new in a build as beans: changes, and who made them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from byoci.controller.beans import Bean
from byoci.controller.changes import load_changes
from byoci.controller.repository import Bzr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.beans import Value
    from byoci.controller.changes import Change
    from byoci.controller.controller import Controller
    from byoci.controller.rows import BuildRow

_CHANGE_SETS: Final = {
    "git": ("hudson.plugins.git.GitChangeSetList", "hudson.plugins.git.GitChangeSet"),
    "bzr": ("hudson.plugins.bazaar.BazaarChangeSetList", "hudson.plugins.bazaar.BazaarChangeSet"),
}


def person_bean(controller: Controller, name: str) -> Bean:
    """Somebody who made a change."""
    url = f"{controller.url}user/{quote(name, safe='')}"
    return Bean("hudson.model.User", {"absoluteUrl": url, "fullName": name})


def changes_bean(controller: Controller, build: BuildRow) -> Bean:
    """What is new in a build; read from its file where that is asked for."""
    if not (build.facts or {}).get("changes"):
        return Bean("hudson.scm.EmptyChangeLogSet", {"items": [], "kind": None})
    scm = controller.catalog.job(build.job).scm
    kind = "bzr" if isinstance(scm, Bzr) else "git"

    def full() -> Mapping[str, Value]:
        found = load_changes(controller.places.changes(build.job, build.number))
        return {"items": [_change(controller, change, kind) for change in found]}

    return Bean(_CHANGE_SETS[kind][0], {"kind": kind}, full, inline=True)


def _change(controller: Controller, change: Change, kind: str) -> Bean:
    paths: list[Value] = [Bean("", {"editType": edit, "file": path}) for edit, path in change.paths]
    fields: dict[str, Value] = {
        "affectedPaths": [path for _, path in change.paths],
        "author": person_bean(controller, change.author),
        "authorEmail": change.email,
        "comment": f"{change.message}\n",
        "commitId": change.id,
        "date": datetime.fromtimestamp(change.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S +0000"),
        "id": change.id,
        "msg": change.message.partition("\n")[0],
        "paths": paths,
        "timestamp": round(change.seconds * 1000),
    }
    return Bean(_CHANGE_SETS[kind][1], fields)
