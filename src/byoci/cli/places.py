"""What a person means by where she stands: the project and the branch of the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from byoci.errors import UsageError
from byoci.model import Location

if TYPE_CHECKING:
    from byoci.config.schema import Project
    from byoci.wiring import Site


def project_for(site: Site, name: str | None) -> Project:
    """The project of that name; without one the project whose trunk's repository this is, or the only one there is."""
    projects = site.config.projects
    if name is not None:
        return site.config.project(name)
    here = _here()
    fitting = [] if here is None else [found for found in projects.values() if Path(found.trunk.url) == here]
    if len(fitting) == 1:
        return fitting[0]
    if len(projects) == 1:
        return next(iter(projects.values()))
    raise UsageError(
        "which project?",
        details="The working folder's repository is no project's trunk, or that of several.",
        resolution=f"Name it with --project: {', '.join(projects) or 'there is none yet, see byoci init'}.",
    )


def source_for(project: Project, source: str | None) -> Location:
    """The branch that `source` names, or the working folder's; a bare branch name is one of the trunk's repository."""
    from byoci.config.detect import current_branch

    if source is None:
        found = current_branch(Path.cwd())
        if found is None:
            raise UsageError("which branch?", resolution="Name it with --source URL[;BRANCH].")
        source_location = found
    else:
        source_location = _named(project, source)
    if source_location == project.trunk:
        raise UsageError(
            f"{source_location} is the trunk itself",
            resolution="Propose another branch: check it out, or name it with --source.",
        )
    return source_location


def _named(project: Project, source: str) -> Location:
    given = Location.parse(source)
    if "://" in given.url or ":" in given.url.partition("/")[0]:
        return given
    if project.vcs == "git" and given.branch is None and "/" not in given.url and not given.url.startswith((".", "~")):
        return Location(project.trunk.url, given.url)
    return Location(str(Path(given.url).expanduser().absolute()), given.branch)


def _here() -> Path | None:
    from byoci.config.detect import current_branch

    found = current_branch(Path.cwd())
    return None if found is None else Path(found.url)
