"""What pages are made of: plots, files, sockets that send at once."""

from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.job import Result
from byoci.controller.pages import plots
from byoci.controller.recent import Brief
from byoci.web import looks
from byoci.web.serving import listening

pytestmark = pytest.mark.controller

builds = st.builds(
    Brief,
    st.integers(1, 10**6),
    st.floats(1e9, 2e9),
    st.one_of(st.none(), st.floats(1e9, 2e9)),
    st.one_of(st.none(), st.sampled_from(Result)),
)


@given(st.lists(builds, max_size=30), st.floats(1e9, 2e9))
def test_bars_stay_within_their_plot(shown: list[Brief], now: float) -> None:
    plot = plots.bars(shown, 720, 140, now, slots=24)
    assert [bar.about for bar in plot.bars] == list(reversed(shown[:24]))
    for bar in plot.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= 720.1
        assert bar.y >= -0.1
        assert bar.y + bar.height <= 140.1
    assert all(0 <= y <= 140 for y, _ in plot.lines)
    if shown:
        assert plots.spark(tuple(shown)).count("M") == min(len(shown), 8)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_tests_are_stacked_to_their_number(counts: list[tuple[int, int, int]]) -> None:
    told = [(n, {"total": sum(c), "failed": c[0], "skipped": c[1]}) for n, c in enumerate(counts)]
    for stack in plots.stacks(told, 720, 70, slots=24):
        assert len(stack.parts) == sum(count > 0 for count in counts[stack.number])
        assert all(y >= -6 for y, _, _ in stack.parts)  # each is at least two units high, so that one failure is seen


def test_small_answers_are_sent_at_once() -> None:
    """One that waits until the client has acknowledged what was sent before takes 40 ms longer, every time."""

    async def connected() -> int:
        served: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                own = transport.get_extra_info("socket")
                served.set_result(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        with listening("127.0.0.1", 0, "") as listener:
            server = await asyncio.get_running_loop().create_server(Protocol, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await served
            writer.close()
            server.close()
            return found

    assert asyncio.run(connected()) != 0


def test_files_of_pages_name_nothing_from_elsewhere() -> None:
    for name, (content, _) in looks.statics().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, name
        assert "url(" not in text, name
        assert "@import" not in text, name
        assert "innerHTML =" not in text, name
        assert "eval(" not in text, name
