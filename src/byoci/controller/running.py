"""A build that runs: what its agent tells is written to its log, what it kept is fetched, and its end is judged."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.asking import answer_to
from byoci.controller.bounds import USUAL, Bounds
from byoci.controller.changes import read_changes, save_changes
from byoci.controller.job import Result
from byoci.controller.results import judge, worse
from byoci.errors import UnavailableError, of_bug
from byoci.log import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from byoci.controller.agents import Agent
    from byoci.controller.asking import Site
    from byoci.controller.changes import Change
    from byoci.controller.job import Job
    from byoci.controller.places import Places
    from byoci.controller.rows import BuildRow

_log = logging.getLogger(__name__)
_WORDS: Final = 1 << 20  # bytes of a log that tell where and why it was cut
# A path that is too long here, or needs a folder where a file is.
_NO_NAME: Final = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EILSEQ)


class Running:
    """One build. `ended` is set by `end`, whose outcome is None where the build was lost.

    The log here is a copy of the agent's: its length tells from where on the agent goes on, so a controller that was
    killed at any point leaves nothing out and writes nothing twice.

    turn  of several builds of the job on one node at once
    """

    def __init__(self, row: BuildRow, job: Job, places: Places, bounds: Bounds = USUAL, turn: int = 1) -> None:
        self.row = row
        self.job = job
        self.turn = turn
        self.environment: dict[str, str] = {}
        self.texts: dict[str, str] = {}  # files of parameters for jobs downstream
        self.result = Result.NOT_BUILT  # until it has ended
        self.stopping = ""  # who asked for its end
        self.given_up = False  # its agent stayed away
        self.dropped = False  # its job was deleted meanwhile
        self.changes: list[Change] = []
        folder = places.build(row.job, row.number)
        self._changes = places.changes(row.job, row.number)
        self._files = places.files(row.job, row.number)
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(places.log(row.job, row.number), flags, 0o600)
        self.size = os.fstat(self._descriptor).st_size
        # The agent keeps to them, too, and adds words of its own to the log; but it is a machine of others.
        self._most = bounds.log + _WORDS
        self._room = self._bounds = bounds
        self._full = False  # there was no more room for its files
        self._fetched = asyncio.Event()
        self._news = asyncio.Event()
        self._asks: dict[int, asyncio.Task[None]] = {}

    async def start(self, agent: Agent, plan: dict[str, Any]) -> None:
        """Have the agent start the build, or go on to tell of it, where it has been started."""
        name = self.name
        if self.size:
            await agent.send(do="follow", build=name, offset=self.size)
        else:
            await agent.send(do="start", build=name, plan=plan)

    @property
    def name(self) -> str:
        """What the agent calls it."""
        return str(self.row.id)

    @property
    def news(self) -> asyncio.Event:
        """Set when more of the log is there, or the build has ended; then there is another one for what comes next."""
        return self._news

    def tell(self) -> None:
        """Wake whoever waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    def add_log(self, offset: int, data: bytes) -> None:
        """A part of the agent's log, of which nothing is left out before it."""
        if self.size >= self._most:
            return
        data = data[: max(0, self._most - offset)]
        if offset > self.size:
            raise UnavailableError(f"the agent leaves out a part of the log of {self.row.job} #{self.row.number}")
        os.pwrite(self._descriptor, data, offset)
        self.size = max(self.size, offset + len(data))
        self.tell()

    def ask(self, site: Site, agent: Agent, ask: dict[str, Any]) -> None:
        """A step of the build wants other jobs started; it is answered once, however often it asks."""
        number = int(ask["trigger"])
        if number not in self._asks:
            self._asks[number] = asyncio.get_running_loop().create_task(self._answer(site, agent, ask))
        elif self._asks[number].done():  # the answer did not arrive
            del self._asks[number]
            self.ask(site, agent, ask)

    async def _answer(self, site: Site, agent: Agent, ask: dict[str, Any]) -> None:
        answer = await answer_to(site, self.row, ask)
        await agent.send(do="answer", build=self.name, trigger=int(ask["trigger"]), answer=answer)

    def add_file(self, path: str, data: bytes) -> None:
        """A part of a file that was kept; `path` leads down. One whose name cannot be here is left out."""
        place = self._files / path
        try:
            if not self._has_room(place, len(data)):
                return
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("ab") as file:
                file.write(data)
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise

    def _has_room(self, place: Path, size: int) -> bool:
        """Whether there is for so many more bytes of a file; if so, they are counted. No part of one is kept."""
        new = not place.exists()
        room = self._room
        if self._full or room.files < new or room.artifacts < size:
            if not self._full:
                place.unlink(missing_ok=True)
            self._full = True
            return False
        self._room = replace(room, files=room.files - new, artifacts=room.artifacts - size)
        return True

    def all_fetched(self) -> None:
        """All files are here."""
        self._fetched.set()

    async def end(self, agent: Agent, ended: dict[str, Any]) -> tuple[Result, dict[str, Any]] | None:
        """Fetch what was kept, judge, and complete the log."""
        if "result" not in ended:
            self._say(f"The build was lost: {ended.get('lost') or ended.get('error')}", self.size)
            return None
        self.size = min(ended["size"], self.size)
        os.ftruncate(self._descriptor, self.size)  # what another process of the controller added at this point
        if self._files.exists():  # a part of them was fetched before
            await asyncio.to_thread(shutil.rmtree, self._files, ignore_errors=True)
        self._fetched.clear()
        self._room, self._full = self._bounds, False
        if any(ended["files"]):
            await agent.send(do="fetch", build=self.name)
            await self._fetched.wait()
        # A thread takes longer than to look at nothing.
        kept = any(ended["files"])
        judged = await asyncio.to_thread(self._judge, ended) if kept else self._judge(ended)
        self.job, result, lines, facts = judged
        if self._full:
            lines.append("Not all files were taken from the agent: they are too many or too large")
            result = worse(result, Result.FAILURE)
        if result is Result.ABORTED and self.stopping:
            lines.append(f"Aborted by {self.stopping}")
        previous = ended["variables"].get("BYOCI_PREVIOUS", "")
        self.changes = read_changes(ended.get("changes", ""), previous)
        if self.changes:
            save_changes(self._changes, self.changes)
        self.environment, self.texts = ended["variables"], ended.get("texts", {})
        self._say("\n".join([*lines, f"Finished: {result}"]), self.size)
        return result, facts

    def _judge(self, ended: dict[str, Any]) -> tuple[Job, Result, list[str], dict[str, Any]]:
        """As `judge`; what goes wrong there beyond what the system can help is the build's failure, and its end."""
        try:
            request = self.row.request
            secrets = [request.parameters.get(name, "") for name in request.secrets]
            return judge(self.job, ended, self._files, secrets)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a build must end, whatever its files make of us
            _log.exception("the end of %s #%s", self.row.job, self.row.number)
            return self.job, Result.FAILURE, [str(of_bug(error))], {}

    def _say(self, text: str, offset: int) -> None:
        data = f"{shown(text) if chr(27) in text else text}\n".encode("utf-8", "backslashreplace")
        os.pwrite(self._descriptor, data, offset)

    def end_of_log(self, most: int = 100_000) -> bytes:
        """The last bytes of the log."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, most, max(0, size - most))

    def close(self) -> None:
        """Nothing more is written, or asked for."""
        for task in self._asks.values():
            task.cancel()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.tell()


def free_turn(builds: Iterable[Running], job: str, node: str) -> int:
    """The lowest number that none of the job's builds on that node has: each has a workspace of its own."""
    taken = {build.turn for build in builds if (build.row.job, build.row.node) == (job, node)}
    return min(set(range(1, len(taken) + 2)) - taken)


def log_size(path: Path) -> int:
    """The length of a log; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
