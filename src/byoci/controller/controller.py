"""The controller itself: takes wishes for builds, gives them to agents, follows them, and acts on their ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.controller.aftermath import culprits, deliver, discard, drop_build, mails
from byoci.controller.agents import Agent, Gate
from byoci.controller.bounds import USUAL, Bounds
from byoci.controller.catalog import Catalog, DisabledError, MissingError
from byoci.controller.job import Result
from byoci.controller.nodexml import OWN, Node, read_node, write_node
from byoci.controller.places import Places
from byoci.controller.plans import job_url, make_plan, parameters_of, secret_names, sweep_dict
from byoci.controller.polling import has_news
from byoci.controller.queueing import Queue
from byoci.controller.rows import NodeRow, Request
from byoci.controller.running import Running, free_turn
from byoci.controller.state import STATE_FILE, State
from byoci.controller.told import checked_end
from byoci.controller.triggers import BY_CHANGE, BY_TIMER, Relations, Timers, started_by
from byoci.controller.watching import PATIENCE, Watch
from byoci.errors import ByociError, UnavailableError, UsageError, of_bug

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from byoci.controller.connection import Link
    from byoci.controller.rows import BuildRow, Queued

_log = logging.getLogger(__name__)
_PAUSE: Final = 5.0  # seconds before something is tried again that a full disk prevented


class Controller:
    """Everything but the remote API. Made, used and closed in one event loop.

    home  its state folder
    url   its address, with a slash at its end
    dial  makes the connection to a node
    patience  seconds that an agent may be away before its builds are given up
    bounds    of what is kept of a build
    """

    def __init__(
        self,
        home: Path,
        url: str,
        dial: Callable[[Node], Awaitable[Link]],
        *,
        patience: float = PATIENCE,
        bounds: Bounds = USUAL,
    ) -> None:
        self.url = url
        self.bounds = bounds
        self.places = Places(home)
        self.state = State(home / STATE_FILE)
        self.catalog = Catalog(self.state, self.places)
        self.relations = Relations(self.catalog)
        self.restart = asyncio.Event()  # set by who wants another process in this one's place
        self.quiet = False  # whether it is about to shut down, and starts nothing
        self.closing = False  # whether this process is about to end: nobody waits for news of it any more
        self.running: dict[int, Running] = {}
        self.nodes: dict[str, Node] = {}
        self.offline: dict[str, str] = {}
        self.agents: dict[str, Agent] = {}
        self._dial = dial
        self._gate = Gate()
        self._watch = Watch(self, patience)
        self.queue = Queue(self)
        self._ends: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kicked = asyncio.Event()
        self.progress = asyncio.Event()  # set, and another one made, whenever a build has ended or left the queue

    async def open(self) -> None:
        """Connect to the nodes, and go on with what was running."""
        rows = self.state.nodes()
        if not any(row.name == OWN for row in rows):
            self.state.save_node(NodeRow(OWN, write_node(Node(OWN, root=str(self.places.home / "agent")))))
            rows = self.state.nodes()
        for build in self.state.running():
            turn = (self.state.plan(build.id) or {}).get("turn", 1)
            self.running[build.id] = Running(build, self.catalog.job(build.job), self.places, self.bounds, turn)
        for row in rows:
            self._connect(row)
        self._spawn(self._keep_scheduling())
        self._spawn(self._watch.keep())
        self._spawn(Timers(self.catalog, lambda job: job.cron, self._by_timer).keep())
        self._spawn(Timers(self.catalog, lambda job: job.poll, lambda path: self._spawn(self.poll(path))).keep())

    async def close(self) -> None:
        """Stop; builds on agents go on, and the next controller goes on with them."""
        tasks = [*self._tasks, *self._ends.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *(agent.close() for agent in self.agents.values()), return_exceptions=True)
        for running in self.running.values():
            running.close()
        self.state.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s", of_bug(error) if isinstance(error, Exception) else error)

    def submit(
        self,
        path: str,
        given: Mapping[str, str],
        request: Request,
        *,
        delay: float | None = None,
        asked: tuple[int, int, int] | None = None,
    ) -> Queued:
        """Ask for a build; `delay` seconds take the place of the job's quiet period; `asked` as in `State.enqueue`.

        Raises `DisabledError`, and `UsageError` for parameters that cannot be.
        """
        job = self.catalog.job(path)
        if job.disabled:
            raise DisabledError(f"{path} is disabled")
        strict = request.kind in ("hudson.model.Cause$UserIdCause", "hudson.model.Cause$RemoteCause")
        wish = Request(
            parameters_of(job, given, strict=strict),
            request.cause,
            request.kind,
            request.user,
            request.again,
            secret_names(job),
            request.times,
        )
        wait = (job.quiet or 0) if delay is None else delay
        queued = self.state.enqueue(path, wish, time.time() + wait, asked=asked)
        self.kick()
        return queued

    def _by_timer(self, path: str) -> None:
        self._submit_quietly(path, {}, BY_TIMER)

    async def poll(self, path: str) -> None:
        """Start a job whose repository has what was not built; not while it waits or is being built."""
        job = self.catalog.job(path)
        waits = any(queued.job == path for queued in self.state.waiting())
        if waits or any(running.row.job == path for running in self.running.values()):
            return
        if await has_news(self.state, path, job) and path in self.catalog.jobs:
            self._submit_quietly(path, {}, BY_CHANGE)

    def cancel(self, id_: int) -> bool:
        """Take a wish out of the queue; whether it was there."""
        self._progressed()
        return self.state.cancel(id_)

    async def stop(self, build: BuildRow, user: str) -> None:
        """End a build; one that has ended is left alone."""
        running = self.running.get(build.id)
        if running is not None:
            running.stopping = user
            agent = self.agents.get(build.node)
            if agent is not None:
                await agent.send(do="abort", build=running.name)

    async def delete(self, path: str, user: str) -> None:
        """Remove a job or folder; what of it runs is ended."""
        self.catalog.item(path)
        for running in self._below(path):
            running.dropped = True
            await self.stop(running.row, user)
        self.catalog.delete(path)

    def rename(self, path: str, name: str) -> str:
        """Rename a job or folder that is not being built; gives its new path."""
        if self._below(path):
            raise UsageError(f"{path} is being built", resolution="Wait until it is not, or stop it.")
        return self.catalog.rename(path, name)

    def move(self, path: str, folder: str) -> str:
        """Put a job or folder that is not being built into another folder; gives its new path."""
        if self._below(path):
            raise UsageError(f"{path} is being built", resolution="Wait until it is not, or stop it.")
        return self.catalog.move(path, folder)

    def enable(self, path: str, *, enabled: bool) -> None:
        """Let a job be built, or not; what of a disabled one waits is taken out of the queue."""
        self.catalog.enable(path, enabled=enabled)
        if not enabled:
            for queued in self.state.waiting():
                if queued.job == path:
                    self.state.cancel(queued.id)
        self.kick()

    async def wipe(self, path: str) -> None:
        """Empty the workspace of a job's last build."""
        self.catalog.job(path)
        build = self.state.last(path, "lastCompletedBuild")
        if self._below(path):
            raise UsageError(f"{path} is being built", resolution="Wait until it is not, or stop it.")
        if build is not None and build.facts and "workspace" in build.facts and build.node in self.agents:
            await self.agents[build.node].send(do="wipe", path=build.facts["workspace"])

    def _below(self, path: str) -> list[Running]:
        builds = self.running.values()
        return [running for running in builds if running.row.job == path or running.row.job.startswith(f"{path}/")]

    def delete_build(self, build: BuildRow) -> None:
        """Remove a build that has ended, with its files; `UsageError` for one that runs."""
        if build.ended is None:
            raise UsageError(f"{build.job} #{build.number} is running", resolution="Stop it first.")
        drop_build(self.state, self.places, build)

    # Nodes

    def save_node(self, node: Node, *, new: bool) -> None:
        """Make or change a node, and connect to it."""
        if new == (node.name in self.nodes):
            raise UsageError(f"node {node.shown} " + ("exists already" if new else "does not exist"))
        row = NodeRow(node.name, write_node(node), self.offline.get(node.name))
        self.state.save_node(row)
        if node.name in self.agents:
            self._spawn(self.agents.pop(node.name).close())
        self._connect(row)
        self.kick()

    def drop_node(self, name: str) -> None:
        """Remove a node. What runs there is lost to the controller."""
        if name == OWN or name not in self.nodes:
            raise MissingError(f"there is no node {name[:100]!a} that could be removed")
        if any(running.row.node == name for running in self.running.values()):
            raise UsageError(f"node {name} is building", resolution="Take it offline and wait, or stop its builds.")
        self.state.drop_node(name)
        del self.nodes[name]
        self.offline.pop(name, None)
        self._spawn(self.agents.pop(name).close())

    def take_offline(self, name: str, reason: str | None) -> None:
        """A person takes a node offline, or (None) back."""
        self.state.save_node(NodeRow(name, write_node(self.nodes[name]), reason))
        if reason is None:
            self.offline.pop(name, None)
        else:
            self.offline[name] = reason
        self.kick()

    def _connect(self, row: NodeRow) -> None:
        node = read_node(row.config)
        self.nodes[node.name] = node
        if row.offline is not None:
            self.offline[node.name] = row.offline
        self.agents[node.name] = Agent(node, self._dial, self, self._gate)

    # What agents tell

    def agent_online(self, agent: Agent) -> None:
        """See `Listener`."""
        self._spawn(self._watch.welcome(agent))
        for running in [running for running in self.running.values() if running.row.node == agent.node.name]:
            self._spawn(self._start(agent, running))
        self.kick()

    def agent_offline(self, agent: Agent) -> None:
        """See `Listener`."""
        del agent
        self.kick()

    def agent_message(self, agent: Agent, message: dict[str, Any], data: bytes) -> None:
        """See `Listener`."""
        running = self.running.get(int(message.get("build", 0)))
        if running is None or running.row.node != agent.node.name:  # nobody tells of another one's builds
            return
        if "log" in message:
            running.add_log(message["log"], data)
        elif "ask" in message:
            running.ask(self, agent, message["ask"])
        elif "file" in message:
            running.add_file(message["file"], data)
        elif "fetched" in message:
            running.all_fetched()
        elif "ended" in message or "error" in message:
            self.ending(agent, running, checked_end(message.get("ended") or {"error": message.get("error")}))

    def ending(self, agent: Agent, running: Running, ended: dict[str, Any]) -> None:
        """The build is over, and this is known of its end; see `watching` and the agent's `server`."""
        earlier = self._ends.pop(running.row.id, None)
        if earlier is not None:  # the connection broke in the middle of it
            earlier.cancel()
        task = self._ends[running.row.id] = asyncio.get_running_loop().create_task(self._end(agent, running, ended))
        task.add_done_callback(self._spawned)

    def _progressed(self) -> None:
        self.progress.set()
        self.progress = asyncio.Event()

    def kick(self) -> None:
        """Something changed that the queue may have waited for."""
        self._kicked.set()

    async def _keep_scheduling(self) -> None:
        while True:
            try:
                wait = self._schedule()
            except UnavailableError as error:  # a full disk, for example: what waits goes on waiting
                _log.error("nothing can be started: %s", error)
                wait = _PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._kicked.wait()
            self._kicked.clear()

    def _schedule(self) -> float | None:
        """Start what can start; gives the seconds until a quiet period ends, None where nobody waits for that."""
        seats, wait = self.queue.turn()
        for seat in seats:
            turn = free_turn(self.running.values(), seat.queued.job, seat.node)
            row = self.state.begin(seat.queued, seat.node, seat.executor, functools.partial(self._plan, turn))
            running = Running(row, self.catalog.job(row.job), self.places, self.bounds, turn)
            self.running[row.id] = running
            self._spawn(self._start(self.agents[seat.node], running))
        return wait

    def _plan(self, turn: int, row: BuildRow) -> dict[str, Any]:
        """What a build that begins has to do."""
        job = self.catalog.job(row.job)
        built = self.state.revisions(row.job) if job.scm else []
        return make_plan(job, row, self.nodes[row.node], self.url, turn, built, self.bounds)

    async def _start(self, agent: Agent, running: Running) -> None:
        plan = self.state.plan(running.row.id)
        if plan is None:  # it was begun by an earlier byoci
            plan = self._plan(running.turn, running.row)
            self.state.save_plan(running.row.id, plan)
        await running.start(agent, plan)
        if running.stopping:  # somebody asked for it while there was no connection
            await agent.send(do="abort", build=running.name)

    async def _end(self, agent: Agent, running: Running, ended: dict[str, Any]) -> None:
        facts = {} if running.dropped else await self._judge(agent, running, ended)
        workspace = facts.get("workspace")
        for cleanup in running.job.cleanup:
            if workspace and running.result in cleanup.results:
                await agent.send(do="wipe", path=workspace, **sweep_dict(cleanup.sweep))
        await agent.send(do="forget", build=running.name)
        running.close()
        del self.running[running.row.id]
        self._progressed()
        self._ends.pop(running.row.id, None)
        self.kick()

    async def _judge(self, agent: Agent, running: Running, ended: dict[str, Any]) -> dict[str, Any]:
        """Give the build its result, and remember it; gives the facts about it."""
        row = running.row
        while True:
            try:
                outcome = await running.end(agent, ended)
                running.result, facts = outcome or (Result.ABORTED, {"lost": True})
                if not running.dropped:
                    facts |= culprits(self.state.previous(row), running.changes)
                    row = self.state.finish(row, running.result, facts)
                    self._follow_up(running, row, lost=outcome is None)
            except (UnavailableError, OSError) as error:  # a full disk, for example: the agent has it all still
                _log.error("the end of %s #%s: %s", row.job, row.number, error)
                await asyncio.sleep(_PAUSE)
            else:
                return facts

    def _follow_up(self, running: Running, row: BuildRow, *, lost: bool) -> None:
        if lost:
            if not row.request.again and not running.stopping:
                queued = self._submit_quietly(row.job, row.request.parameters, replace(row.request, again=True))
                if queued is not None:
                    self.state.ask_instead(row.queued, queued.id)
            return
        url = f"{self.url}{job_url(row.job)}{row.number}/"
        for mail in mails(self.state, running.job, row, url, running.end_of_log()):
            self._spawn(deliver(mail))
        for wish in started_by(self.catalog, running.job, row, running.environment, running.texts):
            self._submit_quietly(*wish)
        discard(self.state, self.places, running.job.discarder, row.job)

    def _submit_quietly(
        self, path: str, given: Mapping[str, str], request: Request, delay: float | None = None
    ) -> Queued | None:
        try:
            return self.submit(path, given, request, delay=delay)
        except ByociError as error:  # of a job that cannot be, or a full disk: the others are started all the same
            _log.warning("%s is not started: %s", path, error)
            return None
