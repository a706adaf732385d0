"""A test writes results to hurt its reader: it may be wrong about itself, never more than that."""

from __future__ import annotations

import os
import socket
import struct
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from byoci.worker import results_junit
from byoci.worker.results_junit import read_junit
from byoci.worker.results_subunit import OutputSummary

pytest.importorskip("subunit", reason="missing: the extra results")
pytest.importorskip("defusedxml", reason="missing: the extra results")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from byoci.model import TestSummary

pytestmark = pytest.mark.agent

GOOD = '<testsuite><testcase name="x"/></testsuite>'


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "secret.xml").write_text(GOOD)
    return tmp_path / "workspace"


def peak_of(call: Callable[[], object]) -> int:
    """The most memory that Python and expat's callbacks held at once, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def status_packet(test_id: bytes, status: int) -> bytes:
    body = struct.pack(">H", 0x2900 | status)
    name = struct.pack(">H", 0x4000 | len(test_id)) + test_id
    content = b"\xb3" + body + struct.pack(">H", 0x4000 | (1 + 2 + 2 + len(name) + 4)) + name
    return content + struct.pack(">I", zlib.crc32(content))


class TestLinksAndSpecialFiles:
    def test_a_linked_file_is_not_read(self, workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
        (workspace / "r.xml").symlink_to("../secret.xml")
        assert read_junit([workspace], ["r.xml", "*.xml", "**/*.xml"]) is None
        assert "not a regular file" in caplog.text

    def test_a_linked_folder_is_not_entered(self, workspace: Path) -> None:
        (workspace / "out").symlink_to("..")
        (workspace / "abs").symlink_to(workspace.parent)
        assert read_junit([workspace], ["out/secret.xml", "*/secret.xml", "**/secret.xml", "abs/*"]) is None

    def test_a_linked_workspace_is_not_entered(self, workspace: Path) -> None:
        (workspace.parent / "link").symlink_to(".")
        assert read_junit([workspace.parent / "link"], ["secret.xml"]) is None

    def test_fifos_sockets_and_folders_do_not_block(self, workspace: Path) -> None:
        os.mkfifo(workspace / "a.xml")
        (workspace / "b.xml").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            before = os.open(".", os.O_RDONLY)
            try:
                os.chdir(workspace)  # a socket's path is short
                listener.bind("c.xml")
            finally:
                os.fchdir(before)
                os.close(before)
            assert read_junit([workspace], ["*.xml"]) is None

    def test_a_device_is_not_opened(self, workspace: Path) -> None:
        try:
            os.mknod(workspace / "r.xml", 0o20666, os.makedev(1, 5))  # /dev/zero, which never ends
        except PermissionError:
            pytest.skip("only root makes devices")
        assert read_junit([workspace], ["r.xml"]) is None

    def test_a_link_that_replaces_the_file_at_the_last_moment(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (workspace / "r.xml").write_text(GOOD)
        honest = os.stat

        def swap(*args: object, **options: object) -> os.stat_result:
            told = honest(*args, **options)  # type: ignore[arg-type]
            (workspace / "r.xml").unlink(missing_ok=True)
            (workspace / "r.xml").symlink_to("../secret.xml")
            return told

        monkeypatch.setattr(results_junit.os, "stat", swap)
        assert read_junit([workspace], ["r.xml"]) is None


class TestSizes:
    def test_a_huge_file_is_left_out(self, workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
        (workspace / "good.xml").write_text(GOOD)
        with (workspace / "huge.xml").open("w") as huge:
            huge.write("<testsuite>")
            huge.truncate(10**12)
        summary = read_junit([workspace], ["*.xml"])
        assert summary is not None
        assert summary.total == 1
        assert "huge.xml" in caplog.text

    def test_more_files_than_anybody_needs(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(results_junit, "FILES", 20)
        for number in range(40):
            (workspace / f"{number}.xml").write_text(GOOD)
        summary = read_junit([workspace], ["*.xml"])
        assert summary is not None
        assert summary.total == 20
        assert len(caplog.records) <= 11

    def test_more_entries_than_anybody_needs(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(results_junit, "ENTRIES", 50)
        for number in range(200):
            (workspace / f"{number}.txt").touch()
        (workspace / "r.xml").write_text(GOOD)
        assert read_junit([workspace], ["r.xml"]) is not None
        read_junit([workspace], ["**/**/**/*.xml"])
        assert "more than 50 files and folders" in caplog.text

    def test_folders_deeper_than_a_path_may_be_long(self, workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
        folder = os.open(workspace, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("d" * 200, dir_fd=folder)
            deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
        assert read_junit([workspace], ["**/*.xml"]) is None
        assert "folders deep" in caplog.text

    @pytest.mark.parametrize("bound", ["FILE_SIZE", "WHOLE_SIZE"])
    def test_good_documents_that_are_too_large(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, bound: str
    ) -> None:
        monkeypatch.setattr(results_junit, bound, 500)
        for name, size in (("a.xml", 10), ("b.xml", 300), ("c.xml", 300), ("d.xml", 600)):
            (workspace / name).write_text(GOOD + " " * size)
        summary = read_junit([workspace], ["a.xml", "b.xml", "c.xml", "d.xml"])
        assert summary is not None
        assert summary.total == (3 if bound == "FILE_SIZE" else 2)
        assert "d.xml are left out: larger" in caplog.text

    def test_names_that_are_no_text(self, workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
        (workspace / os.fsdecode(b"\xff\x1b[2J\n.xml")).symlink_to("/etc/passwd")
        assert read_junit([workspace], ["*.xml"]) is None
        assert "\x1b" not in caplog.text
        caplog.text.encode()


class TestDocuments:
    @pytest.mark.parametrize(
        "text",
        [
            '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>',
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite><testcase name="x"/>&a;</testsuite>',
            '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>',
            '<!DOCTYPE x [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><testsuite/>',
            "<html><testcase/></html>",
            "<testsuite><testcase name='x'/>",
            "<?xml version='1.0' encoding='no-such-encoding'?><testsuite/>",
            "",
            "\0\0\0\0",
            "<testsuite>" + "<a>" * 200_000 + "</a>" * 200_000 + "</testsuite>",
        ],
        ids=["bomb", "external", "dtd", "parameter", "html", "unclosed", "encoding", "empty", "zeros", "deep"],
    )
    def test_what_is_no_junit_xml_is_left_out(
        self, workspace: Path, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        (workspace / "bad.xml").write_text(text)
        (workspace / "good.xml").write_text(GOOD)
        summary = read_junit([workspace], ["*.xml"])
        assert summary is not None
        assert summary.total == 1
        assert "bad.xml" in caplog.text
        assert "root:" not in caplog.text

    @pytest.mark.parametrize(
        "text",
        [
            "<testsuite>" + "<testcase/>" * 100_000 + "</testsuite>",
            "<testsuite>" + "".join(f"<n{n}/>" for n in range(200_000)) + "</testsuite>",
            "<testsuite " + " ".join(f'a{n}=""' for n in range(200_000)) + "/>",
            '<testsuite name="' + "x" * 3_000_000 + '"/>',
            "<testsuite>" + "<testcase><failure/></testcase>" * 50_000 + "</testsuite>",
        ],
        ids=["elements", "different elements", "attributes", "value", "failures"],
    )
    @pytest.mark.slow
    def test_a_document_cannot_fill_the_memory(self, workspace: Path, text: str) -> None:
        (workspace / "r.xml").write_text(text)
        read_junit([workspace], ["good.xml", "r.xml"])  # imports done
        assert peak_of(lambda: read_junit([workspace], ["r.xml"])) < 8 * 1024**2

    def test_names_are_harmless(self, workspace: Path) -> None:
        name = "&#x202e;evil&#x9b;31m&#10;2 tests, 0 failed" + "x" * 10_000
        (workspace / "r.xml").write_text(f'<testsuite><testcase name="{name}"><failure/></testcase></testsuite>')
        summary = read_junit([workspace], ["r.xml"])
        assert summary is not None
        assert len(summary.failed[0]) <= 200
        assert summary.failed[0].isprintable()


def summarise_in_pieces(data: bytes, size: int) -> TestSummary | None:
    summary = OutputSummary(lambda _: None)
    for at in range(0, len(data), size):
        summary(data[at : at + size])
    return summary.finish()


class TestSubunit:
    @pytest.mark.parametrize(
        "stream",
        [
            b"\xb3" * 500_000,
            b"\xb3\x20\x00\xbf\xff\xff" * 100_000,  # each claims 4 MiB
            b"\xb3\x20\x00\x08" * 125_000,  # each claims to be as short as can be
            b"\xb3\x20\x00\x00" * 125_000,
            b"\0\0\0\0\xb3\x20\x00\x00" * 60_000,  # the checksum of nothing, before a packet of no length
            b"\xb3\x20\x00\xa0\x00\x00" + b"\xb3\x20\x00\x81\x00\x00" * 800_000,
        ],
        ids=["signatures", "huge", "tiny", "none", "zeros", "nested"],
    )
    @pytest.mark.slow
    def test_false_packets_cost_no_more_than_a_pass(self, stream: bytes) -> None:
        started = time.monotonic()
        assert summarise_in_pieces(stream, 65536) is None
        assert time.monotonic() - started < 10

    @pytest.mark.slow
    def test_byte_by_byte_within_a_huge_packet(self) -> None:
        started = time.monotonic()
        assert summarise_in_pieces(b"\xb3\x20\x00\xbf\xff\xff" + bytes(300_000), 1) is None
        assert time.monotonic() - started < 5

    @pytest.mark.slow
    def test_memory_is_bounded(self) -> None:
        def everything_begins() -> None:
            summary = OutputSummary(lambda _: None)
            for number in range(11_000):
                summary(status_packet(b"%d" % number + b"x" * 1000, 2))
                summary(status_packet(b"f%d" % number + b"x" * 1000, 6))
            told = summary.finish()
            assert told is not None
            assert told.failures == 21_001
            assert len(told.failed) == 100

        summarise_in_pieces(status_packet(b"a", 3), 100)  # imports done
        assert peak_of(everything_begins) < 16 * 1024**2

    @pytest.mark.parametrize("test_id", [b"\xff\xfe", b"a\0b", b"\x1b[2J\xe2\x80\xae\n", b""])
    def test_names_are_harmless(self, test_id: bytes) -> None:
        summary = summarise_in_pieces(status_packet(test_id, 6), 3)
        for name in summary.failed if summary else ():
            assert name == "" or name.isprintable()

    def test_fields_that_end_beyond_their_packet(self) -> None:
        for flags in range(0x2000, 0x3000, 7):
            content = b"\xb3" + struct.pack(">H", flags & ~8) + bytes([13]) + b"\xff\x7f\xff\xff\xff"
            summarise_in_pieces(content + struct.pack(">I", zlib.crc32(content)), 5)
