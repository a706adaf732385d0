"""The element `scm` of a config.xml: which repository a build checks out, of git or of bzr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from byoci.controller.job import Bzr, Git

if TYPE_CHECKING:
    from byoci.controller.job import Repository
    from byoci.controller.jobxml import Part

_EXTENSIONS: Final = "hudson.plugins.git.extensions.impl."
_BRANCH: Final = re.compile(r"(?:\*/|origin/|refs/heads/)?([A-Za-z0-9_][A-Za-z0-9_./+-]*)")
_REFSPEC: Final = "+refs/heads/{0}:refs/remotes/origin/{0}"


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
    for name in ("doGenerateSubmoduleConfigurations", "remotePoll", "disableSubmodules"):
        part.only(name, "false")
    for name in ("reference", "gitConfigName", "gitConfigEmail"):
        part.only(name, "")
    branch = _branch(part)
    url = _remote(part, branch)
    choices = _extensions(part)
    submodules = "recursive" if part.flag("recursiveSubmodules") else choices.get("submodules", "")
    return Git(
        url,
        branch,
        folder=choices.get("folder", ""),
        wipe="wipe" in choices,
        clean="clean" in choices,
        submodules=submodules,
        retries=retries,
    )


def _branch(part: Part) -> str:
    branches = part.part("branches")
    found = [(child, child.text("name").strip()) for child in (branches.parts() if branches else ())]
    match = _BRANCH.fullmatch(found[0][1]) if len(found) == 1 else None
    for child, _ in found:
        child.end()
    if not match:
        named = ", ".join(name for _, name in found)
        (branches or part).refuse(f"is “{named[:50]}”; the controller checks out one branch that is named")
    return match[1] if match else ""


def _remote(part: Part, branch: str) -> str:
    remotes = part.part("userRemoteConfigs")
    urls = []
    for remote in remotes.parts() if remotes else ():
        remote.only("name", "origin")
        remote.only("refspec", _REFSPEC.format("*"), _REFSPEC.format(branch))
        urls.append(_url(remote, "url"))
        remote.end()
    if len(urls) != 1:
        (remotes or part).refuse("must be one repository")
    return urls[0] if urls else ""


def _extensions(part: Part) -> dict[str, str]:
    """What the extensions ask for: `folder`, `wipe`, `clean`, `submodules`."""
    found: dict[str, str] = {}
    group = part.part("extensions")
    for child in group.parts() if group else ():
        match child.name.removeprefix(_EXTENSIONS):
            case "RelativeTargetDirectory":
                found["folder"] = _folder(child)
            case "WipeWorkspace":
                found["wipe"] = "yes"
            case "CleanCheckout" | "CleanBeforeCheckout":
                child.only("deleteUntrackedNestedRepositories", "true", "false")  # they always are
                found["clean"] = "yes"
            case "PruneStaleBranch":
                pass  # only one branch is ever fetched
            case "SubmoduleOption":
                found["submodules"] = _submodules(child)
            case _:
                child.refuse("is not known to the controller")
                continue
        child.end()
    return found


def _folder(part: Part) -> str:
    folder = part.text("relativeTargetDir").strip()
    if folder.startswith("/") or ".." in folder.split("/") or not folder.isprintable():
        part.refuse(f"is {folder[:50]!a}, which is no folder in the workspace", "relativeTargetDir")
    return folder


def _submodules(part: Part) -> str:
    for name in ("disableSubmodules", "trackingSubmodules", "parentCredentials"):
        part.only(name, "false")
    part.only("reference", "")
    for name in ("timeout", "threads", "depth"):
        part.number(name)
    part.only("shallow", "false")
    return "recursive" if part.flag("recursiveSubmodules") else "yes"
