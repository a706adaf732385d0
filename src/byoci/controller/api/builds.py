"""Addresses of builds: what they are, what they print, what they kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response, StreamingResponse

from byoci.controller.api import http
from byoci.controller.api.shapes import build_bean
from byoci.controller.beans import Bean
from byoci.controller.catalog import MissingError
from byoci.controller.nodexml import Node
from byoci.controller.plans import environment_of, job_url
from byoci.controller.render import safe_text
from byoci.controller.rows import LAST
from byoci.controller.running import log_size
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.controller.api.http import Call
    from byoci.controller.beans import Value
    from byoci.controller.rows import BuildRow

_CHUNK: Final = 1 << 18
_PLAIN: Final = "text/plain;charset=UTF-8"


def find(call: Call, path: str, word: str) -> BuildRow | None:
    """The build that a word of an address names: its number, or one of `LAST`; None where the word names none."""
    if word in LAST:
        build = call.controller.state.last(path, word)
        if build is None:
            raise MissingError(f"{path} has no {word}")
        return build
    if not (word.isascii() and word.isdigit() and len(word) < 10):
        return None
    build = call.controller.state.build(path, int(word))
    if build is None:
        raise MissingError(f"{path} has no build {word}")
    return build


async def build(call: Call, row: BuildRow, rest: list[str]) -> Response:
    """`job/NAME/NUMBER/…`."""
    controller = call.controller
    match rest:
        case ["api", "json" | "xml" as kind]:
            return http.tell(call, build_bean(controller, row), kind)
        case ["consoleText"]:
            path = controller.places.log(row.job, row.number)
            return StreamingResponse(_bytes(path, 0, log_size(path)), headers={"Content-Type": _PLAIN})
        case ["logText", "progressiveText" | "progressiveHtml" as form]:
            return _progressive(call, row, html=form == "progressiveHtml")
        case ["injectedEnvVars", "api", "json" | "xml" as kind]:
            return http.tell(call, _variables(call, row), kind)
        case ["artifact", "*zip*", "archive.zip"]:
            return await _archive(call, row)
        case ["submitDescription"]:
            http.only_post(call)
            controller.state.describe(row.id, safe_text(call.value("description")))
            return http.go_to(call, f"{job_url(row.job)}{row.number}/")
        case ["artifact", *parts]:
            return _artifact(call, row, "/".join(parts))
        case ["testReport", "api", "json" | "xml" as kind]:
            return http.tell(call, _tests(call, row), kind)
        case ["stop" | "kill" | "term"]:
            http.only_post(call)
            await controller.stop(row, call.user)
            return http.go_to(call, f"{job_url(row.job)}{row.number}/")
        case ["doDelete"]:
            http.only_post(call)
            controller.delete_build(row)
            return http.go_to(call, job_url(row.job))
    raise MissingError(f"there is no {'/'.join(rest)[:200]!a} of a build")


def _bytes(path: Path, start: int, end: int) -> Iterator[bytes]:
    """A part of a file that may grow or go meanwhile; read in pieces, so that a large one needs no memory."""
    if end <= start:
        return
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (data := file.read(min(_CHUNK, left))):
            left -= len(data)
            yield data


def _progressive(call: Call, row: BuildRow, *, html: bool) -> Response:
    """The log from `start` on; `X-Text-Size` is where to go on, `X-More-Data` is there while more may come."""
    text = call.value("start", "0") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError("the parameter start is no number", details=text[:50])
    path = call.controller.places.log(row.job, row.number)
    size = log_size(path)
    start = int(text) if int(text) <= size else 0  # as Jenkins does where a log became shorter
    headers = {"X-Text-Size": str(size), "Content-Type": "text/html;charset=UTF-8" if html else _PLAIN}
    if row.ended is None:
        headers["X-More-Data"] = "true"
    told = _bytes(path, start, size)
    return StreamingResponse(map(_escaped, told) if html else told, headers=headers)


def _escaped(data: bytes) -> bytes:
    return data.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;")


def _variables(call: Call, row: BuildRow) -> Bean:
    """The environment of a build: what the controller gave it and what it injected, without secrets."""
    controller = call.controller
    node = controller.nodes.get(row.node) or Node(row.node)
    known = environment_of(row, node, controller.url)
    for name in row.request.secrets:
        known[name] = "********"
    found = known | dict((row.facts or {}).get("variables", {}))
    told: dict[str, Value] = {name: found[name] for name in sorted(found)}
    return Bean("org.jenkinsci.plugins.envinject.EnvInjectVarList", {"envMap": Bean("", told)})


async def _archive(call: Call, row: BuildRow) -> Response:
    """All artifacts in one file, which is made for this answer and removed after it."""
    files = call.controller.places.files(row.job, row.number)
    kept = (row.facts or {}).get("artifacts", ())
    place = await asyncio.to_thread(_zip, [(files / str(number) / path, path) for number, path in kept])
    return FileResponse(
        place, media_type="application/zip", filename="archive.zip", background=BackgroundTask(place.unlink)
    )


def _zip(files: list[tuple[Path, str]]) -> Path:
    descriptor, name = tempfile.mkstemp(suffix=".zip")
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, shown in files:
                archive.write(path, f"archive/{os.fsencode(shown).decode('utf-8', 'replace')}")
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _artifact(call: Call, row: BuildRow, path: str) -> Response:
    for number, kept in (row.facts or {}).get("artifacts", ()):
        if kept == path:  # only what was kept has an address, so no path leads anywhere else
            place = call.controller.places.files(row.job, row.number) / str(number) / path
            # Never shown as a page of the controller's own, whatever it says it is.
            headers = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
            return FileResponse(place, headers=headers, media_type="application/octet-stream")
    raise MissingError(f"{row.job} #{row.number} kept no {path[:200]!a}")


def _tests(call: Call, row: BuildRow) -> Bean:
    counts = (row.facts or {}).get("tests")
    if not counts:
        raise MissingError(f"{row.job} #{row.number} has no tests")
    files = call.controller.places.files(row.job, row.number)

    def full() -> dict[str, Value]:
        suites: list[Value] = []
        for path in sorted(files.glob("tests-*.json")):
            suites += [_suite(suite) for suite in json.loads(path.read_text(encoding="utf-8"))]
        return {"suites": suites}

    brief: dict[str, Value] = {
        "duration": 0,
        "empty": not counts["total"],
        "failCount": counts["failed"],
        "passCount": counts["total"] - counts["failed"] - counts["skipped"],
        "skipCount": counts["skipped"],
    }
    return Bean("hudson.tasks.junit.TestResult", brief, full)


def _suite(suite: dict[str, Any]) -> Bean:
    cases: list[Value] = [Bean("hudson.tasks.junit.CaseResult", case) for case in suite["cases"]]
    return Bean("hudson.tasks.junit.SuiteResult", {**suite, "cases": cases})
