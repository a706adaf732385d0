"""Subunit v2: taken out of a command's output as it streams by, summarised, and written.

A packet is the byte 0xB3, two bytes of flags, its whole length as a number of one to three bytes, fields, and the
CRC-32 of all that (python-subunit's README, "Version 2"). Text may stand between packets. The framing is done here,
because the stream is hostile and arrives in pieces; what a whole packet says is decoded by python-subunit, which is
imported when the first packet comes.
"""

from __future__ import annotations

import codecs
import re
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from byoci.errors import UsageError
from byoci.worker.results import Tally, harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from byoci.model import TestSummary
    from byoci.worker.base import ExitStatus

# Signature; version 2 in the upper nibble; flags, of which 0x0008 is never set; the first byte of a length of at most
# three. \Z: the rest is yet to come.
_FLAGS: Final = re.escape(bytes(byte for byte in range(256) if not byte & 0x08))
_HEADER: Final = re.compile(rb"\xb3(?:\Z|[\x20-\x2f](?:\Z|[" + _FLAGS + rb"](?:\Z|[\x00-\xbf])))", re.DOTALL)
_SMALLEST: Final = 8
_VAIN_WORK: Final = 4  # bytes checked in vain for each byte received, and at once for the largest packets
_LARGEST: Final = 4 * 1024**2
_MOST_OPEN: Final = 10_000
_LOG_MIME: Final = "text/plain;charset=utf8"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the output: one whole packet whose checksum is right, or text."""

    data: bytes
    packet: bool


class Splitter:
    """Splits output into packets and text, however it is cut into chunks; holds at most one packet (4 MiB).

    What looks like a packet and is not is text, and the search goes on at its second byte, so that a stray 0xB3
    swallows no packet. A hostile stream could make that quadratic: when too much was checked in vain, false packets
    are passed over whole.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._position = 0  # in the whole stream, of the first byte held
        self._in_vain = 0

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The pieces that `chunk` completes."""
        self._held += chunk
        yield from self._split(at_end=False)

    def finish(self) -> Iterator[Piece]:
        """What was held back, now that nothing follows."""
        yield from self._split(at_end=True)

    def _split(self, *, at_end: bool) -> Iterator[Piece]:
        held = self._held
        start = looked = 0
        while found := _HEADER.search(held, looked):
            begin = found.start()
            end = begin + _claimed_length(held, begin)
            if end > len(held):
                if not at_end:
                    break
                looked = begin + 1
            elif _checksum_is_right(held, begin, end):
                if start < begin:
                    yield Piece(bytes(held[start:begin]), packet=False)
                yield Piece(bytes(held[begin:end]), packet=True)
                start = looked = end
            else:
                looked = self._after_false_packet(begin, end)
        decided = found.start() if found else len(held)
        if start < decided:
            yield Piece(bytes(held[start:decided]), packet=False)
        del held[:decided]
        self._position += decided

    def _after_false_packet(self, begin: int, end: int) -> int:
        self._in_vain += end - begin
        patient = self._in_vain <= _VAIN_WORK * (self._position + end + _LARGEST)
        return begin + 1 if patient else max(end, begin + 1)


def _claimed_length(data: bytearray, begin: int) -> int:
    """What the header at `begin` says its packet's length is; as far as that is not there yet, the least possible."""
    number = data[begin + 3 : begin + 6]
    if not number or len(number) <= number[0] >> 6:
        return _SMALLEST
    return int.from_bytes(number[: (number[0] >> 6) + 1]) & (0x3F, 0x3FFF, 0x3FFFFF)[number[0] >> 6]


def _checksum_is_right(data: bytearray, begin: int, end: int) -> bool:
    if end - begin < _SMALLEST:
        return False
    with memoryview(data) as whole, whole[begin : end - 4] as content:
        return zlib.crc32(content).to_bytes(4) == whole[end - 4 : end]


@dataclass(frozen=True, slots=True)
class Event:
    """What a packet says that matters here. `status` is None for a packet that only carries a file."""

    test_id: str | None
    status: str | None
    route: str | None


def decode(packet: bytes) -> Event | None:
    """The meaning of one whole packet; None where its fields make no sense.

    Raises `UsageError` where python-subunit is not installed.
    """
    told: list[Event] = []

    class _Listener:
        def status(self, test_id: str | None = None, test_status: str | None = None, **rest: Any) -> None:
            told.append(Event(test_id, test_status, rest.get("route_code")))

    try:
        _subunit().ByteStreamToStreamResult(BytesIO(packet), non_subunit_name="text").run(_Listener())
    except (struct.error, OverflowError, ValueError):
        return None
    return told[0] if len(told) == 1 else None  # the parser reports what it cannot read as two events of its own


def _subunit() -> Any:
    try:
        import subunit.v2
    except ImportError as error:
        raise UsageError(
            "the tests' output is subunit, and python-subunit is not installed here",
            resolution="Install byoci with its extra: pip install 'byoci[results]'.",
        ) from error
    return subunit.v2


class _Progress:
    """Follows tests through their events; a test that began and never ended has failed."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._open: dict[bytes, str] = {}
        self._crowded = False
        self.any = False

    def told(self, event: Event) -> None:
        self.any = True
        if event.test_id is None or event.status in (None, "exists"):
            return
        key = blake2b(repr((event.route, event.test_id)).encode("utf-8", "replace"), digest_size=16).digest()
        if event.status == "inprogress":
            self._begun(key, event.test_id)
            return
        self._open.pop(key, None)
        if event.status == "skip":
            self._tally.skip()
        elif event.status in ("success", "xfail"):
            self._tally.passed()
        else:  # "fail", and "uxsuccess": it was declared to fail and did not
            self._tally.fail(event.test_id)

    def _begun(self, key: bytes, test_id: str) -> None:
        if len(self._open) < _MOST_OPEN:
            self._open[key] = harmless(test_id)
        elif not self._crowded:
            self._crowded = True
            self._tally.fail(f"more than {_MOST_OPEN} tests in progress at once")

    @property
    def failures(self) -> int:
        return self._tally.failures + len(self._open)

    def finish(self) -> TestSummary:
        for name in self._open.values():
            self._tally.fail(f"{name} (never ended)")
        self._open.clear()
        return self._tally.summary()


class OutputSummary:
    """Hands a command's output on as it comes, and says at the end what the subunit packets in it told.

    An instance is the `on_output` of a `Worker`. Memory is bounded however long or hostile the output is.
    """

    def __init__(self, forward: Callable[[bytes], None]) -> None:
        self._forward = forward
        self._splitter = Splitter()
        self._progress = _Progress()

    def __call__(self, chunk: bytes) -> None:
        """Take the next part of the output."""
        self._forward(chunk)
        self._read(self._splitter.feed(chunk))

    def finish(self) -> TestSummary | None:
        """The numbers, once the command has ended; None where its output was not subunit."""
        self._read(self._splitter.finish())
        return self._progress.finish() if self._progress.any else None

    def _read(self, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            if piece.packet and (event := decode(piece.data)):
                self._progress.told(event)


class SubunitWriter:
    """Writes a command's output as one valid subunit v2 stream, as it comes.

    The tests' own packets pass through unchanged. Everything else is the log of a test named `test_id`, the command
    itself, which begins with the first such output. If the command told no tests, that test succeeds or fails as the
    command did. If it told some, the command's own test only fails where the packets do not explain that the command
    failed; otherwise it ends as "exists", which no reader counts.
    """

    def __init__(self, stream: BinaryIO, test_id: str) -> None:
        self._stream = stream
        self._to = _subunit().StreamResultToBytes(stream)
        self._test_id = test_id
        self._splitter = Splitter()
        self._progress = _Progress()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = False

    def __call__(self, chunk: bytes) -> None:
        """Take the next part of the output; an instance is the `on_output` of a `Worker`."""
        self._write(self._splitter.feed(chunk))

    def finish(self, status: ExitStatus) -> None:
        """End the stream: the command ended like this."""
        if status.exceeded is not None:
            self.fail(f"ended because it went over its limit of {status.exceeded}")
            return
        self._write(self._splitter.finish())
        explained = self._progress.any and (status.ok or self._progress.failures > 0)
        if not explained:
            self._end("success" if status.ok else "fail", "" if status.ok else f"ended with status {status.code}")
        elif self._begun:
            self._end("exists")

    def fail(self, reason: str) -> None:
        """End the stream: the command was not run to its end, for this reason (a setup that failed, a limit)."""
        self._write(self._splitter.finish())
        self._end("fail", reason)

    def _write(self, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            if piece.packet and (event := decode(piece.data)):
                self._progress.told(event)
                self._stream.write(piece.data)
                self._stream.flush()
            else:
                self._log(self._decoder.decode(piece.data))

    def _log(self, text: str) -> None:
        if not self._begun:
            self._begun = True
            self._status(test_status="inprogress")
        for at in range(0, len(text), 65536):
            self._status(file_name="log", file_bytes=text[at : at + 65536].encode(), mime_type=_LOG_MIME)

    def _end(self, test_status: str, reason: str = "") -> None:
        self._log(self._decoder.decode(b"", final=True))
        if reason:
            self._status(file_name="reason", file_bytes=reason.encode("utf-8", "replace"), mime_type=_LOG_MIME)
        self._status(test_status=test_status)

    def _status(self, **what: Any) -> None:
        self._to.status(test_id=self._test_id, timestamp=datetime.now(UTC), **what)
