"""A build's log while it is written: server-sent events with lines as data, from which the page's script makes text.

Nothing here is HTML, so nothing that a build prints can become a part of a page.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import StreamingResponse

from byoci.controller.pages import states
from byoci.controller.pages.logs import WINDOW, Log
from byoci.controller.running import log_size
from byoci.errors import UsageError
from byoci.web.logtext import Lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from starlette.responses import Response

    from byoci.controller.api.http import Call
    from byoci.controller.rows import BuildRow
    from byoci.web.logtext import Line

_PART: Final = 64 * 1024  # bytes that are read, and told, at once
_BEHIND: Final = 2 * WINDOW  # bytes; a reader who is further behind is taken to the end
_HEARTBEAT: Final = 15.0  # seconds, so that nothing on the way takes the connection for dead, and its end is seen
_TOGETHER: Final = 0.03  # seconds; what comes within is told together


def follow(call: Call, row: BuildRow) -> Response:
    """`events?from=OFFSET`: what is printed from there on; a browser that comes again says where it was.

    It ends with the session, the password or the token by which the reader was let in.
    """
    given = call.headers.get("last-event-id") or call.value("from", "0")
    if not (given.isascii() and given.isdigit() and len(given) < 16):
        raise UsageError("the parameter from is no number", details=given[:50])
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _events(call, row, int(given))
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _events(call: Call, row: BuildRow, offset: int) -> AsyncIterator[str]:
    controller = call.controller
    path = controller.places.log(row.job, row.number)
    reader: Lines | None = None
    yield "retry: 1000\n\n"
    while await call.access.may_go_on(call.caller, call.session, call.headers.get("authorization", "")):
        running = controller.running.get(row.id)
        news = running.news if running else None  # before looking, so that nothing is missed in between
        size = log_size(path)
        if reader is None or size - reader.offset > _BEHIND:
            skipped = size - offset > _BEHIND
            reader = await asyncio.to_thread(_reader, path, offset, skipped=skipped)
            position = reader.offset
            if skipped:
                yield _event("skip", {"from": reader.offset, "line": reader.number}, reader.offset)
        data = _read(path, position, size)
        position += len(data)
        lines = reader.feed(data)
        if position >= size:
            lines += reader.unfinished()
        offset = reader.offset
        if lines:
            yield _event("lines", [_told(line) for line in lines], offset)
        if position < size:
            continue
        if news is None:
            ended = controller.state.build_by_id(row.id)
            state, word = states.of_result(ended.result) if ended else states.NOT_BUILT
            yield _event("end", {"state": state, "word": word}, offset)
            return
        if controller.closing:
            return
        try:
            async with asyncio.timeout(_HEARTBEAT):
                await news.wait()
            await asyncio.sleep(_TOGETHER)
        except TimeoutError:
            yield ":\n\n"


def _reader(path: Path, offset: int, *, skipped: bool) -> Lines:
    if not path.exists():
        return Lines(1, 0)
    with Log(path) as log:
        if skipped:
            offset = log.end().start
        offset = min(offset, log.size)
        return Lines(log.line_at(offset), offset)


def _read(path: Path, start: int, end: int) -> bytes:
    if start >= end:
        return b""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(min(_PART, end - start))


def _told(line: Line) -> list[Any]:
    parts: Sequence[tuple[str, str]] = line.parts
    return [line.number, line.kind, int(line.open), parts]


def _event(name: str, data: Any, id_: int) -> str:
    return f"event: {name}\nid: {id_}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
