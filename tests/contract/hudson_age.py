"""Where Hudson is not what Jenkins became: all that the comparison leaves out, each with its reason.

What stands here and is not so any longer is found by the comparison, too.
"""

from __future__ import annotations

from typing import Final

_FORM: Final = "views are made by a form only, not from XML"
_CLASS: Final = "no object tells its class, on which the client relies"
_LOCATION: Final = "who asks for a build is not told where it waits"
_PLUGINS: Final = "there is no list of plugins"
_COPY: Final = "a copy is refused that is asked for without a Content-Type, which clients leave out"

REFUSED: Final[dict[str, dict[str, str]]] = {
    "python-jenkins": {
        "version": "the header that tells it is X-Hudson",
        "who am I": "nobody is signed in",
        "plugins": _PLUGINS,
        "copy": _COPY,
        "rename": "there is nothing to rename, since the copy was refused",
        "quiet": "it does not tell whether it is quiet",
        "next number": "it takes a plugin",
        "item of the queue": _LOCATION,
        "create view": _FORM,
        "create folder": "there are no folders",
        "create node": "a node can be made by a form with a name in it only",
    },
    "jenkins-job-builder": {"view": _FORM},
    "api4jenkins": {
        "version": "the header that tells it is X-Hudson",
        "get job": _CLASS,
        "jobs": _CLASS,
        "last build": _CLASS,
        "builds": _CLASS,
        "all builds": "allBuilds came later",
        "nodes": _CLASS,
        "views": _CLASS,
        "plugins": _PLUGINS,
        "item of the queue": _LOCATION,
        "copy": _COPY,
    },
}
"""Client → step → why both Hudsons refuse it, or the client cannot read their answer."""

REFUSED_BY_LAST: Final = {("python-jenkins", "script"): "its Groovy is a plugin that it does not bring"}
REFUSED_BY_US: Final = {("python-jenkins", "script"): "there is no Groovy in byoci"}

FIELDS: Final = {
    "assignedLabels": "labels of the root, without content; Jenkins tells them with their names",
    "overallLoad": "statistics, without content",
    "unlabeledLoad": "statistics, without content",
    "loadStatistics": "statistics, without content",
    "monitorData": "what its monitors measured of a node; byoci has none",
    "useSecurity": "it was started without users",
    "icon": "its pictures have other names",
    "cascadingChildrenNames": "jobs that inherit from each other, which Jenkins has not",
    "cascadingParentName": "jobs that inherit from each other, which Jenkins has not",
    "runningJobs": "Jenkins tells that of the executors",
    "id": "a build's was the time when it began; Jenkins' is its number",
}
"""Fields that Hudson told, and that Jenkins does not tell any longer, or tells otherwise."""

VALUES: Final = {
    ("stopped", "result"): "it ends processes by a class that Java has no longer, and so takes the build for failed",
    ("nodes", "displayName"): "it writes nodes; Jenkins writes Nodes",
    ("views", "name"): "the view of all jobs is All; Jenkins' is all",
}
"""Step and field → why it has another value there."""
