"""What a running build prints, asked for bit by bit, with no more of it kept than is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Final

from byoci.jenkins.client import job_path

if TYPE_CHECKING:
    from byoci.jenkins.client import Jenkins

_PIECE: Final = 1 << 16  # bytes
_MOST: Final = 64 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Printed:
    """What a build printed from some place of its log on.

    data     the end of it, where it is more than was wanted; nothing where it was too much to be read to its end
    skipped  whether something before `data` is left out
    next     from where to ask on
    more     whether more may come
    """

    data: bytes
    skipped: bool
    next: int
    more: bool


def printed(jenkins: Jenkins, job: str, number: int, start: int, wanted: int, most: int = _MOST) -> Printed | None:
    """What a build printed from the place `start` of its log on, the last `wanted` bytes of it; None where it is gone.

    most  how many bytes are read: what is longer is passed over

    Raises `UnavailableError`.
    """
    with jenkins.opened(f"{job_path(job)}/{number}/logText/progressiveText?start={start}") as reply:
        if reply is None:
            return None
        kept, count = b"", 0
        while count <= most and (piece := reply.read(_PIECE)):
            kept = (kept + piece)[-wanted:]
            count += len(piece)
        if count <= most and reply.length:
            raise IncompleteRead(kept, reply.length)  # which whoever opened it takes for no answer
        if count > most:
            kept = b""
        size = reply.headers.get("X-Text-Size", "")
        following = int(size) if size.isascii() and size.isdigit() and len(size) < 16 else start + count
        return Printed(kept, count > len(kept), following, reply.headers.get("X-More-Data") == "true")
