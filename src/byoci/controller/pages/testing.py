"""A build's tests: those that failed first, and how each one went in earlier builds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from byoci.controller.catalog import MissingError
from byoci.controller.pages import builds, frame, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.rows import BuildRow

_PER_PAGE: Final = 300
_HISTORY: Final = 30  # builds
_STATUSES: Final = {
    "FAILED": ("failure", "Failed"),
    "SKIPPED": ("not_built", "Skipped"),
    "PASSED": ("success", "Passed"),
}
_ORDER: Final = tuple(_STATUSES)


def _cases(call: Call, row: BuildRow) -> Iterator[dict[str, Any]]:
    """All test cases of a build, as its reports have them. Works on files."""
    for path in sorted(call.controller.places.files(row.job, row.number).glob("tests-*.json")):
        for suite in json.loads(path.read_text(encoding="utf-8")):
            yield from suite["cases"]


async def tests(call: Call, row: BuildRow) -> Response:
    """`job/NAME/NUMBER/testReport/`; with `class` and `name`, one test in this build and those before."""
    counts = (row.facts or {}).get("tests")
    if not counts:
        raise MissingError(f"{row.job} #{row.number} has no tests")
    if "name" in call.query:
        return await _history(call, row)
    chosen, words, at = call.value("state"), call.value("filter").strip(), frame.page_of(call)
    found = await asyncio.to_thread(_chosen, call, row, chosen, words)
    url = f"{builds.build_url(call, row)}testReport/"
    passed = counts["total"] - counts["failed"] - counts["skipped"]
    kinds = (("FAILED", counts["failed"]), ("SKIPPED", counts["skipped"]), ("PASSED", passed))
    return frame.render(
        call,
        "tests.html",
        trail=builds.trail_of(call, row, ("Tests", url)),
        here="jobs",
        row=row,
        name=row.job.replace("/", " » "),
        url=url,
        counts=counts,
        kinds=[(kind, *_STATUSES[kind], count) for kind, count in kinds if count],
        chosen=chosen,
        words=words,
        found=len(found),
        cases=[_shown(case, url) for case in found[at * _PER_PAGE : (at + 1) * _PER_PAGE]],
        pages=frame.pages_beside(url, len(found), at, _PER_PAGE, {"state": chosen, "filter": words}),
    )


def _chosen(call: Call, row: BuildRow, chosen: str, words: str) -> list[dict[str, Any]]:
    words = words.lower()
    cases = [
        case
        for case in _cases(call, row)
        if chosen in ("", case["status"]) and words in f"{case['className']} {case['name']}".lower()
    ]
    return sorted(cases, key=lambda case: _ORDER.index(case["status"]))


def _shown(case: dict[str, Any], url: str) -> dict[str, Any]:
    query = urlencode({"class": case["className"], "name": case["name"]})
    return {**case, "state": _STATUSES[case["status"]], "url": f"{url}?{query}"}


async def _history(call: Call, row: BuildRow) -> Response:
    name, group = call.value("name"), call.value("class")
    before = call.controller.state.recent.briefs(row.job, _HISTORY, row.number + 1)
    rows = [found for brief in before if (found := call.controller.state.build(row.job, brief.number))]
    cases = await asyncio.to_thread(_of_one, call, rows, group, name)
    own = cases.get(row.number)
    if own is None:
        raise MissingError(f"{row.job} #{row.number} has no such test", details=f"{group} {name}"[:500])
    report = f"{builds.build_url(call, row)}testReport/"
    url = f"{report}?{urlencode({'class': group, 'name': name})}"
    return frame.render(
        call,
        "test.html",
        trail=builds.trail_of(call, row, ("Tests", report), (name or "Test", url)),
        here="jobs",
        row=row,
        case=_shown(own, report),
        history=[_past(call, one, cases.get(one.number)) for one in rows],
    )


def _of_one(call: Call, rows: list[BuildRow], group: str, name: str) -> dict[int, dict[str, Any]]:
    found = {}
    for row in rows:
        matching = (case for case in _cases(call, row) if (case["className"], case["name"]) == (group, name))
        if case := next(matching, None):
            found[row.number] = case
    return found


def _past(call: Call, row: BuildRow, case: dict[str, Any] | None) -> dict[str, Any]:
    state = _STATUSES[case["status"]] if case else ("not_built", "Not run")
    url = builds.build_url(call, row)
    build = states.of_result(row.result)
    return {"number": row.number, "began": row.began, "state": state, "case": case, "url": url, "build": build}
