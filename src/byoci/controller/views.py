"""Views: which jobs one shows, as its config.xml tells. How it shows them in Jenkins' own pages is passed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from byoci.errors import UsageError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ALL: Final = frozenset({"hudson.model.AllView", "hudson.model.MyView"})
NESTED: Final = "hudson.plugins.nested__view.NestedView"
LISTS: Final = frozenset(
    {
        "hudson.model.ListView",
        "hudson.plugins.view.dashboard.Dashboard",
        "org.jenkinsci.plugins.categorizedview.CategorizedJobsView",
    }
)
_DEEPEST: Final = 10


@dataclass(frozen=True, slots=True)
class View:
    """What a view shows of the jobs in its folder.

    kind       the name of Jenkins' class
    names      of jobs; below folders within its own with slashes
    pattern    an expression for names of jobs that it shows, too, which is others' and may be hostile; "" for none
    below      whether it looks into folders
    disabled   whether it shows disabled jobs only, or (False) none of them; None for both
    everything whether it shows all
    views      the views in it, by their names
    """

    kind: str
    description: str = ""
    names: frozenset[str] = frozenset()
    pattern: str = ""
    below: bool = False
    disabled: bool | None = None
    everything: bool = False
    views: tuple[tuple[str, View], ...] = ()

    def may_show(self, name: str, *, disabled: bool) -> bool:
        """Whether a job is one of those that it chooses from; `name` is from the view's folder on."""
        if "/" in name and not self.below:
            return False
        return self.disabled is None or self.disabled == disabled

    @property
    def patterns(self) -> frozenset[str]:
        """The expressions of it and of the views in it."""
        return frozenset({self.pattern}.union(*(view.patterns for _, view in self.views))) - {""}


def read_view(root: Element, depth: int = 0) -> View:
    """The view that a config.xml describes. Raises `UsageError` for other kinds and for what is not known here."""
    kind = root.tag.replace("__", "_")
    description = root.findtext("description") or ""
    if root.tag in ALL:
        return View(kind, description, everything=True)
    if root.tag == NESTED:
        if depth > _DEEPEST:
            raise UsageError("views nest too deep")
        inner = tuple((child.findtext("name") or "", read_view(child, depth + 1)) for child in root.iterfind("views/*"))
        return View(kind, description, views=inner)
    if root.tag not in LISTS:
        raise UsageError(
            f"a view of the kind {root.tag[:100]} is not known to the controller",
            details="It knows list, all, nested, dashboard and categorized views.",
        )
    if list(root.iterfind("jobFilters/*")):
        raise UsageError("filters of views are not known to the controller", details="Name jobs, or use an expression.")
    status = (root.findtext("statusFilter") or "").strip()
    return View(
        kind,
        description,
        frozenset(element.text or "" for element in root.iterfind("jobNames/string")),
        (root.findtext("includeRegex") or "").strip(),
        (root.findtext("recurse") or "").strip() == "true",
        {"true": False, "false": True}.get(status),  # it is whether enabled ones are shown
    )
