"""What follows the end of a build: mail, and making room for the next one."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from byoci.config.network import MAIL_ADDRESS
from byoci.controller.discarding import expired
from byoci.controller.job import Discarder, Result
from byoci.controller.mail import compose
from byoci.errors import ByociError
from byoci.web.mail import send

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from byoci.controller.changes import Change
    from byoci.controller.job import Job
    from byoci.controller.places import Places
    from byoci.controller.rows import BuildRow
    from byoci.controller.state import State
    from byoci.web.mail import Mail

_CULPRITS: Final = 100
_log = logging.getLogger(__name__)


def culprits(before: BuildRow | None, changes: Sequence[Change]) -> dict[str, Any]:
    """Facts to remember: how many changes are new in a build, and of whom since the last good one (name, address).

    before  the build before it
    """
    people = [(change.author, change.email) for change in changes]
    if before is not None and before.result is not Result.SUCCESS:
        people += [(name, email) for name, email in (before.facts or {}).get("culprits", ())]
    facts: dict[str, Any] = {"culprits": list(dict.fromkeys(people))[:_CULPRITS]} if people else {}
    return facts | ({"changes": len(changes)} if changes else {})


def mails(state: State, job: Job, build: BuildRow, url: str, log: bytes) -> Iterator[Mail]:
    """What is to be sent about a build that has ended; `log` is the end of what it printed."""
    if not job.mailings:
        return
    before = state.before(build, (Result.SUCCESS, Result.UNSTABLE, Result.FAILURE))
    for mailing in job.mailings:
        people = (build.facts or {}).get("culprits", ()) if mailing.individuals else ()
        to = dict.fromkeys([*mailing.to, *(email for _, email in people if MAIL_ADDRESS.fullmatch(email))])
        told = compose(replace(mailing, to=tuple(to)), build, before.result if before else None, url, log)
        if told is not None and to:
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
    now = time.time()
    last = (state.last(job, name) for name in ("lastSuccessfulBuild", "lastStableBuild"))
    kept = {build.number for build in last if build is not None}
    first = None if discarder.builds is None else state.nth(job, discarder.builds)
    for build in list(expired(state.oldest(job), first, discarder.days, kept, now)):
        drop_build(state, places, build)
    if discarder.artifact_builds is None and discarder.artifact_days is None:
        return
    first = None if discarder.artifact_builds is None else state.nth(job, discarder.artifact_builds)
    with_artifacts = state.oldest(job, with_artifacts=True)
    for build in list(expired(with_artifacts, first, discarder.artifact_days, kept, now)):
        state.save_facts(build.id, {**(build.facts or {}), "artifacts": []})
        places.drop(places.files(build.job, build.number))


def drop_build(state: State, places: Places, build: BuildRow) -> None:
    """Forget a build that has ended, with its files."""
    state.drop_build(build)
    places.drop(places.build(build.job, build.number))
