"""Jobs, builds, queue items and nodes as beans: what Jenkins' API tells of each, under Jenkins' names."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from byoci.controller.api.shapes_changes import changes_bean, person_bean
from byoci.controller.api.shapes_parameters import properties_of
from byoci.controller.beans import Bean
from byoci.controller.estimates import ETA_FROM
from byoci.controller.job import Result
from byoci.controller.plans import job_url
from byoci.controller.rows import LAST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.controller.beans import Value
    from byoci.controller.controller import Controller
    from byoci.controller.nodexml import Node
    from byoci.controller.rows import BuildRow, Item, Queued, Request

_BUILDS_TOLD: Final = 100  # as many as Jenkins tells in `builds`; `allBuilds` are all
_HEALTH_FROM: Final = 5  # builds whose results make the health report
_WEATHER: Final = ((80, "80plus"), (60, "60to79"), (40, "40to59"), (20, "20to39"), (0, "00to19"))
_COLORS: Final = {
    Result.SUCCESS: "blue",
    Result.UNSTABLE: "yellow",
    Result.FAILURE: "red",
    Result.ABORTED: "aborted",
    Result.NOT_BUILT: "notbuilt",
}
_JOB: Final = "hudson.model.FreeStyleProject"
_BUILD: Final = "hudson.model.FreeStyleBuild"
_FOLDER: Final = "com.cloudbees.hudson.plugins.folder.Folder"


def item_bean(controller: Controller, item: Item) -> Bean:
    """A job or a folder."""
    if item.folder:
        return folder_bean(controller, item)
    url = controller.url + job_url(item.path)
    brief: dict[str, Value] = {"name": item.name, "url": url, "color": color_of(controller, item)}
    return Bean(_JOB, brief, lambda: _job(controller, item), {"allBuilds": lambda: _builds(controller, item.path, -1)})


def folder_bean(controller: Controller, item: Item) -> Bean:
    """A folder and what is directly in it."""
    url = controller.url + job_url(item.path)

    def full() -> Mapping[str, Value]:
        return {
            "description": _description(item),
            "displayName": item.name,
            "fullName": item.path,
            "fullDisplayName": item.path.replace("/", " » "),
            "jobs": [item_bean(controller, child) for child in controller.catalog.below(item.path)],
            "views": _views(controller, item.path),
            "primaryView": _all_view(controller, item.path),
        }

    return Bean(_FOLDER, {"name": item.name, "url": url}, full)


def _description(item: Item) -> str:
    from byoci.controller.jobxml import parse_xml

    return parse_xml(item.config).findtext("description") or ""


def _views(controller: Controller, folder: str) -> list[Value]:
    named = [view_bean(controller, folder, name) for name in controller.catalog.views(folder)]
    return [_all_view(controller, folder), *named]


def _all_view(controller: Controller, folder: str) -> Bean:
    url = controller.url + (job_url(folder) if folder else "")

    def full() -> Mapping[str, Value]:
        jobs: list[Value] = [item_bean(controller, item) for item in controller.catalog.below(folder)]
        return {"jobs": jobs, "description": None}

    return Bean("hudson.model.AllView", {"name": "all", "url": url}, full)


def view_bean(controller: Controller, folder: str, name: str, *inner: str) -> Bean:
    """A view and the jobs in it; `inner` are names of views in it."""
    if name == "all" and not inner:
        return _all_view(controller, folder)
    catalog = controller.catalog
    view = catalog.read_view(folder, (name, *inner))
    address = "".join(f"view/{quote(part, safe='')}/" for part in (name, *inner))
    url = f"{controller.url}{job_url(folder) if folder else ''}{address}"

    def full() -> Mapping[str, Value]:
        jobs: list[Value] = [item_bean(controller, item) for item in catalog.shown_in(folder, view)]
        fields: dict[str, Value] = {"jobs": jobs, "description": view.description or None, "property": []}
        if view.views:
            fields["views"] = [view_bean(controller, folder, name, *inner, below) for below, _ in view.views]
        return fields

    return Bean(view.kind, {"name": inner[-1] if inner else name, "url": url}, full)


def root_bean(controller: Controller) -> Bean:
    """The controller itself."""

    def full() -> Mapping[str, Value]:
        return {
            "mode": "NORMAL",
            "nodeDescription": "the controller's own host",
            "nodeName": "",
            "numExecutors": controller.nodes[""].executors,
            "description": None,
            "jobs": [item_bean(controller, item) for item in controller.catalog.below("")],
            "primaryView": _all_view(controller, ""),
            "quietDownReason": None,
            "quietingDown": controller.quiet,
            "slaveAgentPort": -1,
            "url": controller.url,
            "useCrumbs": True,
            "useSecurity": True,
            "views": _views(controller, ""),
        }

    return Bean("hudson.model.Hudson", {}, full)


def color_of(controller: Controller, item: Item) -> str:
    """A job's ball: the last result, `_anime` while it is being built."""
    last = controller.state.recent.history(item.path).completed
    color = _COLORS[last.result] if last and last.result else "notbuilt"
    if controller.catalog.job(item.path).disabled:
        color = "disabled"
    running = any(running.row.job == item.path for running in controller.running.values())
    return f"{color}_anime" if running else color


def _job(controller: Controller, item: Item) -> Mapping[str, Value]:
    job = controller.catalog.job(item.path)
    waiting = controller.state.waiting_for(item.path)
    properties = properties_of(job.parameters)
    return {
        "actions": properties,  # Jenkins tells parameters in both places, and clients look into either
        "description": job.description,
        "displayName": job.display_name or item.name,
        "displayNameOrNull": job.display_name or None,
        "fullDisplayName": item.path.replace("/", " » "),
        "fullName": item.path,
        "buildable": not job.disabled,
        "builds": partial(_builds, controller, item.path, _BUILDS_TOLD),
        **{name: partial(_last, controller, item.path, name) for name in LAST},
        "firstBuild": partial(_first, controller, item.path),
        "healthReport": partial(_health, controller, item.path),
        "inQueue": waiting is not None,
        "keepDependencies": False,
        "nextBuildNumber": partial(controller.state.following, item.path),
        "property": properties,
        "queueItem": queued_bean(controller, waiting) if waiting else None,
        "concurrentBuild": job.concurrent,
        "disabled": job.disabled,
        "downstreamProjects": partial(_related, controller, item.path, below=True),
        "upstreamProjects": partial(_related, controller, item.path, below=False),
        "labelExpression": job.labels or None,
        "scm": Bean("hudson.scm.NullSCM"),
    }


def _related(controller: Controller, path: str, *, below: bool) -> list[Value]:
    above_it, below_it = controller.relations.related(path)
    return [item_bean(controller, controller.catalog.item(other)) for other in (below_it if below else above_it)]


def _health(controller: Controller, path: str) -> list[Value]:
    """How stable the job's last builds were."""
    results = controller.state.results(path, _HEALTH_FROM)
    if not results:
        return []
    failed = sum(result is Result.FAILURE for result in results)
    told = f"{failed} out of the last {len(results)} builds failed." if failed else "No recent builds failed."
    if failed == len(results):
        told = "All recent builds failed."
    score = round(100 * (len(results) - failed) / len(results))
    icon = "health-" + next(text for least, text in _WEATHER if score >= least)
    fields: dict[str, Value] = {"description": f"Build stability: {told}", "iconClassName": f"icon-{icon}"}
    return [Bean("", {**fields, "iconUrl": f"{icon}.png", "score": score})]


def _builds(controller: Controller, path: str, most: int) -> list[Value]:
    """A job's builds, each of which is read only where more than its number is told."""
    url = controller.url + job_url(path)
    return [_numbered(controller, path, number, url) for number in controller.state.numbers(path, most)]


def _numbered(controller: Controller, path: str, number: int, url: str) -> Bean:
    def full() -> Mapping[str, Value]:
        build = controller.state.build(path, number)
        return _build(controller, build) if build else {}

    return Bean(_BUILD, {"number": number, "url": f"{url}{number}/"}, full)


def _last(controller: Controller, path: str, name: str) -> Value:
    build = controller.state.last(path, name)
    return build_bean(controller, build) if build else None


def _first(controller: Controller, path: str) -> Value:
    build = controller.state.first(path)
    return build_bean(controller, build) if build else None


def build_url(controller: Controller, build: BuildRow) -> str:
    """A build's address."""
    return f"{controller.url}{job_url(build.job)}{build.number}/"


def build_bean(controller: Controller, build: BuildRow) -> Bean:
    """A build."""
    brief: dict[str, Value] = {"number": build.number, "url": build_url(controller, build)}
    return Bean(_BUILD, brief, lambda: _build(controller, build))


def _build(controller: Controller, build: BuildRow) -> Mapping[str, Value]:
    facts = build.facts or {}
    running = build.ended is None
    return {
        "actions": partial(_build_actions, build),
        "artifacts": partial(_artifacts, build),
        "building": running,
        "inProgress": running,
        "description": build.description,
        "displayName": f"#{build.number}",
        "duration": 0 if build.ended is None else round((build.ended - build.began) * 1000),
        "estimatedDuration": partial(estimate, controller, build.job),
        "executor": Bean("hudson.model.Executor", {"number": build.executor}) if running else None,
        "fingerprint": partial(_fingerprints, build),
        "fullDisplayName": f"{build.job.replace('/', ' » ')} #{build.number}",
        "id": str(build.number),
        "keepLog": False,
        "queueId": build.queued,
        "result": str(build.result) if build.result else None,
        "timestamp": round(build.began * 1000),
        "builtOn": build.node,
        "changeSet": partial(changes_bean, controller, build),
        "culprits": [person_bean(controller, name) for name, _ in facts.get("culprits", ())],
        "nextBuild": partial(_beside, controller, build, later=True),
        "previousBuild": partial(_beside, controller, build, later=False),
    }


def _artifacts(build: BuildRow) -> list[Value]:
    kept = [path for _, path in (build.facts or {}).get("artifacts", ())]
    return [Bean("", {"displayPath": path, "fileName": path.rpartition("/")[2], "relativePath": path}) for path in kept]


def _fingerprints(build: BuildRow) -> list[Value]:
    return [
        Bean("hudson.model.Fingerprint", {"fileName": path.rpartition("/")[2], "hash": digest})
        for path, digest in (build.facts or {}).get("fingerprints", {}).items()
    ]


def _build_actions(build: BuildRow) -> list[Value]:
    actions = _actions(build.request)
    if tests := (build.facts or {}).get("tests"):
        counts = {"failCount": tests["failed"], "skipCount": tests["skipped"], "totalCount": tests["total"]}
        actions.append(Bean("hudson.tasks.junit.TestResultAction", {**counts, "urlName": "testReport"}))
    return actions


def _beside(controller: Controller, build: BuildRow, *, later: bool) -> Value:
    number = controller.state.beside(build, later=later)
    return None if number is None else _numbered(controller, build.job, number, controller.url + job_url(build.job))


def estimate(controller: Controller, path: str) -> int:
    """How many milliseconds a build of the job may take, told by the last ones; -1 where there are none."""
    seconds = controller.state.usual_seconds(path, ETA_FROM)
    return -1 if seconds is None else round(seconds * 1000)


def _actions(request: Request) -> list[Value]:
    cause: dict[str, Value] = {"shortDescription": request.cause}
    if request.user:
        cause |= {"userId": request.user, "userName": request.user}
    actions: list[Value] = []
    if request.parameters:
        values: list[Value] = [
            Bean("hudson.model.StringParameterValue", {"name": name, "value": value})
            if name not in request.secrets
            else Bean("hudson.model.PasswordParameterValue", {"name": name})
            for name, value in request.parameters.items()
        ]
        actions.append(Bean("hudson.model.ParametersAction", {"parameters": values}))
    return [*actions, Bean("hudson.model.CauseAction", {"causes": [Bean(request.kind, cause)]})]


def queued_bean(controller: Controller, queued: Queued) -> Bean:
    """What waits in the queue, or left it not long ago."""
    shown = [(name, value) for name, value in queued.request.parameters.items() if name not in queued.request.secrets]
    fields: dict[str, Value] = {
        "id": queued.id,
        "url": f"queue/item/{queued.id}/",
        "actions": _actions(queued.request),
        "inQueueSince": round(queued.since * 1000),
        "params": "".join(f"\n{name}={value}" for name, value in shown),
        "stuck": False,
        "task": item_bean(controller, controller.catalog.item(queued.job)),
    }
    if queued.build is not None or queued.cancelled:
        build = controller.state.build_by_id(queued.build) if queued.build is not None else None
        fields |= {"blocked": False, "buildable": False, "why": None, "cancelled": queued.cancelled}
        fields["executable"] = build_bean(controller, build) if build else None
        return Bean("hudson.model.Queue$LeftItem", fields)
    waiting = queued.due > time.time()
    fields |= {
        "blocked": waiting,
        "buildable": not waiting,
        "why": controller.queue.reasons.get(queued.id, "Waiting for next available executor"),
    }
    if waiting:
        fields["timestamp"] = round(queued.due * 1000)
        return Bean("hudson.model.Queue$WaitingItem", fields)
    return Bean("hudson.model.Queue$BuildableItem", {**fields, "buildableStartMilliseconds": round(queued.due * 1000)})


def _progress(controller: Controller, build: BuildRow | None) -> int:
    """How many hundredths of its usual time a build has taken; -1 where that is not known."""
    usual = estimate(controller, build.job) if build else -1
    return -1 if build is None or usual <= 0 else min(99, round((time.time() - build.began) * 100_000 / usual))


def node_bean(controller: Controller, node: Node) -> Bean:
    """A node and its executors."""
    agent = controller.agents[node.name]
    builds = {
        running.row.executor: running.row for running in controller.running.values() if running.row.node == node.name
    }
    taken = controller.offline.get(node.name)
    reason = taken if taken is not None else agent.reason

    def full() -> Mapping[str, Value]:
        executors: list[Value] = [
            Bean(
                "hudson.model.Executor",
                {
                    "currentExecutable": build_bean(controller, builds[number]) if number in builds else None,
                    "idle": number not in builds,
                    "number": number,
                    "progress": _progress(controller, builds.get(number)),
                },
            )
            for number in range(node.executors)
        ]
        return {
            "actions": [],
            "assignedLabels": [Bean("", {"name": name}) for name in sorted(node.label_set)],
            "description": node.description,
            "executors": executors,
            "icon": "symbol-computer",
            "idle": not builds,
            "jnlpAgent": False,
            "launchSupported": True,
            "loadStatistics": Bean("hudson.model.Label$1"),
            "manualLaunchAllowed": True,
            "monitorData": Bean(""),
            "numExecutors": node.executors,
            "offlineCause": Bean("hudson.slaves.OfflineCause", {"description": reason}) if reason else None,
            "offlineCauseReason": reason,
            "oneOffExecutors": [],
            "temporarilyOffline": taken is not None,
        }

    kind = "hudson.slaves.SlaveComputer" if node.name else "hudson.model.Hudson$MasterComputer"
    offline = taken is not None or not agent.online
    return Bean(kind, {"displayName": node.shown, "offline": offline}, full, inline=True)
