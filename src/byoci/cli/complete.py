"""Shell completion of names that the site knows. It never fails: where nothing can be read, nothing is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from byoci.errors import ByociError
from byoci.model import Status, VoteValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from byoci.wiring import Site


def _site(ctx: click.Context) -> Site | None:
    from byoci.wiring import open_site

    parameters = ctx.find_root().params
    try:
        return open_site(parameters.get("config"), parameters.get("namespace") or "testing")
    except (ByociError, OSError):
        return None


def projects(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of projects."""
    site = _site(ctx)
    return [CompletionItem(name) for name in (site.config.projects if site else ()) if name.startswith(incomplete)]


def workers(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of workers."""
    site = _site(ctx)
    return [CompletionItem(name) for name in (site.config.workers if site else ()) if name.startswith(incomplete)]


def _words(values: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Names of an enumeration as one types them: Needs Fixing is needs-fixing."""
    words = [value.lower().replace(" ", "-") for value in values]
    return [CompletionItem(word) for word in words if word.startswith(incomplete.lower())]


def votes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a vote can be."""
    return _words(VoteValue, incomplete)


def statuses(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a proposal's status can be."""
    return _words(Status, incomplete)


def keys(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys of the configuration."""
    site = _site(ctx)
    known = [item.key for item in site.config.origins()] if site else []
    return [CompletionItem(key) for key in known if key.startswith(incomplete)]


def proposals(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Numbers of open proposals, with their titles for help."""
    site = _site(ctx)
    if site is None:
        return []
    try:
        known = [found for found in site.local_forge.list_proposals() if not found.status.final]
    except (ByociError, OSError):
        return []
    return [CompletionItem(found.id, help=found.title) for found in known if found.id.startswith(incomplete)]
