"""Jobs, folders and views: what there is, kept in memory and in the state alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import SubElement, tostring

from byoci.controller import expressions
from byoci.controller.jobxml import JobRefusedError, parse_xml, root_part
from byoci.controller.jobxml_freestyle import ROOTS, read_job
from byoci.controller.places import check_name, join
from byoci.controller.render import safe_text
from byoci.controller.rows import Item
from byoci.controller.views import read_view
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from byoci.controller.job import Job
    from byoci.controller.places import Places
    from byoci.controller.state import State
    from byoci.controller.views import View

_log = logging.getLogger(__name__)
FOLDER: Final = "com.cloudbees.hudson.plugins.folder.Folder"
ALL_VIEW: Final = "all"
_LONGEST: Final = 1000  # characters of a path, which bounds how deep folders nest


class MissingError(UsageError):
    """There is no such job, folder, view, build or node."""


class DisabledError(UsageError):
    """The job is disabled: it is not built."""


class TakenError(UsageError):
    """The name is taken."""


class Catalog:
    """See the module. Paths are names with slashes between them; "" is the root.

    Errors: `MissingError` and `TakenError`; `UsageError` for names and configurations that cannot be.
    """

    def __init__(self, state: State, places: Places) -> None:
        self._state = state
        self._places = places
        self._items = {item.path: item for item in state.items()}
        self._jobs: dict[str, Job] = {
            path: read_job(item.config) for path, item in self._items.items() if not item.folder
        }
        self._views = state.views()
        self.version = 0  # another one after every change

    @property
    def jobs(self) -> dict[str, Job]:
        """All jobs by path. Not to be changed."""
        return self._jobs

    def item(self, path: str) -> Item:
        """The item of that path."""
        try:
            return self._items[path]
        except KeyError:
            raise MissingError(f"there is no job {path[:200]!a}") from None

    def job(self, path: str) -> Job:
        """The job of that path."""
        if path not in self._jobs:
            raise MissingError(f"there is no job {path[:200]!a}")
        return self._jobs[path]

    def below(self, folder: str) -> list[Item]:
        """What is directly in a folder, by name."""
        if folder and not self.item(folder).folder:
            raise MissingError(f"{folder[:200]!a} is no folder")
        start = join(folder, "")
        found = (item for path, item in self._items.items() if path.startswith(start) and "/" not in path[len(start) :])
        return sorted(found, key=lambda item: item.path)

    def create(self, folder: str, name: str, config: bytes) -> None:
        """Make a job or a folder in `folder`."""
        path = self._free(folder, check_name(name, "job"))
        job = None if parse_xml(config).tag == FOLDER else read_job(config)
        if job is None:
            check_folder(config)
        item = Item(path, folder=job is None, config=config, following=1)
        self._state.save_item(item)
        self._items[path] = item
        if job is not None:
            self._jobs[path] = job
        self.version += 1

    def configure(self, path: str, config: bytes) -> None:
        """Change the configuration of a job or folder."""
        item = self.item(path)
        if item.folder:
            if parse_xml(config).tag != FOLDER:
                raise UsageError("a folder cannot become anything else", details=path[:200])
            check_folder(config)
        job = None if item.folder else read_job(config)
        changed = Item(path, item.folder, config, item.following)
        self._state.save_item(changed)
        self._items[path] = changed
        if job is not None:
            self._jobs[path] = job
        self.version += 1

    def copy(self, folder: str, source: str, name: str) -> None:
        """Make a job of another one's configuration. As in Jenkins, `source` may be in the same folder."""
        path = self.resolve(source, folder)
        item = self.item(path)
        if item.folder:
            raise UsageError("folders cannot be copied", details=path[:200])
        self.create(folder, name, item.config)

    def rename(self, path: str, name: str) -> str:
        """Give an item another name in its folder, with all that is below it; gives its new path."""
        self.item(path)
        target = self._free(path.rpartition("/")[0], check_name(name, "job"))
        self._state.move_item(path, target)
        self._places.move(path, target)
        self._reload()
        return target

    def move(self, path: str, folder: str) -> str:
        """Put an item into another folder, with all that is below it; gives its new path."""
        item = self.item(path)
        if folder == path or folder.startswith(f"{path}/"):
            raise UsageError("a folder cannot be moved into itself", details=path[:200])
        target = self._free(folder, item.name)
        self._state.move_item(path, target)
        self._places.move(path, target)
        self._reload()
        return target

    def describe(self, path: str, text: str) -> None:
        """Give an item another description."""
        root = parse_xml(self.item(path).config)
        element = root.find("description")
        if element is None:
            element = SubElement(root, "description")
        element.text = safe_text(text)
        self.configure(path, tostring(root, encoding="utf-8", xml_declaration=True))

    def delete(self, path: str) -> None:
        """Remove an item with all that is below it, builds and files."""
        self.item(path)
        self._state.drop_item(path)
        self._places.drop(self._places.job(path))
        self._reload()

    def enable(self, path: str, *, enabled: bool) -> None:
        """Let a job be built, or not."""
        root = parse_xml(self.item(path).config)
        if root.tag not in ROOTS:
            raise UsageError("only jobs can be enabled and disabled", details=path[:200])
        element = root.find("disabled")
        if element is None:
            element = SubElement(root, "disabled")
        element.text = "false" if enabled else "true"
        self.configure(path, tostring(root, encoding="utf-8", xml_declaration=True))

    def resolve(self, name: str, folder: str) -> str:
        """The path that a job in `folder` means by `name`: beside it, else from the root, as with a leading slash."""
        if name.startswith("/"):
            return name.strip("/")
        parts: list[str] = [part for part in folder.split("/") if part]
        for part in name.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        beside = "/".join(parts)
        return beside if beside in self._items else name.strip("/")

    def _free(self, folder: str, name: str) -> str:
        if folder and not self.item(folder).folder:
            raise MissingError(f"{folder[:200]!a} is no folder")
        path = join(folder, name)
        if len(path) > _LONGEST:
            raise UsageError("folders nest too deep", details=f"A path has at most {_LONGEST} characters.")
        if path in self._items:
            raise TakenError(f"A job already exists with the name “{name}”")
        return path

    def _reload(self) -> None:
        self._items = {item.path: item for item in self._state.items()}
        self._jobs = {
            path: self._jobs.get(path) or read_job(item.config) for path, item in self._items.items() if not item.folder
        }
        self._views = self._state.views()
        self.version += 1

    # Views

    def views(self, folder: str) -> list[str]:
        """Names of the views of a folder, without the one that shows everything."""
        start = join(folder, "")
        return [path[len(start) :] for path in self._views if path.startswith(start) and "/" not in path[len(start) :]]

    def view(self, folder: str, name: str) -> bytes:
        """A view's config.xml."""
        try:
            return self._views[join(folder, name)]
        except KeyError:
            raise MissingError(f"there is no view {name[:200]!a}") from None

    def save_view(self, folder: str, name: str, config: bytes, *, new: bool) -> None:
        """Make or change a view."""
        if folder and not self.item(folder).folder:
            raise MissingError(f"{folder[:200]!a} is no folder")
        if new:
            check_name(name, "view")
            if name in self.views(folder) or name == ALL_VIEW:
                raise TakenError(f"A view already exists with the name “{name}”")
        else:
            self.view(folder, name)
        read_view(parse_xml(config))
        path = join(folder, name)
        self._state.save_view(path, config)
        self._views[path] = config
        self.version += 1

    def drop_view(self, folder: str, name: str) -> None:
        """Remove a view."""
        self.view(folder, name)
        path = join(folder, name)
        self._state.drop_view(path)
        del self._views[path]
        self.version += 1

    def read_view(self, folder: str, names: Sequence[str]) -> View:
        """The view of that name; of more names the view in the view and so on."""
        found = read_view(parse_xml(self.view(folder, names[0])))
        for name in names[1:]:
            inner = dict(found.views).get(name)
            if inner is None:
                raise MissingError(f"there is no view {name[:200]!a}")
            found = inner
        return found

    def shown_in(self, folder: str, view: View) -> list[Item]:
        """The items that a view shows."""
        start = join(folder, "")
        if not view.below:
            found = self.below(folder)
        else:
            found = sorted(
                (item for path, item in self._items.items() if path.startswith(start)), key=lambda item: item.path
            )
        names = {item.path[len(start) :]: item for item in found}
        names = {
            name: item for name, item in names.items() if view.may_show(name, disabled=self._is_disabled(item.path))
        }
        if view.everything:
            return list(names.values())
        shown = view.names | self._matching(view, names)
        return [item for name, item in names.items() if name in shown]

    @staticmethod
    def _matching(view: View, names: Iterable[str]) -> frozenset[str]:
        try:
            return expressions.matching(view.pattern, names) if view.pattern else frozenset()
        except UsageError as error:  # it was looked at when it was saved; there may be other jobs since
            _log.warning("%s", error)
            return frozenset()

    def names_below(self, folder: str) -> list[str]:
        """Of all that is in a folder, at any depth, as views know them."""
        start = join(folder, "")
        return [path[len(start) :] for path in self._items if path.startswith(start)]

    def _is_disabled(self, path: str) -> bool:
        job = self._jobs.get(path)
        return job is not None and job.disabled

    def change_view(self, folder: str, name: str, job: str, *, shown: bool) -> None:
        """Name a job in a list view, or not any longer."""
        root = parse_xml(self.view(folder, name))
        names = root.find("jobNames")
        if names is None:
            names = SubElement(root, "jobNames")
        for element in names.findall("string"):
            if element.text == job:
                names.remove(element)
        if shown:
            self.item(join(folder, job))
            SubElement(names, "string").text = job
        self.save_view(folder, name, tostring(root, encoding="utf-8", xml_declaration=True), new=False)


def check_folder(config: bytes) -> None:
    """Raises `JobRefusedError` with what a folder's config.xml asks for beyond a folder."""
    part, refusals = root_part(parse_xml(config))
    for name in ("description", "displayName", "primaryView"):
        part.text(name)
    for name in ("icon", "views", "folderViews", "viewsTabBar"):  # how it looks in Jenkins' own pages
        part.part(name)
    for name in ("actions", "properties", "healthMetrics", "triggers", "publishers", "buildWrappers", "builders"):
        below = part.part(name)
        if below is not None:
            below.end()
    for name in ("keepDependencies", "blockBuildWhenDownstreamBuilding", "blockBuildWhenUpstreamBuilding"):
        part.only(name, "false")
    part.only("concurrentBuild", "false")
    part.only("canRoam", "true")
    scm = part.part("scm")
    if scm is not None and scm.name != "hudson.scm.NullSCM":
        scm.refuse("is not known to the controller in a folder")
    part.end()
    if refusals:
        raise JobRefusedError(tuple(refusals))
