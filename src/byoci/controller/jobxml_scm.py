"""The element `scm` of a config.xml: which repository a build checks out, of git or of bzr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.jobxml import names_told_twice
from byoci.controller.repository import Bzr, Git, Remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from byoci.controller.jobxml import Part
    from byoci.controller.repository import Repository

_EXTENSIONS: Final = "hudson.plugins.git.extensions.impl."
_BRANCH: Final = re.compile(r"[A-Za-z0-9_$*{}][A-Za-z0-9_./+@#$*{}=-]*")
_REMOTE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REFSPEC: Final = re.compile(r"[+]?[A-Za-z0-9_$][A-Za-z0-9_./+*$@{}:-]*")


def read_scm(part: Part, retries: int) -> Repository | None:
    """The repository; None for none. `retries` is how often more a checkout is tried."""
    found: Repository | None = None
    match part.name:
        case "hudson.plugins.git.GitSCM":
            found = _git(part, retries)
        case "hudson.plugins.bazaar.BazaarSCM":
            found = _bzr(part, retries)
        case "hudson.scm.NullSCM" | "jenkins.scm.NullSCM":  # the other in python-jenkins' own examples
            pass
        case _:
            part.refuse("is not known to the controller: check out in a shell step")
            return None
    part.end()
    return found


def _url(part: Part, name: str) -> str:
    url = part.text(name).strip()
    if not url or url.startswith("-") or not url.isprintable():
        part.refuse(f"is {url[:50]!a}, which is no address of a repository", name)
    return url


def _bzr(part: Part, retries: int) -> Bzr:
    return Bzr(_url(part, "source"), part.flag("cleantree"), part.flag("checkout"), retries)


def _git(part: Part, retries: int) -> Git:
    for name in ("configVersion", "gitTool", "submoduleCfg"):  # no more than how it is written, and where git is
        part.text(name)
    part.only("doGenerateSubmoduleConfigurations", "false")
    for name in ("remotePoll", "disableSubmodules"):  # how it is polled; they are only fetched where they are asked for
        part.flag(name)
    browser = part.part("browser")  # where Jenkins' pages link to
    for child in browser.parts() if browser else ():
        child.end()
    found: dict[str, Any] = {"reference": part.text("reference").strip()}
    config = [(f"user.{key}", part.text(f"gitConfig{key.capitalize()}").strip()) for key in ("name", "email")]
    found["config"] = tuple(pair for pair in config if pair[1])
    if part.flag("recursiveSubmodules"):
        found["submodules"] = ("--recursive",)
    remotes, branches = _remotes(part), _branches(part)
    for name, value in _extensions(part):
        found[name] = found.get(name, ()) + value if name in ("config", "prune") else value
    return Git(remotes, branches, retries=retries, **found)


def _branches(part: Part) -> tuple[str, ...]:
    group = part.part("branches")
    found = []
    for child in group.parts() if group else ():
        branch = child.text("name").strip() or "**"  # as Jenkins takes it
        if not _BRANCH.fullmatch(branch):
            why = "an expression" if branch.startswith(":") else "no branch"
            child.refuse(f"is {branch[:50]!a}, {why}; the controller knows names, *, ** and variables", "name")
        found.append(branch)
        child.end()
    return tuple(found) or ("**",)


def _remotes(part: Part) -> tuple[Remote, ...]:
    group = part.part("userRemoteConfigs")
    found: list[Remote] = []
    for child in group.parts() if group else ():
        name = child.text("name").strip() or ("origin" if not found else f"origin{len(found)}")
        refspecs = tuple(child.text("refspec").split()) or (f"+refs/heads/*:refs/remotes/{name}/*",)
        if not _REMOTE.fullmatch(name):
            child.refuse(f"is {name[:50]!a}, which is no remote's name", "name")
        if not all(map(_REFSPEC.fullmatch, refspecs)):
            child.refuse(f"is {refspecs!a:.100}, not refspecs", "refspec")
        if child.text("credentialsId").strip():
            child.refuse(
                "is there, and the controller keeps no credentials: give the agent's user a key", "credentialsId"
            )
        found.append(Remote(name, _url(child, "url"), refspecs))
        child.end()
    if not found:
        (group or part).refuse("names no repository")
    for name in names_told_twice([remote.name for remote in found]):
        part.refuse(f"has two remotes {name[:50]!a}", "userRemoteConfigs")
    return tuple(found)


def _extensions(part: Part) -> Iterator[tuple[str, Any]]:
    """Names and values of `Git`'s fields."""
    group = part.part("extensions")
    for child in group.parts() if group else ():
        kind = child.name.removeprefix(_EXTENSIONS)
        reader = _EXTENSION_READERS.get(kind)
        if reader is None:
            child.refuse("is not known to the controller")
            continue
        yield from reader(child).items()
        child.end()


def _clone(part: Part) -> dict[str, Any]:
    depth = part.number("depth") or 1
    found = {
        "depth": depth if part.flag("shallow") else None,
        "tags": not part.flag("noTags"),
        "minutes": part.number("timeout"),
    }
    part.flag("honorRefspec")  # it always is
    reference = part.text("reference").strip()
    return {**found, "reference": reference} if reference else found


def _clean(part: Part) -> dict[str, Any]:
    part.flag("deleteUntrackedNestedRepositories")  # they always are
    return {"clean": True}


def _sparse(part: Part) -> dict[str, Any]:
    group = part.part("sparseCheckoutPaths")
    found = []
    for child in group.parts() if group else ():
        found.append(_folder(child, "path"))
        child.end()
    return {"sparse": tuple(found)}


def _identity(part: Part) -> dict[str, Any]:
    pairs = [(f"user.{key}", part.text(key).strip()) for key in ("name", "email")]
    return {"config": tuple(pair for pair in pairs if pair[1])}


def _chooser(part: Part) -> dict[str, Any]:
    chooser = part.part("buildChooser")
    if chooser and not chooser.name.endswith(".DefaultBuildChooser"):
        chooser.refuse("is not known to the controller")
    return {}


def _local(part: Part) -> dict[str, Any]:
    name = part.text("localBranch").strip() or "**"
    if not _BRANCH.fullmatch(name) or "*" in name.replace("**", "", 1):
        part.refuse(f"is {name[:50]!a}, which is no branch", "localBranch")
    return {"local": name}


def _named(part: Part) -> dict[str, Any]:
    part.text("name")  # Jenkins' own
    return {}


def _checkout(part: Part) -> dict[str, Any]:
    part.number("timeout")  # it is the build's own time
    return {}


def _setting(**values: Any) -> Callable[[Part], dict[str, Any]]:
    return lambda _: values


def _folder(part: Part, name: str = "relativeTargetDir") -> str:
    folder = part.text(name).strip()
    if folder.startswith(("/", "-")) or ".." in folder.split("/") or not folder.isprintable():
        part.refuse(f"is {folder[:50]!a}, which is no folder in the workspace", name)
    return folder


def _submodules(part: Part) -> dict[str, Any]:
    part.only("parentCredentials", "false")
    part.number("timeout")  # it is the build's own time
    found = []
    if part.flag("recursiveSubmodules"):
        found.append("--recursive")
    if part.flag("trackingSubmodules"):
        found.append("--remote")
    depth, threads, reference = part.number("depth") or 1, part.number("threads"), part.text("reference").strip()
    if part.flag("shallow"):
        found.append(f"--depth={depth}")
    if threads and threads > 1:
        found.append(f"--jobs={threads}")
    if reference:
        found.append(f"--reference={reference}")
    return {"submodules": None if part.flag("disableSubmodules") else tuple(found)}


_EXTENSION_READERS: Final[dict[str, Callable[[Part], dict[str, Any]]]] = {
    "AuthorInChangelog": _setting(by_author=True),
    "BuildChooserSetting": _chooser,
    "CheckoutOption": _checkout,
    "CleanBeforeCheckout": _clean,
    "CleanCheckout": _clean,
    "CloneOption": _clone,
    "DisableRemotePoll": _setting(),  # how it is polled, not what is built
    "GitLFSPull": _setting(lfs=True),
    "IgnoreNotifyCommit": _setting(),  # nothing is notified
    "LocalBranch": _local,
    "PerBuildTag": _setting(tag=True),
    "PruneStaleBranch": _setting(prune=("--prune",)),
    "PruneStaleTag": _setting(prune=("--prune-tags",)),
    "RelativeTargetDirectory": lambda part: {"folder": _folder(part)},
    "ScmName": _named,
    "SparseCheckoutPaths": _sparse,
    "SubmoduleOption": _submodules,
    "UserIdentity": _identity,
    "WipeWorkspace": _setting(wipe=True),
}
