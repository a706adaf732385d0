"""What all pages of the controller share: rendering, the menu, and telling a browser that nothing has changed."""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import byoci
from byoci.controller.plans import job_url
from byoci.web import looks

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.responses import Response

    from byoci.controller.api.http import Call

_PROCESS: Final = secrets.token_hex(8)  # another process may have other templates
_SITE: Final = "byoci"


@functools.cache
def _environment() -> Environment:
    return looks.environment(Path(__file__).parent / "templates")


def start_of(call: Call) -> str:
    """The path of the controller's own address, with a slash at its end."""
    return urlsplit(call.controller.url).path


def url_of(call: Call, path: str) -> str:
    """The path of a job's or folder's page; of the root for ""."""
    return start_of(call) + (job_url(path) if path else "")


def node_url(call: Call, name: str) -> str:
    """The path of a node's page."""
    return f"{start_of(call)}computer/{quote(name, safe='') if name else '(built-in)'}/"


def trail_of(call: Call, path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """Where a job's or folder's page is: names and addresses, from the root on."""
    parts = path.split("/") if path else []
    above = [(name, url_of(call, "/".join(parts[: at + 1]))) for at, name in enumerate(parts)]
    return [("Jobs", start_of(call)), *above, *more]


def etag_of(call: Call) -> str:
    """Changes whenever what a page shows could have changed: whatever was written, ran, or connected since.

    That is little to compute, so who asks again and again for what did not change costs next to nothing.
    """
    controller = call.controller
    agents = [(name, agent.online, agent.reason) for name, agent in controller.agents.items()]
    running = [(running.row.id, running.size, running.stopping) for running in controller.running.values()]
    reasons = sorted(controller.queue.reasons.items())
    seen = (_PROCESS, call.user, call.crumb, call.asked, controller.state.changes, controller.quiet)
    told = repr((seen, controller.catalog.version, agents, running, reasons))
    return f'W/"{hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:32]}"'


def render(call: Call, template: str, *, trail: Any = (), here: str = "", status: int = 200, **values: Any) -> Response:
    """A page; `here` is the part of the menu that it belongs to."""
    common = {
        "site": _SITE,
        "version": byoci.__version__,
        "start": start_of(call),
        "user": call.caller,
        "signed_in": bool(call.session),
        "crumb": call.crumb if call.caller else "",
        "trail": trail,
        "menu": _menu(call, here) if call.caller else (),
        "now": time.time(),
    }
    body = _environment().get_template(template).render(common | values)
    return looks.page(body, status, etag_of(call) if status == 200 and call.caller and call.method == "GET" else "")


def confirm(call: Call, url: str, question: str, consequence: str, *, trail: Any, here: str) -> Response:
    """Whether what is at `url` is really to be removed."""
    return render(
        call,
        "confirm.html",
        trail=trail,
        here=here,
        question=question,
        consequence=consequence,
        address=f"{url}doDelete",
        back=url,
        label="Delete",
    )


def page_of(call: Call) -> int:
    """Which page of a list is asked for, from 0 on."""
    text = call.value("page")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def pages_beside(url: str, found: int, page: int, size: int, query: dict[str, str]) -> list[tuple[str, str]]:
    """Links to the pages of a list before and after this one, where there are `found` in all and `size` on each."""
    kept = {name: value for name, value in query.items() if value}
    links = []
    if page:
        links.append(("Earlier in the list", f"{url}?{urlencode({**kept, 'page': page - 1})}"))
    if (page + 1) * size < found:
        links.append(("Further in the list", f"{url}?{urlencode({**kept, 'page': page + 1})}"))
    return links


def _menu(call: Call, here: str) -> list[tuple[str, str, tuple[int, str], bool]]:
    controller, start = call.controller, start_of(call)
    waiting = controller.state.waiting_count()
    away = sum(not agent.online or name in controller.offline for name, agent in controller.agents.items())
    return [
        ("Jobs", start, (0, ""), here == "jobs"),
        ("Queue", f"{start}queue/", (waiting, "waiting"), here == "queue"),
        ("Agents", f"{start}computer/", (away, "offline"), here == "agents"),
    ]
