"""Builds that would fill disks or memory: what is kept of each has bounds, and what is not is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from controller_process import ControllerProcess, running

from byoci.controller.bounds import Bounds
from byoci.controller.job import Job
from byoci.controller.places import Places
from byoci.controller.rows import BuildRow, Request
from byoci.controller.running import Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.controller
LOG, SIZE, FILES = 10_000, 50_000, 5


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    home = tmp_path_factory.mktemp("controller") / "home"
    with running(home, "--most", str(LOG), str(SIZE), str(FILES)) as process:
        yield process


def archive(patterns: str) -> str:
    archiver = f"<hudson.tasks.ArtifactArchiver><artifacts>{patterns}</artifacts></hudson.tasks.ArtifactArchiver>"
    prints = "<hudson.tasks.Fingerprinter><targets>**</targets></hudson.tasks.Fingerprinter>"
    return f"<publishers>{archiver}{prints}</publishers>"


def test_a_log_without_end(controller: ControllerProcess) -> None:
    controller.shell("log", "#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x; exit 3")
    facts, text = controller.run("log")
    assert facts["result"] == "FAILURE"
    assert len(text) < LOG + 1000
    assert "A shell step ended with status 3" in text
    *_, count, end = text.splitlines()
    kept = text.count("x" * 100) * 100
    missing = int(count.removeprefix("Of what the build printed, ").removesuffix(" bytes were not kept."))
    assert abs(missing - (5_000_000 - kept)) < 1000
    assert end == "Finished: FAILURE"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("for n in 1 2 3 4 5 6 7 8 9; do echo $n > $n; done", 5),
        ("for n in 1 2 3; do head -c 20000 /dev/zero > $n; done", 2),
        ("head -c 60000 /dev/zero > large; echo > small", 1),
        ("truncate -s 1T sparse", 0),
    ],
)
def test_artifacts_without_end(controller: ControllerProcess, script: str, kept: int) -> None:
    name = f"artifacts-{kept}"
    controller.shell(name, script, archive("**"))
    facts, text = controller.run(name)
    assert (facts["result"], len(facts["artifacts"])) == ("FAILURE", kept), text
    assert "files were not kept: a build may keep 5 with 50000 bytes" in text
    controller.shell(f"{name}-small", "echo > small", archive("**"))
    assert controller.run(f"{name}-small")[0]["result"] == "SUCCESS"


@pytest.mark.slow
def test_an_end_that_is_too_much_to_be_told(controller: ControllerProcess) -> None:
    injects = "".join(
        f"<EnvInjectBuilder><info><propertiesFilePath>{number}</propertiesFilePath></info></EnvInjectBuilder>"
        for number in range(9)
    )
    script = "for n in 0 1 2 3 4 5 6 7 8; do printf V$n= > $n; head -c 1000000 /dev/zero | tr '\\0' x >> $n; done"
    shell = f"<hudson.tasks.Shell><command>{script}</command></hudson.tasks.Shell>"
    controller.create("told", f"<builders>{shell}{injects}</builders>")
    facts, text = controller.run("told")
    assert facts["result"] == "FAILURE"
    assert "too much to be told" in text


@pytest.mark.slow
def test_an_agent_that_heeds_no_bounds(tmp_path: Path) -> None:
    row = BuildRow(1, "j", 1, 1, Request({}, "somebody"), "", 0, 1.0)
    running_ = Running(row, Job(), Places(tmp_path), Bounds(10, 10, 2))
    for number in range(300):
        running_.add_log(number << 18, b"x" * (1 << 18))
    assert running_.size < 2 << 20
    running_.add_file("0/a", b"x" * 6)
    running_.add_file("0/b", b"x" * 3)
    running_.add_file("0/b", b"x" * 3)
    running_.add_file("0/b", b"x")
    running_.add_file("0/c", b"")
    assert [path.name for path in (tmp_path / "jobs/j/builds/1/files").rglob("*") if path.is_file()] == ["a"]
    running_.close()
