"""The API token by which this machine's programs ask their own controller, made anew."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from byoci.controller.client import ADMINISTRATOR, TOKEN_FILE
from byoci.durable import locked, replace
from byoci.errors import UsageError
from byoci.identity.access import OWN_TOKEN, new_token
from byoci.identity.people import FILE, People

if TYPE_CHECKING:
    from pathlib import Path


def rotate(home: Path) -> Path:
    """Make a new one, put it into its file, and only then have the older ones be worthless; gives the file.

    It holds at once, also for a controller that runs. People's own tokens stay. Killed at any moment it can be run
    again. Raises `UsageError` where there is no controller yet.
    """
    if not (home / FILE).exists():
        raise UsageError("there is no controller yet whose token could be made anew", resolution="Type: byoci up")
    with locked(home), contextlib.closing(People(home)) as people:
        token, id_ = new_token(people, ADMINISTRATOR, OWN_TOKEN)
        replace(home / TOKEN_FILE, f"{token}\n".encode())
        people.tokens.drop_labelled(ADMINISTRATOR, OWN_TOKEN, but=id_)
    return home / TOKEN_FILE
