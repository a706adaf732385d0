"""Whether a job's repository has what was not built."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from byoci.controller.checkout import tips
from byoci.controller.repository import Git
from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from byoci.controller.job import Job
    from byoci.controller.state import State

_log = logging.getLogger(__name__)


async def has_news(state: State, path: str, job: Job) -> bool:
    """Whether a build of the job would have another revision than its last one, or one of several that was not built.

    Parameters that its branches name have their defaults. A repository that does not answer has no news.
    """
    if job.scm is None:
        return False
    variables = {parameter.name: parameter.default for parameter in job.parameters}
    try:
        found = await asyncio.to_thread(tips, job.scm, variables)
    except UnavailableError as error:
        _log.warning("%s is not polled: %s", path, error)
        return False
    built = state.revisions(path)
    many = isinstance(job.scm, Git) and job.scm.many
    return not set(found) <= set(built if many else built[:1])
