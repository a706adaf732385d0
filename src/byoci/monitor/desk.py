"""One trunk's desk: what the forge tells of its proposals, whose turn it is, and the landing that is under way."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from byoci.errors import ByociError, RejectedError, UnavailableError
from byoci.gate import ballot as ballots
from byoci.gate import train
from byoci.jenkins.client import NoJobError
from byoci.jenkins.landing_job import LANDING, PROPOSAL, RESULT, job_name
from byoci.model import Outcome
from byoci.monitor import retries
from byoci.monitor.board import Seen, Tile
from byoci.monitor.fate import fate
from byoci.monitor.forecast import record
from byoci.monitor.live import LiveLog
from byoci.monitor.state import approval_of
from byoci.monitor.values import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.jenkins.client import Build
    from byoci.model import Ballot, Proposal
    from byoci.monitor.fate import Fate
    from byoci.monitor.line import Line
    from byoci.monitor.state import State
    from byoci.monitor.values import Freeze, Started
    from byoci.monitor.watched import Watched

_SHORTEST: Final = 1.0  # seconds between two looks at a forge
_NEAR: Final = 2.0  # the longest time between two looks at a forge that costs nothing
_SLOWER: Final = 1.5  # by what the time grows when nothing has changed
_FOLLOWING: Final = 0.3  # seconds between two looks at a build
_LOST: Final = 15.0  # seconds after which a build that nobody can find was never asked for
_COUNTED: Final = 50  # landings that say how a project does
_AGAIN: Final = 15.0  # seconds between two attempts to start something that the controller refuses


class Desk:
    """See the module. It belongs to one thread.

    seen     the open proposals: those that may land in the order of their turns, then the others, oldest first
    trouble  why the forge or the controller could not be asked; "" where all is well
    """

    def __init__(self, watched: Watched, state: State, line: Line, longest: float, tell: Callable[[str], None]) -> None:
        self.watched = watched
        self.seen: tuple[Seen, ...] = ()
        self.trouble = ""
        self._state = state
        self._line = line
        self._longest = min(longest, _NEAR) if watched.near else longest
        self._tell = tell
        self._interval = _SHORTEST
        self._look_at = 0.0  # monotonic, as the other times of this class
        self._start_at = 0.0
        self._since = time.monotonic()
        self._hotfixes: frozenset[str] = frozenset()
        self._freeze: Freeze | None = None
        self._edition = ""
        self._judgements: tuple[Seen, ...] = ()
        self._held: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._log = LiveLog()
        self._failed: Started | None = None
        self._record = Record()
        self._count()

    @property
    def job(self) -> str:
        """The job that lands here."""
        return job_name(self.watched.project)

    def tile(self) -> Tile:
        """What is to be shown of it."""
        trunk = str(self.watched.trunk)
        watched = self.watched
        return Tile(
            watched.project,
            trunk,
            watched.forge.name,
            self.trouble,
            self.seen,
            self._state.under_way(trunk),
            self._freeze,
            self._log.tail,
            self._record,
        )

    @property
    def ill(self) -> str:
        """Why nothing can land, for people: its trouble, or that byoci failed to land what may land; "" otherwise."""
        failed = self._failed
        if self.trouble or failed is None:
            return self.trouble
        if not any(item.proposal.id == failed.proposal and not item.reasons for item in self.seen):
            return ""
        return "\n".join((f"Proposal {failed.proposal} could not be landed.", *failed.reasons))

    def wake(self) -> None:
        """Something may have changed: look at the forge again, at once."""
        self._look_at, self._interval = 0.0, _SHORTEST

    def work(self) -> float:
        """Do what is to be done now; how many seconds there are until the next time. Never raises a `ByociError`."""
        try:
            return self._work()
        except ByociError as error:
            self._line.lost()  # the controller, perhaps
            self._say_trouble(error)
            self._log.lose()
            self._interval = min(max(self._interval, _SHORTEST) * 2, max(self._longest, _AGAIN))
            self._look_at = time.monotonic() + self._interval
            return self._interval

    def _work(self) -> float:
        landing = self._state.under_way(str(self.watched.trunk))
        if landing is not None:
            landing = self._follow(landing)
        self._heed_people()
        if time.monotonic() >= self._look_at:
            self._look()
        if landing is None and time.monotonic() >= self._start_at:
            landing = self._start()
        self.trouble = "" if time.monotonic() >= self._start_at else self.trouble
        return _FOLLOWING if landing is not None else max(self._look_at - time.monotonic(), 0.05)

    def _say_trouble(self, error: ByociError) -> None:
        if self.trouble != str(error):
            self.trouble = str(error)
            self._tell(f"{self.watched.project}: {error}")

    def _heed_people(self) -> None:
        """What people have told the monitor itself."""
        project = self.watched.project
        self._freeze, hotfixes = self._state.frozen(project), self._state.hotfixes(project)
        if hotfixes != self._hotfixes:
            self._hotfixes = hotfixes
            self.wake()

    # The forge.

    def _look(self) -> None:
        """Read the forge and judge; what did not change is looked at less and less often."""
        self._read()
        fixes = self._hotfixes
        judged = [replace(item, hotfix=True) if item.proposal.id in fixes else item for item in self._judgements]
        seen = tuple(self._held_back(item) for item in _in_turn(judged))
        self._interval = _SHORTEST if seen != self.seen else min(self._interval * _SLOWER, self._longest)
        self.seen = seen
        self._look_at = time.monotonic() + self._interval

    def _read(self) -> None:
        """Read the proposals and their ballots, where the forge has others than when they were read last."""
        forge, trunk = self.watched.forge, self.watched.trunk
        edition = forge.edition(trunk)  # before the others: what changes meanwhile is read again
        if edition != self._edition:
            self._judgements = tuple(self._judged(forge.ballot_of(proposal)) for proposal in forge.proposals(trunk))
            self._edition = edition

    def _judged(self, ballot: Ballot) -> Seen:
        policy = self.watched.policy
        reasons = ballots.judge(ballot, policy, None).reasons
        return Seen(ballot.proposal, reasons, ballots.explain(ballot, policy, None))

    def _next(self) -> Proposal | None:
        """Whose turn it is: the first that may land, is not to wait, and whose source has not moved on."""
        for index, item in enumerate(self.seen):
            if item.reasons or (self._freeze is not None and not item.hotfix):
                continue
            at = retries.not_before(self._state.of_approval(self.watched.project, item.proposal))
            if at is None or time.time() < at:
                continue
            reasons = self._obstacles(item.proposal)
            if not reasons:
                return item.proposal
            self._held[_key(item.proposal)] = time.monotonic() + self._longest, reasons
            self.seen = (*self.seen[:index], replace(item, reasons=reasons), *self.seen[index + 1 :])
        return None

    def _held_back(self, item: Seen) -> Seen:
        """The same, with what its source told when it was its turn: that is far away, and not asked at every look."""
        until, reasons = self._held.get(_key(item.proposal), (0.0, ()))
        if item.reasons or time.monotonic() > until:
            self._held.pop(_key(item.proposal), None)
            return item
        return replace(item, reasons=reasons)

    def _obstacles(self, proposal: Proposal) -> tuple[str, ...]:
        """Why it may not land after all, now that it is its turn: the forge is read again, and its source as well."""
        watched = self.watched
        try:
            judgement = ballots.judge(watched.forge.ballot_of(proposal), watched.policy, watched.tip(proposal.source))
        except (UnavailableError, RejectedError) as error:
            return (error.brief,)
        return judgement.reasons

    # The controller.

    def _start(self) -> Started | None:
        proposal = self._next()
        if proposal is None:
            return None
        landing = self._state.begin(self.watched.project, str(self.watched.trunk), proposal)
        if landing is None:
            return None
        self._since = time.monotonic()
        try:
            self._line.controller().start(self.job, {PROPOSAL: proposal.id, LANDING: landing.token})
        except NoJobError as error:
            self._state.forget(landing)  # nothing was asked for, so its turn is not over
            self._start_at = time.monotonic() + _AGAIN
            self._say_trouble(error)
            return None
        self._tell(f"{self.watched.project} {proposal.id}: landing")
        return landing

    def _follow(self, landing: Started) -> Started | None:
        """Look what became of a landing; None where it has ended."""
        build = self._build(landing)
        if build is None:
            return self._not_found(landing)
        self._since = time.monotonic()
        if landing.number is None:
            self._state.follow(landing, build.number, build.url, build.started)
        if build.building:
            self._log.read(self._line.controller(), self.job, replace(landing, number=build.number))
            return landing
        told = self._line.controller().artifact(self.job, build.number, RESULT)
        self._end(landing, fate(build, told, self.watched.forge.proposal(landing.proposal)))
        return None

    def _end(self, landing: Started, found: Fate) -> None:
        self._state.end(landing, found.outcome, found.reasons, found.revision)
        self._log.end()
        self._count()
        self._tell(f"{self.watched.project} {landing.proposal}: {found.outcome} {found.revision or ''}".rstrip())
        self.wake()

    def _count(self) -> None:
        """What the landings that have ended tell."""
        newest = [item for item in self._state.newest(self.watched.project, _COUNTED + 1) if item.ended]
        self._record = record(newest)
        self._failed = newest[0] if newest and newest[0].outcome is Outcome.ERROR else None

    def _build(self, landing: Started) -> Build | None:
        if landing.number is not None:
            return self._line.controller().build(self.job, landing.number)
        found = self._line.controller().builds(self.job)
        return next((build for build in found if build.parameters.get(LANDING) == landing.token), None)

    def _not_found(self, landing: Started) -> Started | None:
        """A build that waits, that is about to start, or that is gone for good."""
        if landing.number is None and self._line.controller().is_queued(self.job, LANDING, landing.token):
            self._since = time.monotonic()
        elif time.monotonic() > self._since + _LOST:
            self._end(landing, fate(None, None, self.watched.forge.proposal(landing.proposal)))
            return None
        return landing


def _key(proposal: Proposal) -> str:
    return f"{proposal.id} {approval_of(proposal)}"


def _in_turn(judged: list[Seen]) -> list[Seen]:
    may = {item.proposal.id: item for item in judged if not item.reasons}
    turns = train.order([train.Waiting(item.proposal, hotfix=item.hotfix) for item in may.values()])
    return [*(may[turn.proposal.id] for turn in turns), *(item for item in judged if item.reasons)]
