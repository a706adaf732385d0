"""Shell completion of names that the site knows. It never fails: where nothing can be read, nothing is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from byoci.errors import ByociError

if TYPE_CHECKING:
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
