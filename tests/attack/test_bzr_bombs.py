"""Attacks with little that becomes much: a bzr branch that a few kilobytes make, and a lander that is to choke on it.

The bounds are lowered here, so that less does; each test lets an honest proposal pass afterwards.
"""

from __future__ import annotations

import gc
import resource
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from breezy.iterablefile import IterableFileBase

from byoci.errors import RejectedError, UnavailableError
from byoci.model import Candidate, Location
from byoci.vcs import bzr_bounds
from byoci.vcs.bzr import BzrVcs
from byoci.vcs.urls import UrlPolicy
from contract.vcs_playground import File
from contract.vcs_playground_bzr import BzrPlayground
from contract.vcs_suite import candidate, land

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.bzr]

MB = 1024**2


@pytest.fixture
def play(tmp_path: Path) -> BzrPlayground:
    return BzrPlayground(tmp_path / "play")


@pytest.fixture
def vcs(tmp_path: Path) -> BzrVcs:
    return BzrVcs(tmp_path / "private", UrlPolicy(local=True), {}, committer_email="bot@example.com")


@pytest.fixture
def trunk(play: BzrPlayground) -> Location:
    return play.trunk({"a": File(b"a\n")})


def an_honest_one_lands(play: BzrPlayground, vcs: BzrVcs, trunk: Location) -> None:
    honest = play.branch(trunk)
    made = land(vcs, trunk, honest, play.commit(honest, {"honest": File(b"1\n")}))
    assert play.tip(trunk) == made.id


@pytest.mark.slow
def test_a_file_of_nothing_but_zeros_does_not_fill_the_memory(
    play: BzrPlayground, vcs: BzrVcs, trunk: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = play.branch(trunk)
    revision = play.commit(source, {"zeros": File(bytes(96 * MB))})
    monkeypatch.setattr(bzr_bounds, "MEMORY", 64 * MB)
    with pytest.raises(RejectedError, match="64 MB of memory"):
        candidate(vcs, trunk, source, revision)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
    monkeypatch.undo()
    an_honest_one_lands(play, vcs, trunk)
    assert isinstance(candidate(vcs, trunk, source, revision), Candidate)


@pytest.mark.slow
def test_a_large_file_is_read_once(
    play: BzrPlayground, vcs: BzrVcs, trunk: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """breezy copies what is left of a file for every 32 KB of it, so that a file of 100 MB would take minutes."""
    source = play.branch(trunk)
    revision = play.commit(source, {"large": File(bytes(4 * MB))})
    copied: list[object] = []
    read = IterableFileBase._read

    def counted(file: object, enough: object) -> bytes:
        copied.append(enough)
        return read(file, enough)

    monkeypatch.setattr(IterableFileBase, "_read", counted)
    assert isinstance(candidate(vcs, trunk, source, revision), Candidate)
    assert len(copied) < 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what is interrupted leaves open files
@pytest.mark.parametrize(("bound", "error"), [("FETCH_SECONDS", UnavailableError), ("MERGE_SECONDS", RejectedError)])
def test_what_takes_too_long_is_left(
    play: BzrPlayground,
    vcs: BzrVcs,
    trunk: Location,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    error: type[Exception],
) -> None:
    source = play.branch(trunk)
    revision = play.commit(source, {"zeros": File(bytes(20 * MB))})
    monkeypatch.setattr(bzr_bounds, bound, 0.01)
    monkeypatch.setattr(bzr_bounds, "AGAIN_SECONDS", 0.03)
    with pytest.raises(error, match="takes more than"):
        candidate(vcs, trunk, source, revision)
    monkeypatch.undo()
    an_honest_one_lands(play, vcs, trunk)
    assert isinstance(candidate(vcs, trunk, source, revision), Candidate)
    gc.collect()  # the open files, too


def test_who_catches_everything_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bzr_bounds, "MERGE_SECONDS", 0.01)
    monkeypatch.setattr(bzr_bounds, "AGAIN_SECONDS", 0.01)
    caught = []

    def deaf() -> None:
        while len(caught) < 3:
            try:
                while True:
                    pass
            except BaseException as error:  # noqa: BLE001 - as breezy does
                caught.append(error)
        while True:
            pass

    with pytest.raises(RejectedError, match="merging takes more than"), bzr_bounds.merging("merging"):
        deaf()
    assert len(caught) == 3


@contextmanager
def endless_server(head: bytes) -> Iterator[int]:
    """A server that begins every answer with `head` and never ends it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(head)
                while True:
                    connection.sendall(bytes(65536))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # breezy leaves sockets to Python
@pytest.mark.parametrize(
    ("scheme", "head"),
    [("http", b"HTTP/1.0 200 OK\r\n\r\n"), ("http", b"HTTP/1.1 "), ("bzr", b"ok\x012\n"), ("bzr", b"bzr response 3 ")],
)
def test_a_server_that_never_stops_talking_is_left(
    play: BzrPlayground, vcs: BzrVcs, trunk: Location, monkeypatch: pytest.MonkeyPatch, scheme: str, head: bytes
) -> None:
    monkeypatch.setattr(bzr_bounds, "MEMORY", 64 * MB)
    monkeypatch.setattr(bzr_bounds, "ASK_SECONDS", 5.0)
    with endless_server(head) as port, pytest.raises((RejectedError, UnavailableError)):
        vcs.tip(Location(f"{scheme}://127.0.0.1:{port}/branch"))
    monkeypatch.undo()
    an_honest_one_lands(play, vcs, trunk)
