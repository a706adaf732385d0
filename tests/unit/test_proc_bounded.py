"""Programs that work on what a stranger sends: what they write and use has an end."""

from __future__ import annotations

import resource
import time

import pytest

from byoci import proc
from byoci.errors import ProgramTimeoutError, UnavailableError

pytestmark = pytest.mark.agent


def run(script: str, *, timeout: float = 20.0, most: int = 1000, limits: dict[int, int] | None = None) -> proc.Result:
    env = proc.base_environment()
    return proc.run_bounded(["sh", "-c", script], env=env, timeout=timeout, most=most, limits=limits)


def test_both_outputs_and_any_exit_code_are_returned() -> None:
    done = run("echo out; echo err >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("stream", [1, 2])
def test_endless_output_ends_the_program(stream: int) -> None:
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        run(f"yes >&{stream}")


def test_a_program_that_does_nothing_is_ended_in_time() -> None:
    begun = time.monotonic()
    with pytest.raises(ProgramTimeoutError):
        run("sleep 60", timeout=0.2)
    assert time.monotonic() - begun < 10


def test_limits_hold_for_what_it_starts() -> None:
    done = run("sleep 0.1; cat /proc/self/limits", most=10_000, limits={resource.RLIMIT_FSIZE: 54321})
    assert b"54321" in done.stdout
