"""What a person means by where she stands: the project and the branch of the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from byoci.errors import UsageError
from byoci.model import Location

if TYPE_CHECKING:
    from byoci.config.schema import Project
    from byoci.wiring import Site


def projects_here(site: Site) -> list[Project]:
    """The projects whose trunk is in the working folder's repository, or else where that was cloned from."""
    from byoci.config.detect import repository
    from byoci.config.trunks import canonical

    try:
        found = repository(Path.cwd())
    except UsageError:
        return []  # it has no commit yet, for example
    if found is None:
        return []
    for place in (found.trunk, found.origin):
        url = place and canonical(place).url
        fitting = [project for project in site.config.projects.values() if canonical(project.trunk).url == url]
        if fitting:
            return fitting
    return []


def project_for(site: Site, name: str | None, how: str = "--project") -> Project:
    """The project of that name; without one the only one that fits the working folder, or the only one there is.

    how  what a person types to name it
    """
    projects = site.config.projects
    if name is not None:
        return site.config.project(name)
    fitting = projects_here(site)
    if len(fitting) == 1:
        return fitting[0]
    if len(projects) == 1:
        return next(iter(projects.values()))
    raise UsageError(
        "which project?",
        details="The working folder's repository holds no project's trunk, or those of several.",
        resolution=f"Name it with {how}: {', '.join(projects) or 'there is none yet, see byoci init'}.",
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
