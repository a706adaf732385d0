"""Waiting for a program with a time-out."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from byoci import proc

pytestmark = pytest.mark.host


def _start(code: str) -> subprocess.Popen[bytes]:
    return proc.start([sys.executable, "-c", code], env=proc.base_environment(), stdin=subprocess.PIPE)


def test_the_end_is_told_whoever_came_first() -> None:
    process = _start("import sys; sys.stdin.read(); sys.exit(7)")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 7
    assert process.wait(0) == 7
    proc.kill(process)


def test_a_time_that_is_over_already_waits_for_nothing() -> None:
    process = _start("import sys; sys.stdin.read()")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(-1)
    proc.kill(process)
    assert process.wait(60) in (-signal.SIGINT, -signal.SIGTERM, 1, 130)  # where SIGINT is ignored, the next one


def test_it_works_without_a_descriptor_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    process = _start("pass")
    monkeypatch.setattr("os.pidfd_open", none_left)
    assert process.wait(60) == 0
    proc.kill(process)


def test_nobody_waits_for_a_signal_that_a_shells_background_ignores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = _start("import sys; sys.stdin.read()")
        monkeypatch.setattr(proc, "_STAGES", ((signal.SIGINT, 3600.0), *proc._STAGES[1:]))
        ending = threading.Thread(target=proc.kill, args=(process,), daemon=True)
        ending.start()
        ending.join(60)
        assert not ending.is_alive()
        assert process.returncode == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)
        process.kill()
