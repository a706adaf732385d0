"""What goes wrong in a landing ends in a clear outcome, the right exit code, and with nothing lost."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click
import pytest
from both import VCS
from site_under_test import Story

from byoci.cli.main import run
from byoci.errors import ByociError
from byoci.gate.rounds import exit_code
from byoci.model import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.agent]
PROGRAM = (sys.executable, "-c", "from byoci.cli.main import main; main()")
STAGES = ["reading the ballot", "merging", "testing", "checking again", "publishing", "reporting"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    return tmp_path / "byoci"


def verdict(story: Story, command: str, limits: str) -> tuple[Outcome, str]:
    text = story.config.read_text().replace('memory = "512M"', limits)
    first, _, rest = text.partition("tests.command = ")
    story.config.write_text(f"{first}tests.command = '''{command}'''\n{rest.partition(chr(10))[2]}")
    story.reopen()
    story.propose("topic", {"new": "1\n"})
    (row,) = story.land()
    assert exit_code([row]) == 1
    return row.landing.outcome, row.landing.reasons[0]


@pytest.mark.git
@pytest.mark.slow
def test_a_gigabyte_of_log_is_bounded_on_disk_and_in_memory(home: Path, tmp_path: Path) -> None:
    story = Story(tmp_path, "git")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome, reason = verdict(story, "head -c 1G /dev/zero", 'output = "4M"')
    assert outcome is Outcome.TESTS_FAILED
    assert "output limit" in reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    logs = list((home / "testing/logs").rglob("*.log"))
    assert len(logs) == 1
    assert logs[0].stat().st_size < 5 * 1024**2


@pytest.mark.git
@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "limits", "words"),
    [
        ("sleep 1000", 'memory = "512M"', "time limit"),
        ("trap '' TERM INT HUP; while :; do sleep 1; done", 'memory = "512M"', "time limit"),
        ("f() { f | f & }; f; sleep 1000", "processes = 64", ""),
        ("head -c 300M /dev/zero >big; test $(stat -c %s big) = 314572800", 'disk = "50M"', ""),
        ("python3 -c 'x = bytearray(900 * 1024 ** 2)'", 'memory = "128M"', ""),
    ],
    ids=["endless", "deaf", "fork bomb", "disk", "memory"],
)
def test_what_takes_too_much_fails(home: Path, tmp_path: Path, command: str, limits: str, words: str) -> None:
    story = Story(tmp_path, "git")
    story.config.write_text(story.config.read_text().replace('time = "60s"', 'time = "3s"'))
    started = time.monotonic()
    outcome, reason = verdict(story, command, limits)
    assert outcome is Outcome.TESTS_FAILED
    assert words in reason
    assert time.monotonic() - started < 30


@pytest.mark.slow
@pytest.mark.git
def test_names_that_are_not_utf8_land_and_are_told(home: Path, tmp_path: Path) -> None:
    story = Story(tmp_path, "git", tests="true")
    latin = os.fsdecode(b"caf\xe9")
    story.propose("topic", {latin: "un\n"})
    story.propose("other", {latin: "deux\n"})
    rows = story.land()
    assert [row.landing.outcome for row in rows] == [Outcome.LANDED, Outcome.CONFLICT]
    rows[1].landing.reasons[0].encode()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this root cannot mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Use up the last byte of a disk; the file that does it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 1):
            while file.write(b"x" * size) == size:
                pass
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
@pytest.mark.parametrize("what", ["state", "trunk"])
@pytest.mark.parametrize(
    "moment", ["reading the ballot", "merging", "testing", "checking again", "publishing", "reporting"]
)
def test_a_disk_that_fills_up_at_any_moment_loses_nothing(
    small_disk: Path, tmp_path: Path, vcs: str, what: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(small_disk if what == "state" else tmp_path / "byoci"))
    story = Story(small_disk if what == "trunk" else tmp_path, vcs)
    proposal = story.propose("topic", {"new": "1\n"})
    story.on_line = lambda line: fill(small_disk) and None if line.endswith(moment) else None
    error: ByociError | None = None
    try:
        (row,) = story.land()
    except ByociError as raised:
        error = raised
    else:
        error = row.error
        assert (error is None) == (row.landing.outcome is Outcome.LANDED)
    if error is not None:
        assert error.exit_code == 75
        assert "Make room" in error.resolution, error
    (small_disk / "filler").unlink(missing_ok=True)
    story.on_line = lambda _: None
    story.reopen()
    story.land()
    told = story.forge.proposal(proposal.id)
    assert (told.status, told.merged_revision) == (Status.MERGED, story.trunk_tip())
    assert len(story.forge.comments(proposal.id)) == 1
    assert story.trunk_files()["new"] == "1\n"


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_full_disk_is_our_failure_and_loses_nothing(
    small_disk: Path, tmp_path: Path, vcs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(small_disk))
    story = Story(tmp_path, vcs)
    story.propose("topic", {"new": "1\n"})
    before = story.trunk_tip()
    filler = fill(small_disk)
    done = subprocess.run([*PROGRAM, "--config", story.config, "land"], capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stderr
    assert "Make room" in done.stderr
    assert story.trunk_tip() == before
    filler.unlink()
    story.reopen()
    assert story.land_one().outcome is Outcome.LANDED


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_a_lander_killed_at_any_time_loses_nothing(home: Path, tmp_path: Path, vcs: str) -> None:
    story = Story(tmp_path, vcs)
    proposals = [story.propose(f"topic{number}", {f"new{number}": "1\n"}) for number in range(3)]
    kills = 0
    for delay in (0.2, 0.35, 0.5, 0.65, 0.8, 0.95):
        lander = subprocess.Popen(
            [*PROGRAM, "--config", story.config, "land"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            lander.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(lander.pid, signal.SIGKILL)
            kills += 1
        lander.wait()
    assert kills
    story.reopen()
    story.land()
    for proposal in proposals:
        told = story.forge.proposal(proposal.id)
        assert told.status is Status.MERGED
        assert len(story.forge.comments(proposal.id)) == 1
    assert {"new0", "new1", "new2"} <= set(story.trunk_files())


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("moment", STAGES)
def test_a_lander_killed_in_each_stage_loses_nothing(
    home: Path, tmp_path: Path, vcs: str, moment: str, later: bool
) -> None:
    """Killed when it tells that a stage begins, or a moment later, within it."""
    story = Story(tmp_path, vcs)
    proposal = story.propose("topic", {"new": "1\n"})
    lander = subprocess.Popen(
        [*PROGRAM, "--config", story.config, "land"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert lander.stderr is not None
    assert any(line.endswith(f"{moment}\n") for line in lander.stderr)
    if later:
        time.sleep(0.03)
    lander.kill()
    lander.wait()
    lander.stderr.close()
    story.reopen()
    story.land()
    told = story.forge.proposal(proposal.id)
    assert (told.status, told.merged_revision) == (Status.MERGED, story.trunk_tip())
    assert len(story.forge.comments(proposal.id)) == 1
    assert story.trunk_files()["new"] == "1\n"
    assert story.land() == []


@pytest.mark.slow
@pytest.mark.parametrize("vcs", VCS)
def test_landers_that_start_at_once_land_everything_once(home: Path, tmp_path: Path, vcs: str) -> None:
    story = Story(tmp_path, vcs)
    proposals = [story.propose(f"topic{number}", {f"new{number}": "1\n"}) for number in range(3)]
    argv = [*PROGRAM, "--config", story.config, "land"]
    landers = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = {lander.communicate()[1].splitlines()[-1]: lander.returncode for lander in landers}
    codes = sorted(lander.returncode for lander in landers)
    assert codes[0] == 0, told
    assert set(codes) <= {0, 3, 75}, told  # who came later waited for nobody, or found nothing left to do
    story.reopen()
    story.land()
    assert {"new0", "new1", "new2"} <= set(story.trunk_files())
    assert len(list(story.gate().vcs.landings(story.repository.trunk))) == 3
    for proposal in proposals:
        assert story.forge.proposal(proposal.id).status is Status.MERGED
        assert len(story.forge.comments(proposal.id)) == 1


@pytest.mark.parametrize("vcs", VCS)
@pytest.mark.slow
def test_a_private_repository_that_was_damaged_is_told(home: Path, tmp_path: Path, vcs: str) -> None:
    story = Story(tmp_path, vcs)
    first = story.propose("first", {"new": "1\n"})
    assert story.land_one().outcome is Outcome.LANDED
    second = story.propose("second", {"other": "1\n"})
    private = home / "testing/repositories" / f"hello.{vcs}"
    for path in [*private.rglob("*.pack"), *private.rglob("*.cix")]:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:100])
    done = subprocess.run([*PROGRAM, "--config", story.config, "land"], capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert str(private) in done.stdout + done.stderr, "what to remove"
    shutil.rmtree(private)
    story.reopen()
    assert story.land_one().outcome is Outcome.LANDED
    for proposal in (first, second):
        assert len(story.forge.comments(proposal.id)) == 1


@pytest.mark.slow
@pytest.mark.git
def test_what_nobody_foresaw_stops_one_proposal_only(home: Path, tmp_path: Path) -> None:
    story = Story(tmp_path, "git")
    odd, good = story.propose("odd", {"odd": "1\n"}), story.propose("good", {"good": "1\n"})

    def fail(line: str) -> None:
        if line == f"hello {odd.id}: testing":
            raise KeyError("nobody foresaw this")

    story.on_line = fail
    rows = {row.landing.proposal: row for row in story.land()}
    assert rows[good.id].landing.outcome is Outcome.LANDED
    assert rows[odd.id].landing.outcome is Outcome.ERROR
    assert "nobody foresaw this" in rows[odd.id].landing.reasons[0]
    assert exit_code(list(rows.values())) == 75
    assert story.forge.proposal(odd.id).status is Status.APPROVED
    story.on_line = lambda _: None
    assert story.land_one().outcome is Outcome.LANDED


def test_a_bug_is_our_failure_and_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def broken() -> None:
        raise KeyError("nobody foresaw this")

    assert run(broken, []) == 75
    told = capsys.readouterr().err
    assert "nobody foresaw this" in told
    assert "test_bad_input.py" in told
    assert "report it" in told


@pytest.mark.git
@pytest.mark.slow
def test_a_second_lander_is_told_who_is_at_it(home: Path, tmp_path: Path) -> None:
    story = Story(tmp_path, "git")
    story.propose("topic", {"new": "1\n"})
    with story.site.leases.hold(str(story.repository.trunk)):
        done = subprocess.run([*PROGRAM, "--config", story.config, "land"], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert str(os.getpid()) in done.stderr
