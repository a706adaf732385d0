"""Subunit v2: found in any output, summarised, and written as one valid stream; every packet is python-subunit's."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byoci.worker.base import Exceeded, ExitStatus
from byoci.worker.results_subunit import OutputSummary, Splitter, SubunitWriter, decode

subunit_v2 = pytest.importorskip("subunit.v2", reason="missing: the extra results")
testtools = pytest.importorskip("testtools", reason="missing: the extra results")

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from byoci.model import TestSummary

pytestmark = pytest.mark.agent

SUITE = """\
import unittest

class Example(unittest.TestCase):
    def test_good(self): print("text in between: \u00b3\u03b3 ")
    def test_bad(self): self.fail("no")
    def test_error(self): raise OSError("gone")
    @unittest.skip("not today")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_known_bug(self): self.fail("known")
    @unittest.expectedFailure
    def test_bug_that_went_away(self): pass
"""


def packet(**what: Any) -> bytes:
    stream = io.BytesIO()
    subunit_v2.StreamResultToBytes(stream).status(**what)
    return stream.getvalue()


def test_of(test_id: str, status: str) -> bytes:
    return packet(test_id=test_id, test_status="inprogress") + packet(test_id=test_id, test_status=status)


test_of.__test__ = False  # type: ignore[attr-defined]


def summarise(chunks: Iterable[bytes]) -> TestSummary | None:
    summary = OutputSummary(lambda _: None)
    for chunk in chunks:
        summary(chunk)
    return summary.finish()


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


def read_back(stream: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Each test's final status and each attachment, as python-subunit reads them; strict about the format."""
    statuses: dict[str, str] = {}
    files: dict[str, bytes] = {}

    class Reader(testtools.StreamResult):
        def status(self, test_id: Any = None, test_status: Any = None, **rest: Any) -> None:
            assert test_id != "subunit.parser", rest.get("file_bytes")
            if test_status is not None:
                statuses[test_id] = test_status
            if rest.get("file_name"):
                key = f"{test_id}:{rest['file_name']}"
                files[key] = files.get(key, b"") + bytes(rest["file_bytes"])

    subunit_v2.ByteStreamToStreamResult(io.BytesIO(stream)).run(Reader())
    return statuses, files


def write(chunks: Iterable[bytes], status: ExitStatus) -> bytes:
    stream = io.BytesIO()
    writer = SubunitWriter(stream, "hello.tests")
    for chunk in chunks:
        writer(chunk)
    writer.finish(status)
    return stream.getvalue()


@pytest.fixture(scope="module")
def real_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What `python -m subunit.run` writes for a suite with every kind of result."""
    folder: Path = tmp_path_factory.mktemp("suite")
    (folder / "test_example.py").write_text(SUITE, encoding="utf-8")
    argv = [sys.executable, "-W", "ignore", "-m", "subunit.run", "test_example"]
    run = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    assert b"\xb3" in run.stdout
    return run.stdout


class TestOutputSummary:
    @pytest.mark.slow
    def test_a_real_run(self, real_stream: bytes) -> None:
        summary = summarise([real_stream])
        assert summary is not None
        assert (summary.total, summary.passed, summary.skipped) == (6, 2, 1)
        bad = {"test_bad", "test_error", "test_bug_that_went_away"}
        assert {name.removeprefix("test_example.Example.") for name in summary.failed} == bad

    def test_text_is_no_result(self) -> None:
        assert summarise([b"make: all good\n", "\u00b3 \u03b3 \u00df".encode(), b"\xb3 2 cubic metres"]) is None

    def test_forwards_every_byte_at_once(self) -> None:
        seen: list[bytes] = []
        summary = OutputSummary(seen.append)
        for chunk in (b"a\xb3", b"", test_of("x", "success")):
            summary(chunk)
            assert seen[-1] == chunk

    def test_a_test_that_never_ended_has_failed(self) -> None:
        summary = summarise([test_of("a", "success"), packet(test_id="b", test_status="inprogress")])
        assert summary is not None
        assert (summary.total, summary.failed) == (2, ("b (never ended)",))

    def test_listed_tests_and_attachments_are_not_counted(self) -> None:
        listing = packet(test_id="a", test_status="exists") + packet(test_id="a", file_name="x", file_bytes=b"y")
        summary = summarise([listing, test_of("b", "success")])
        assert summary is not None
        assert summary.total == 1

    def test_the_same_test_from_two_workers_is_two(self) -> None:
        both = [packet(test_id="a", test_status="inprogress", route_code=code) for code in "01"]
        ends = [packet(test_id="a", test_status="success", route_code="0")]
        summary = summarise([*both, *ends])
        assert summary is not None
        assert (summary.total, summary.failures) == (2, 1)

    def test_a_packet_cut_short_is_text(self) -> None:
        whole = test_of("a", "success")
        assert summarise([whole + packet(test_id="b", test_status="fail")[:-1]]) == summarise([whole])

    @given(st.lists(st.integers(0, 4000), max_size=40))
    @settings(max_examples=60)
    def test_however_it_is_cut(self, real_stream: bytes, cuts: list[int]) -> None:
        assert summarise(chunked(real_stream, cuts)) == summarise([real_stream])

    @given(st.lists(st.sampled_from([b"\xb3", b"\xb3 ", b"\xb3)", "\u00b3".encode(), b"text\n", b"\x80\xff\x29"])))
    @settings(max_examples=60)
    def test_stray_signatures_swallow_no_packet(self, noise: list[bytes]) -> None:
        stream = b"".join(noise) + test_of("a", "success") + b"".join(noise) + test_of("b", "fail")
        summary = summarise([stream])
        assert summary is not None
        assert (summary.total, summary.failed) == (2, ("b",))


class TestSplitter:
    @given(st.binary(max_size=2000), st.lists(st.integers(0, 2000)))
    def test_nothing_is_lost_or_invented(self, data: bytes, cuts: list[int]) -> None:
        splitter = Splitter()
        pieces = [piece for chunk in chunked(data, cuts) for piece in splitter.feed(chunk)]
        pieces += splitter.finish()
        assert b"".join(piece.data for piece in pieces) == data

    @given(st.binary(max_size=60), st.sampled_from(["success", "fail", "skip", "xfail", "uxsuccess", "inprogress"]))
    def test_finds_what_python_subunit_writes(self, content: bytes, status: str) -> None:
        wanted = [packet(test_id="t", test_status=status), packet(test_id="t", file_name="f", file_bytes=content)]
        splitter = Splitter()
        pieces = [*splitter.feed(b"before" + wanted[0] + wanted[1] + b"after"), *splitter.finish()]
        assert [piece.data for piece in pieces if piece.packet] == wanted

    @pytest.mark.parametrize("size", [1, 40, 63, 64, 200, 16380, 16384, 100_000, 4_194_000])
    def test_every_length_of_packet(self, size: int) -> None:
        wanted = packet(test_id="t", file_name="f", file_bytes=b"\xb3" * size)
        splitter = Splitter()
        pieces = [piece for chunk in chunked(wanted, [1, 2, 3, 4, 5, 6, 7, size]) for piece in splitter.feed(chunk)]
        assert [(piece.data == wanted, piece.packet) for piece in pieces] == [(True, True)]


class TestSubunitWriter:
    def test_a_real_run_passes_through(self, real_stream: bytes) -> None:
        statuses, files = read_back(write([real_stream], ExitStatus(1)))
        assert statuses.pop("hello.tests") == "exists"
        assert len(statuses) == 6
        assert "text in between" in files["hello.tests:log"].decode()

    def test_packets_alone_pass_through_unchanged(self) -> None:
        stream = test_of("a", "success") + test_of("b", "fail")
        assert write([stream], ExitStatus(1)) == stream

    def test_text_is_the_log_of_one_test(self) -> None:
        written = write([b"one\n", b"two \xc3", b"\xa9 \xff\n"], ExitStatus(0))
        assert read_back(written) == ({"hello.tests": "success"}, {"hello.tests:log": "one\ntwo é \ufffd\n".encode()})

    def test_a_command_without_output_is_one_test(self) -> None:
        assert read_back(write([], ExitStatus(0))) == ({"hello.tests": "success"}, {})

    def test_a_failed_command_is_a_failed_test(self) -> None:
        statuses, files = read_back(write([b"oh no\n"], ExitStatus(3)))
        assert statuses == {"hello.tests": "fail"}
        assert files["hello.tests:reason"] == b"ended with status 3"

    def test_a_runner_that_dies_after_good_tests_fails(self) -> None:
        statuses, _ = read_back(write([test_of("a", "success")], ExitStatus(139)))
        assert statuses == {"a": "success", "hello.tests": "fail"}

    def test_a_limit_is_a_failed_test_with_the_reason(self) -> None:
        statuses, files = read_back(write([test_of("a", "fail")], ExitStatus(137, Exceeded.TIME)))
        assert statuses["hello.tests"] == "fail"
        assert b"limit of time" in files["hello.tests:reason"]

    def test_a_setup_that_failed_is_a_failed_test(self) -> None:
        stream = io.BytesIO()
        writer = SubunitWriter(stream, "hello.tests")
        writer(b"Collecting nothing\n")
        writer.fail("the setup failed")
        statuses, files = read_back(stream.getvalue())
        assert statuses == {"hello.tests": "fail"}
        assert files == {"hello.tests:log": b"Collecting nothing\n", "hello.tests:reason": b"the setup failed"}

    def test_tests_that_never_ended_explain_a_failure(self) -> None:
        stream = packet(test_id="a", test_status="inprogress")
        assert write([stream], ExitStatus(1)) == stream

    def test_it_is_written_as_it_comes(self, tmp_path: Path) -> None:
        with (tmp_path / "stream").open("wb") as stream:
            writer = SubunitWriter(stream, "hello.tests")
            writer(b"line\n")
            written = (tmp_path / "stream").read_bytes()
            assert read_back(written) == ({"hello.tests": "inprogress"}, {"hello.tests:log": b"line\n"})
            writer(test_of("a", "success"))
            assert (tmp_path / "stream").read_bytes() == written + test_of("a", "success")

    def test_a_long_log_is_whole(self) -> None:
        log = "".join(f"line {number}\n" for number in range(30_000)).encode()
        assert read_back(write([log], ExitStatus(0)))[1] == {"hello.tests:log": log}

    def test_a_character_cut_short_at_the_end(self) -> None:
        assert read_back(write([b"caf\xc3"], ExitStatus(0)))[1] == {"hello.tests:log": "caf\ufffd".encode()}

    def test_a_packet_that_makes_no_sense_is_part_of_the_log(self) -> None:
        content = b"\xb3\x29\x03\x0b\x3ft\0"  # its test's name would be 63 bytes long
        broken = content + zlib.crc32(content).to_bytes(4)
        assert summarise([broken, test_of("a", "success")]) == summarise([test_of("a", "success")])
        statuses, files = read_back(write([broken], ExitStatus(0)))
        assert statuses == {"hello.tests": "success"}
        assert files["hello.tests:log"] == broken.decode("utf-8", "replace").encode()

    @given(st.lists(st.one_of(st.binary(max_size=50), st.just(test_of("a", "success")), st.just(b"\xb3 "))))
    def test_the_stream_is_valid_whatever_the_command_wrote(self, chunks: list[bytes]) -> None:
        statuses, _ = read_back(write(chunks, ExitStatus(0)))
        assert "fail" not in statuses.values()

    @given(st.binary(max_size=300), st.integers(0, 300))
    def test_a_broken_packet_never_breaks_the_stream(self, replaced: bytes, at: int) -> None:
        whole = test_of("a", "success") + test_of("b", "success")
        broken = whole[:at] + replaced + whole[at + 1 :]
        read_back(write([broken, test_of("c", "success")], ExitStatus(0)))


@given(st.binary(max_size=200))
def test_decoding_random_fields_never_crashes(body: bytes) -> None:
    decode(b"\xb3" + body)
