"""Parts of a log, found without reading it whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.pages import logs
from byoci.controller.pages.logs import WINDOW, Log

pytestmark = pytest.mark.controller


def numbered(count: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(1, count + 1))


def test_a_small_log_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(numbered(10) + b"unfinished")
    with Log(path) as log:
        for window in (log.end(), log.around(3), log.after(0)):
            assert (window.start, window.end) == (0, log.size)
            assert [line.number for line in window.lines] == list(range(1, 12))
            assert window.lines[-1].open
        assert log.before(0).lines == []


@pytest.mark.slow
def test_a_large_log_is_told_in_parts_that_fit_together(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(numbered(300_000))  # three and a half megabytes: more than two chunks
    with Log(path) as log:
        window = log.end()
        assert window.lines[-1].text == "line 300000"
        assert window.end - window.start <= WINDOW
        earlier = log.before(window.start)
        assert (earlier.end, earlier.lines[-1].number) == (window.start, window.number - 1)
        later = log.after(earlier.start)
        assert later.number == earlier.number
        for number in (1, 2, 150, 123_456, 299_999, 300_000):
            assert log.around(number).lines[0].text == f"line {max(1, number - 100)}"
            assert [line.text for line in log.around(number).lines if line.number == number] == [f"line {number}"]
        assert all(line.text == f"line {line.number}" for line in log.around(90_000).lines)
        assert log.around(10**9).end == log.size


def test_a_log_that_grows_and_one_that_shrinks_are_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(numbered(200_000))
    with Log(path) as log:
        assert log.end().lines[-1].number == 200_000
    with path.open("ab") as file:
        file.write(b"x\n" * 1_000_000)
    with Log(path) as log:
        assert log.end().lines[-1].number == 1_200_000
    path.write_bytes(numbered(5))
    with Log(path) as log:
        assert log.end().lines[-1].number == 5


def test_one_line_of_megabytes_is_told_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * 3_000_000)
    with Log(path) as log:
        window = log.end()
        assert window.end - window.start <= WINDOW
        assert window.lines[0].kind == "more"
        assert {line.number for line in window.lines} == {2}
        assert log.around(2).start == 0
        assert {match.number for match in log.find("XX")[0]} == {2}


def test_searching_tells_lines_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(numbered(200_000) + "Fehler: \x1b[31mGRÖSSE\x1b[0m <script>\n".encode())
    with Log(path) as log:
        (match,), more = log.find("fehler")
        assert (match.number, match.found, match.after, more) == (200_001, "Fehler", ": GRÖSSE <script>", False)
        assert [match.number for match in log.find("LINE 12345")[0]] == [12345, *range(123450, 123460)]
        assert log.find("line")[1]
        assert len(log.find("line")[0]) == 200
        assert log.find("nowhere") == ([], False)


@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_part_has_the_numbers_that_counting_gives(data: bytes, offset: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(data)
        with Log(path) as log:
            offset = min(offset, len(data))
            assert log.after(offset).number == data.count(b"\n", 0, offset) + 1
            assert log.start_of(log.line_at(offset)) == data.rfind(b"\n", 0, offset) + 1


def test_only_some_logs_are_remembered(tmp_path: Path) -> None:
    for number in range(100):
        path = tmp_path / str(number)
        path.write_bytes(b"x\n")
        with Log(path):
            pass
    assert len(logs._places) <= 64


def test_a_log_that_goes_while_it_is_asked_for_ends(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    from byoci.controller.api.builds import _bytes

    path = tmp_path / "log"
    path.write_bytes(numbered(3))
    assert b"".join(_bytes(path, 7, 21)) == b"line 2\nline 3\n"
    told = _bytes(path, 0, path.stat().st_size)  # and then its job is deleted
    path.unlink()
    assert b"".join(told) == b""
