"""What a controller, or a program that is told the news, may answer: broken off, nonsense, or no HTTP at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnavailableError
from byoci.jenkins.client import Jenkins
from byoci.jenkins.computers import computers
from byoci.jenkins.logs import printed
from byoci.monitor.notifying import Hook, post

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.monitor

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives this answer to whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.recv(1 << 16)
                        connection.sendall(answer)

        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 50\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 99999999999999999999 ?\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_trouble_and_no_more(answer: bytes) -> None:
    with answering(answer) as url:
        jenkins = Jenkins(url)
        for ask in (
            lambda: jenkins.get("api/json"),
            lambda: printed(jenkins, "job", 1, 0, 100),
            lambda: computers(jenkins),
        ):
            with pytest.raises(UnavailableError):
                ask()
        for send in (lambda: jenkins.post("createItem"), lambda: jenkins.submit("job/x/build")):
            with pytest.raises(UnavailableError):
                send()


@pytest.mark.parametrize("answer", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 50\r\n\r\nx"])
def test_who_answers_nonsense_was_not_told(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(UnavailableError):
        post(Hook("chat", url, b"secret"), "1", b"{}")


@pytest.mark.parametrize("told", [b"[]", b"{}", b'{"computer": 3}', b'{"computer": [3, {"numExecutors": "x"}]}'])
def test_agents_that_cannot_be_read_are_none(told: bytes) -> None:
    with answering(JSON + told) as url:
        assert computers(Jenkins(url)) == ()


@pytest.mark.parametrize(
    ("location", "item"),
    [
        (b"http://ci/queue/item/12/", "12"),
        (b"/queue/item/12", "12"),
        (b"http://ci/job/x/", ""),
        (b"http://ci/queue/item/../../job/other/1", ""),
        (b"http://ci/queue/item/\xb2/", ""),
    ],
)
def test_what_is_no_item_of_the_queue_is_not_asked_for(location: bytes, item: str) -> None:
    with answering(b"HTTP/1.1 201 Created\r\nLocation: " + location + b"\r\nConnection: close\r\n\r\n{}") as url:
        assert Jenkins(url).submit("job/x/build") == item
