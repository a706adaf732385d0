"""Addresses of jobs, folders and their views: make, read, change, build, remove."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from byoci.controller import expressions
from byoci.controller.api import http
from byoci.controller.api.shapes import item_bean, view_bean
from byoci.controller.catalog import FOLDER, MissingError
from byoci.controller.jobxml import parse_xml
from byoci.controller.places import join
from byoci.controller.plans import job_url
from byoci.controller.rows import Request
from byoci.controller.views import read_view
from byoci.errors import UsageError
from byoci.identity.access import CRUMB_FIELD
from byoci.web.bodies import read_fields

if TYPE_CHECKING:
    from byoci.controller.api.http import Call
    from byoci.controller.rows import Queued


_CHANGES: Final = (
    *("config.xml", "doDelete", "doRename", "confirmRename"),
    *("enable", "disable", "doWipeOutWorkspace", "polling", "submitDescription"),
)
_MOST_EXPRESSIONS: Final = 20


def url_of(path: str) -> str:
    """The address of a job or folder, from the controller's on; "" for the root."""
    return job_url(path) if path else ""


def create_item(call: Call, folder: str) -> Response:
    """`createItem?name=`, with a config.xml or `mode=copy&from=`."""
    http.only_post(call)
    name = call.needed("name")
    if call.value("mode") == "copy":
        call.controller.catalog.copy(folder, call.needed("from"), name)
        return http.go_to(call, url_of(join(folder, name)))
    if "mode" in call.form:  # Jenkins' own form, for something that is empty
        empty = {FOLDER: f"<{FOLDER}/>", "hudson.model.FreeStyleProject": "<project/>"}.get(call.form["mode"])
        if empty is None:
            raise UsageError("this kind of item is not known to the controller", details=call.form["mode"][:200])
        call.controller.catalog.create(folder, name, empty.encode())
        return http.go_to(call, url_of(join(folder, name)))
    call.controller.catalog.create(folder, name, call.body)
    return http.done()


async def create_view(call: Call, folder: str) -> Response:
    """`createView?name=`, with a config.xml."""
    http.only_post(call)
    await _look_at_expressions(call, folder)
    call.controller.catalog.save_view(folder, call.needed("name"), call.body, new=True)
    return http.done()


async def _look_at_expressions(call: Call, folder: str) -> None:
    """Refuse a view with an expression that cannot be read, or takes too long for the jobs that there are."""
    patterns = read_view(parse_xml(call.body)).patterns
    if len(patterns) > _MOST_EXPRESSIONS:
        raise UsageError(f"a view has at most {_MOST_EXPRESSIONS} expressions, with those in it")
    names = call.controller.catalog.names_below(folder)
    for pattern in patterns:
        await asyncio.to_thread(expressions.check, pattern, names)


async def view(call: Call, folder: str, name: str, rest: list[str]) -> Response:
    """`view/NAME/…`, and of views in views `view/NAME/view/NAME/…`."""
    catalog = call.controller.catalog
    names = [name]
    while len(rest) >= 2 and rest[0] == "view":
        names.append(rest[1])
        rest = rest[2:]
    match rest:
        case ["api", "json" | "xml" as kind]:
            return http.tell(call, view_bean(call.controller, folder, *names), kind)
    if len(names) > 1:
        raise MissingError("views in views are changed with the view that they are in")
    match rest:
        case ["config.xml"] if call.method == "POST":
            await _look_at_expressions(call, folder)
            catalog.save_view(folder, name, call.body, new=False)
            return http.done()
        case ["config.xml"]:
            return http.xml(catalog.view(folder, name))
        case ["addJobToView" | "removeJobFromView" as verb]:
            http.only_post(call)
            catalog.change_view(folder, name, call.needed("name"), shown=verb == "addJobToView")
            return http.done()
        case ["doDelete"]:
            http.only_post(call)
            catalog.drop_view(folder, name)
            return http.go_to(call, url_of(folder))
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of a view")


async def item(call: Call, path: str, rest: list[str]) -> Response:
    """`job/NAME/…`, other than builds."""
    controller = call.controller
    found = controller.catalog.item(path)
    match rest:
        case ["api", "json" | "xml" as kind]:
            return http.tell(call, item_bean(controller, found), kind)
        case ["config.xml"] if call.method == "GET":
            return http.xml(found.config)
        case ["createItem"]:
            return create_item(call, path)
        case ["createView"]:
            return await create_view(call, path)
        case [verb] if verb in _CHANGES:
            http.only_post(call)
            return await _change(call, path, verb)
        case ["move", "move"]:
            http.only_post(call)
            target = controller.move(path, call.needed("destination").strip("/"))
            return http.go_to(call, url_of(target))
        case ["nextbuildnumber", "submit"]:
            http.only_post(call)
            # python-jenkins sends a form without saying that it is one.
            form = read_fields(call.body.decode("utf-8", "replace")) if not call.form else call.form
            controller.state.set_following(path, _number(form.get("nextBuildNumber", "")))
            return http.go_to(call, url_of(path))
        case ["build" | "buildWithParameters"]:
            http.only_post(call)
            return _build(call, path)
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of a job")


async def _change(call: Call, path: str, verb: str) -> Response:
    controller = call.controller
    target = path
    if verb == "config.xml":
        controller.catalog.configure(path, call.body)
        controller.kick()
        return http.done()
    if verb == "doDelete":
        await controller.delete(path, call.user)
        target = path.rpartition("/")[0]
    elif verb in ("doRename", "confirmRename"):
        target = controller.rename(path, call.needed("newName"))
    elif verb == "submitDescription":
        controller.catalog.describe(path, call.value("description"))
    elif verb == "polling":
        await controller.poll(path)
    elif verb == "doWipeOutWorkspace":
        await controller.wipe(path)
    else:
        controller.enable(path, enabled=verb == "enable")
    return http.go_to(call, url_of(target))


# Parameters of the address that are none of the job's.
_ADDRESS: Final = {"token", "cause", "delay", "json", "Submit", CRUMB_FIELD}


def _build(call: Call, path: str) -> Response:
    job = call.controller.catalog.job(path)
    given = {name: value for name, value in {**call.query, **call.form}.items() if name not in _ADDRESS}
    if "json" in call.form:
        given |= _parameters_of_form(call.form["json"])
    unknown = given.keys() - {parameter.name for parameter in job.parameters}
    if unknown and job.parameters:
        raise UsageError(f"{path} has no parameter {min(unknown)[:100]}")
    cause = f"Started by user {call.user}"
    if not call.caller:
        cause = f"Started by remote host{': ' + call.value('cause')[:500] if call.value('cause') else ''}"
    kind = "hudson.model.Cause$UserIdCause" if call.caller else "hudson.model.Cause$RemoteCause"
    request = Request({}, cause, kind, call.caller or "")
    queued = call.controller.submit(path, given, request, delay=_delay(call.value("delay")))
    return _queued(call, queued)


def _parameters_of_form(text: str) -> dict[str, str]:
    """The parameters in Jenkins' own form: `{"parameter": [{"name": …, "value": …}]}`."""
    try:
        told: Any = json.loads(text)
        listed = told.get("parameter", [])
        listed = [listed] if isinstance(listed, dict) else listed
        return {str(one["name"]): _value(one.get("value", "")) for one in listed}
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
        raise UsageError("the parameters of the form cannot be read", details=str(error)[:200]) from error


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise UsageError("the parameter nextBuildNumber is no number", details=text[:50])
    return int(text)


def _delay(text: str) -> float | None:
    if not text:
        return None
    number = text.removesuffix("sec")
    if not (number.isascii() and number.isdigit()) or len(number) > 6:
        raise UsageError("the parameter delay is no time", details=text[:50], resolution="As in: delay=5sec")
    return float(number)


def _queued(call: Call, queued: Queued) -> Response:
    return Response(b"", 201, headers={"Location": f"{call.controller.url}queue/item/{queued.id}/"})
