"""What follows the end of a build: mail, and making room for the next one."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from byoci.controller.discarding import too_old, without_artifacts
from byoci.controller.job import Discarder, Result
from byoci.controller.mail import compose, send
from byoci.errors import ByociError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.controller.job import Job
    from byoci.controller.mail import Mail
    from byoci.controller.places import Places
    from byoci.controller.rows import BuildRow
    from byoci.controller.state import State

_log = logging.getLogger(__name__)


def mails(state: State, job: Job, build: BuildRow, url: str, log: bytes) -> Iterator[Mail]:
    """What is to be sent about a build that has ended; `log` is the end of what it printed."""
    if not job.mailings:
        return
    before = state.before(build, (Result.SUCCESS, Result.UNSTABLE, Result.FAILURE))
    for mailing in job.mailings:
        told = compose(mailing, build, before.result if before else None, url, log)
        if told is not None:
            yield told


async def deliver(mail: Mail) -> None:
    """Send it; that it cannot be is told in the controller's own log, and changes nothing for the build."""
    try:
        await asyncio.to_thread(send, mail)
    except ByociError as error:
        _log.warning("mail to %s is not sent: %s", ", ".join(mail.to), error)


def discard(state: State, places: Places, discarder: Discarder, job: str) -> None:
    """Remove the builds, and the artifacts, that the job does not keep any longer."""
    if discarder == Discarder():
        return
    builds = state.builds(job)
    now = time.time()
    for build in too_old(builds, discarder, now):
        drop_build(state, places, build)
    for build in without_artifacts(builds, discarder, now):
        state.save_facts(build.id, {**(build.facts or {}), "artifacts": []})
        places.drop(places.files(build.job, build.number))


def drop_build(state: State, places: Places, build: BuildRow) -> None:
    """Forget a build that has ended, with its files."""
    state.drop_build(build)
    places.drop(places.build(build.job, build.number))
