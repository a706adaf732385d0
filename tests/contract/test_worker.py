"""The contract of every worker: what the lander relies on, and what no project's code may upset."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import ConfigError, RejectedError, UnavailableError, UsageError
from byoci.worker import watch
from byoci.worker.base import Exceeded, Setup
from worker_harness import MB, SMALL, BelowHarness, BubblewrapHarness, WorkerHarness, small_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker_harness import Ready

pytestmark = pytest.mark.worker

HARNESSES = {"bubblewrap": (BubblewrapHarness, "bwrap"), "with a tree below": (BelowHarness, "bwrap")}


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("with a tree below", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerHarness]:
    harness, program = HARNESSES[request.param]
    if not shutil.which(program):
        pytest.skip(f"missing: {program}")
    site = harness(tmp_path_factory.mktemp("site") / "state")
    yield site
    site.close()


@pytest.fixture
def worker(site: WorkerHarness) -> Iterator[Ready]:
    worker = site.ready()
    yield worker
    worker.worker.destroy()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


class TestCommands:
    def test_a_command_works_on_the_tree_in_its_workspace(self, worker: Ready) -> None:
        (worker.folder / "greeting").write_text("hello\n")
        (worker.folder / "tool").write_text("#!/bin/sh\ncat greeting\n")
        (worker.folder / "tool").chmod(0o755)
        assert worker.sh("./tool").output == "hello\n"

    def test_what_it_writes_stays_for_the_next_command_and_for_us(self, worker: Ready) -> None:
        assert worker.sh("mkdir -p a/b && echo one > a/b/c").ok
        assert worker.sh("cat a/b/c; echo two > a/b/c").output == "one\n"
        assert (worker.folder / "a/b/c").read_text() == "two\n"

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            ("true", 0),
            ("false", 1),
            ("exit 7", 7),
            ("kill -9 $$", 137),
            ("kill -TERM $$", 143),
            ("no-such-program", 127),
        ],
    )
    def test_its_exit_code_is_told(self, worker: Ready, command: str, code: int) -> None:
        status = worker.sh(command).status
        assert (status.code, status.exceeded) == (code, None)

    def test_a_pipeline_fails_when_any_part_does(self, worker: Ready) -> None:
        assert worker.sh("false | true").status.code == 1
        assert worker.sh("echo abc | tr a-z A-Z | rev").output == "CBA\n"

    def test_both_streams_come_in_the_order_they_were_written(self, worker: Ready) -> None:
        outcome = worker.sh("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
        assert outcome.output == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"

    @pytest.mark.slow
    def test_output_comes_while_the_command_still_runs(self, worker: Ready) -> None:
        came: list[float] = []
        started = time.monotonic()
        worker.sh("echo first; sleep 1.5", on_output=lambda _: came.append(time.monotonic() - started))
        assert came[0] < 1.2

    def test_it_is_given_a_home_and_a_place_for_temporary_files(self, worker: Ready) -> None:
        outcome = worker.sh('echo x > "$HOME/x" && mktemp && echo "$CI $USER"; cd; pwd')
        assert outcome.ok
        assert outcome.output.splitlines()[1:] == ["true worker", "/home/worker"]

    def test_variables_are_added_to_its_environment(self, worker: Ready) -> None:
        assert worker.sh('echo "$COLOUR"', environment={"COLOUR": "blue = \n green"}).output == "blue = \n green\n"

    def test_nothing_of_our_environment_reaches_it(self, worker: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_TOKEN", "swordfish")
        assert "swordfish" not in worker.sh("env; cat /proc/*/environ").output

    def test_its_standard_input_is_empty(self, worker: Ready) -> None:
        assert worker.sh("cat; echo end").output == "end\n"

    def test_the_usual_tools_work(self, worker: Ready) -> None:
        outcome = worker.sh("python3 -c 'import ssl, sqlite3, json; print(40 + 2)'; getent passwd worker; date; id -un")
        assert outcome.ok
        assert outcome.output.startswith("42\n")

    def test_it_may_close_its_workspace(self, worker: Ready) -> None:
        assert worker.sh("chmod 0 .; exit 3").status.code == 3
        worker.worker.destroy()
        assert not worker.folder.exists()

    def test_a_name_may_be_any_bytes(self, worker: Ready) -> None:
        name = os.fsdecode(b"new\nline \xff")
        (worker.folder / name).write_text("x")
        assert worker.sh("cat new*").output == "x"
        assert worker.sh(r"touch $'\xfe\n'").ok
        assert (worker.folder / os.fsdecode(b"\xfe\n")).exists()


class TestLimits:
    def test_time(self, worker: Ready) -> None:
        started = time.monotonic()
        status = worker.sh("echo begun; sleep 600", seconds=0.5).status
        assert status.exceeded is Exceeded.TIME
        assert not status.ok
        assert time.monotonic() - started < 5

    @pytest.mark.slow
    def test_time_for_what_ignores_signals_and_sleeps(self, worker: Ready) -> None:
        program = """
            import os, signal, time
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
                    signal.signal(number, signal.SIG_IGN)
            for _ in range(5):
                os.fork()
            while True:
                time.sleep(100)
            """
        assert worker.python(program, seconds=1.0).status.exceeded is Exceeded.TIME

    def test_time_for_what_is_stopped(self, worker: Ready) -> None:
        assert worker.sh("sleep 600 & kill -STOP $! $$", seconds=0.5).status.exceeded is Exceeded.TIME

    def test_output(self, worker: Ready) -> None:
        outcome = worker.sh("yes", output=100_000)
        assert outcome.status.exceeded is Exceeded.OUTPUT
        assert len(outcome.output) == 100_000

    def test_output_of_exactly_the_limit_is_fine(self, worker: Ready) -> None:
        outcome = worker.sh("head -c 100000 /dev/zero", output=100_000)
        assert outcome.ok
        assert len(outcome.output) == 100_000

    def test_memory(self, worker: Ready) -> None:
        started = time.monotonic()
        outcome = worker.python("x = [bytearray(b'x' * (1 << 20)) for _ in range(10_000)]", memory=128 * MB)
        assert not outcome.ok
        assert time.monotonic() - started < 20

    @pytest.mark.parametrize("map_", ["-1, SIZE, mmap.MAP_PRIVATE", "-1, SIZE", "memory_file(), SIZE"])
    def test_memory_of_all_its_processes_together(self, worker: Ready, map_: str) -> None:
        """None of them takes more than it may, and none ends by itself."""
        program = f"""
            import mmap, os, time
            SIZE = {48 * MB}
            def memory_file():
                fd = os.memfd_create("x")
                os.ftruncate(fd, SIZE)
                return fd
            for _ in range(6):
                if os.fork() == 0:
                    mapped = mmap.mmap({map_})
                    while mapped.tell() < SIZE:
                        mapped.write(b"x" * 65536)
                    time.sleep(60)
            time.sleep(60)
            """
        outcome = worker.python(program, memory=128 * MB, seconds=20.0)
        assert outcome.status.exceeded is Exceeded.MEMORY

    def test_memory_that_is_nobodys(self, worker: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files that are in memory and in no folder; where nothing counts them, the host does not run out."""
        available, _ = watch._memory()
        if shutil.disk_usage(worker.folder).free < available:
            pytest.skip("only a disk that is larger than the memory can do")
        monkeypatch.setattr(watch, "_FLOOR_MOST", available)  # a host that has nothing to spare
        monkeypatch.setattr(watch, "_FLOOR_SHARE", 1)
        program = f"""
            import os, time
            for _ in range(8):
                os.write(os.memfd_create("x"), b"x" * {64 * MB})
            time.sleep(60)
            """
        assert not worker.python(program, memory=128 * MB, seconds=20.0).ok

    def test_memory_of_files_in_memory(self, worker: Ready) -> None:
        outcome = worker.sh("head -c 1G /dev/zero > /tmp/x; head -c 1G /dev/zero > /dev/shm/x", memory=128 * MB)
        assert not outcome.ok

    def test_disk(self, worker: Ready) -> None:
        outcome = worker.sh("while :; do i=$((i+1)); head -c 5M /dev/zero > f$i; done", disk=64 * MB)
        assert outcome.status.exceeded is Exceeded.DISK
        assert sum(path.stat().st_size for path in worker.folder.iterdir()) < 10 * 1024 * MB

    def test_disk_by_one_file(self, worker: Ready) -> None:
        outcome = worker.sh("head -c 1G /dev/zero > x", disk=32 * MB)
        assert outcome.status.exceeded is Exceeded.DISK
        assert (worker.folder / "x").stat().st_size <= 32 * MB

    def test_disk_that_it_hides(self, worker: Ready) -> None:
        hide = "mkdir d; cd d; chmod 300 .; while :; do i=$((i+1)); head -c 5M /dev/zero > f$i; done"
        outcome = worker.sh(hide, disk=64 * MB)
        assert outcome.status.exceeded is Exceeded.DISK

    @pytest.mark.slow
    def test_disk_by_files_without_content(self, worker: Ready) -> None:
        program = """
            import os, time
            for folder in range(300):
                os.mkdir(f"d{folder}")
                for number in range(1000):
                    os.mknod(f"d{folder}/{number}")
            time.sleep(60)
            """
        assert worker.python(program, disk=64 * MB, seconds=200.0).status.exceeded is Exceeded.DISK

    def test_processes(self, worker: Ready) -> None:
        program = """
            import os, time
            made = 0
            try:
                for _ in range(500):
                    if os.fork() == 0:
                        time.sleep(60)
                        os._exit(0)
                    made += 1
            except OSError as error:
                print("refused after", made)
            """
        outcome = worker.python(program, processes=32)
        assert outcome.output.startswith("refused after")
        assert int(outcome.output.split()[2]) <= 32

    @pytest.mark.slow
    def test_a_fork_bomb_ends_with_its_time(self, worker: Ready) -> None:
        started = time.monotonic()
        outcome = worker.sh(":(){ :|:& };:; sleep 60", processes=40, seconds=2.0, output=MB)
        assert not outcome.ok
        assert time.monotonic() - started < 10

    def test_a_worker_is_usable_after_one_of_its_commands_was_ended(self, worker: Ready) -> None:
        assert worker.sh("sleep 60", seconds=0.3).status.exceeded
        assert worker.sh("echo on").output == "on\n"


class TestTheEnd:
    def test_what_a_command_left_running_ends_with_it(self, worker: Ready) -> None:
        started = time.monotonic()
        mark = f"424{os.getpid()}"
        outcome = worker.sh(f"sleep {mark} & (setsid sleep {mark} &) ; nohup sleep {mark} > /dev/null 2>&1 & echo done")
        assert outcome.output == "done\n"
        assert time.monotonic() - started < 10
        assert not worker.sh(f"pgrep -f 'sleep {mark}$'").ok

    def test_destroy_removes_everything_and_may_be_repeated(self, worker: Ready) -> None:
        assert worker.sh("mkdir -m 0 closed; mkdir d; touch d/f; chmod 0 d").ok
        worker.worker.destroy()
        assert not worker.folder.exists()
        worker.worker.destroy()

    def test_destroy_before_anything_was_made(self, site: WorkerHarness) -> None:
        site.make().destroy()

    def test_destroy_ends_a_command_that_runs(self, site: WorkerHarness) -> None:
        worker = site.ready()
        begun = threading.Event()

        def work() -> None:
            with pytest.raises(UnavailableError):
                worker.sh("echo begun; sleep 600", on_output=lambda _: begun.set())

        thread = threading.Thread(target=work)
        thread.start()
        assert begun.wait(20)
        worker.worker.destroy()
        thread.join(20)
        assert not thread.is_alive()
        assert not worker.folder.exists()

    def test_a_listener_that_fails_ends_the_command(self, worker: Ready) -> None:
        def fail(_: bytes) -> None:
            raise RuntimeError("the log's disk is full")

        started = time.monotonic()
        with pytest.raises(RuntimeError):
            worker.sh("echo x; sleep 600", on_output=fail)
        assert time.monotonic() - started < 10

    def test_a_destroyed_worker_runs_nothing(self, worker: Ready) -> None:
        worker.worker.destroy()
        with pytest.raises(UsageError):
            worker.sh("true")


class TestTogether:
    def test_workers_run_side_by_side_and_do_not_meet(self, site: WorkerHarness) -> None:
        results: dict[int, str] = {}

        def one(number: int) -> None:
            worker = site.ready()
            results[number] = worker.sh(f"echo {number} > /tmp/n; sleep 0.2; cat /tmp/n; ls /tmp; ls").output

        threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert results == {number: f"{number}\nn\n" for number in range(6)}


class TestSetup:
    def test_its_results_are_below_the_tests_own_files(self, site: WorkerHarness) -> None:
        setup = Setup(
            "cat wanted; echo tool > ~/.tool; mkdir made; echo lib > made/lib; echo old > greeting", {"wanted": b"x\n"}
        )
        worker = site.ready(setup)
        assert worker.heard == "x\n"
        (worker.folder / "greeting").write_text("new\n")
        assert worker.sh("cat ~/.tool made/lib wanted greeting").output == "tool\nlib\nx\nnew\n"

    def test_it_is_made_once(self, site: WorkerHarness) -> None:
        setup = Setup("date +%N > stamp; echo made", {"a/b": b"1"})
        first, second = site.ready(setup), site.ready(setup)
        assert (first.heard, second.heard) == ("made\n", "")
        assert first.sh("cat stamp a/b").output == second.sh("cat stamp a/b").output

    @pytest.mark.parametrize(
        "other",
        [
            Setup("true", {"a": b"2"}),
            Setup("true", {"b": b"1"}),
            Setup("true ", {"a": b"1"}),
            Setup("true", {"a": b"1", "b": b""}),
        ],
    )
    def test_other_inputs_or_another_command_make_another_one(self, site: WorkerHarness, other: Setup) -> None:
        site.ready(Setup("true", {"a": b"1"}))
        worker = site.ready(other)
        assert (
            worker.sh("cat a b 2>/dev/null; true").output
            == b"".join(other.inputs[n] for n in sorted(other.inputs)).decode()
        )

    def test_it_sees_its_inputs_and_nothing_else(self, site: WorkerHarness) -> None:
        worker = site.ready(Setup("find . ~ -mindepth 1 | sort", {"deep/er/file": b"", "other": b""}))
        assert worker.heard.split() == ["./deep", "./deep/er", "./deep/er/file", "./other"]

    def test_nothing_that_a_worker_writes_reaches_another_one(self, site: WorkerHarness) -> None:
        setup = Setup("echo clean > file; echo clean > ~/file; mkdir d; touch d/f")
        first = site.ready(setup)
        assert first.sh("echo dirty > file; echo dirty > ~/file; rm -r d; mkdir d; touch d/g ~/g; chmod 0 ~").ok
        assert site.ready(setup).sh("cat file ~/file; ls d; ls -A ~").output == "clean\nclean\nf\nfile\n"

    def test_what_a_worker_writes_to_its_workspace_stays_for_its_next_command(self, site: WorkerHarness) -> None:
        worker = site.ready(Setup("echo low > file; mkdir d; touch d/f; touch gone"))
        assert worker.sh("echo high > file; rm -r d; mkdir d; touch d/g; rm gone").ok
        assert worker.sh("cat file; ls d; ls gone 2>/dev/null").output == "high\ng\n"
        assert (worker.folder / "file").read_text() == "high\n"

    def test_a_setup_that_fails_is_told_with_its_last_words(self, site: WorkerHarness) -> None:
        with pytest.raises(RejectedError) as caught:
            site.ready(Setup("echo no such package; exit 3"))
        assert "exit code 3" in caught.value.brief
        assert "no such package" in caught.value.details
        with pytest.raises(RejectedError):  # it is not remembered as made
            site.ready(Setup("echo no such package; exit 3"))

    def test_a_setup_has_limits(self, site: WorkerHarness) -> None:
        with pytest.raises(RejectedError, match="time limit"):
            site.ready(Setup("sleep 60", limits=dataclasses.replace(SMALL, seconds=0.3)))

    @pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "."])
    def test_an_input_stays_within_the_tree(self, site: WorkerHarness, name: str) -> None:
        with pytest.raises(ConfigError):
            site.ready(Setup("true", {name: b"x"}))

    def test_workers_that_need_the_same_one_wait_for_it(self, site: WorkerHarness) -> None:
        setup = Setup("sleep 0.5; date +%N > stamp")
        stamps: list[str] = []
        threads = [
            threading.Thread(target=lambda: stamps.append(site.ready(setup).sh("cat stamp").output)) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(stamps) == 4
        assert len(set(stamps)) == 1

    def test_its_credentials_are_shown_to_it_alone(self, site: WorkerHarness) -> None:
        setup = Setup(
            "cat $CREDENTIALS_DIRECTORY/token | sha256sum > sum", credentials={"token": b"swordfish-1234567890"}
        )
        worker = site.ready(setup)
        assert worker.heard == ""
        outcome = worker.sh(
            "cat sum; ls -A /run; echo $CREDENTIALS_DIRECTORY;grep -rs swordfish / --exclude-dir=usr --exclude-dir=proc"
        )
        assert outcome.output.split()[0] == hashlib.sha256(b"swordfish-1234567890").hexdigest()
        assert "swordfish" not in outcome.output
        assert outcome.output.splitlines()[1:] == [""]

    @pytest.mark.parametrize(
        "leak",
        [
            "cp $CREDENTIALS_DIRECTORY/token ~/.netrc",
            "(head -c 1048570 /dev/zero; cat $CREDENTIALS_DIRECTORY/token) > big",
            "(truncate -s 50M holes; cat $CREDENTIALS_DIRECTORY/token >> holes)",
            "ln -s $(cat $CREDENTIALS_DIRECTORY/token) link",
            "mkdir -p a/b; touch a/b/x$(cat $CREDENTIALS_DIRECTORY/token)",
            "cut -d' ' -f2 $CREDENTIALS_DIRECTORY/token > half; chmod 0 half",
        ],
    )
    def test_a_result_that_holds_a_credential_is_refused(self, site: WorkerHarness, leak: str) -> None:
        token = b"login swordfish-1234567890\n" if "cut" in leak else b"swordfish-1234567890\n"
        with pytest.raises(RejectedError):
            site.ready(Setup(leak, credentials={"token": token}))


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # an image has to be within the worker's user's reach
    root = small_image(folder / "image")
    (root / "opt/tool").write_text("a tool\n")
    (root / "var/lib/data").write_text("data\n")
    (root / "etc/motd").write_text("an image\n")
    (root / "etc/passwd").write_bytes(b"root:x:0:0:r\xf6\xf6t:/root:/bin/sh")
    for secret in ("root/secret", "home/bob/secret", "etc/shadow"):
        (root / secret).write_text("swordfish")
        (root / secret).chmod(0o640)
    (folder / "link").symlink_to("image")
    yield folder
    shutil.rmtree(folder)


class TestImages:
    @pytest.mark.parametrize("name", ["image", "link"])
    def test_a_root_file_system_is_shown_instead_of_the_hosts(
        self, site: WorkerHarness, image: Path, name: str
    ) -> None:
        worker = site.ready(image=str(image / name))
        assert worker.sh("cat /opt/tool /var/lib/data /etc/motd").output == "a tool\ndata\nan image\n"
        assert worker.sh("echo /usr/bin/*").output == "/usr/bin/cat /usr/bin/sh\n"
        assert (
            worker.sh("echo x > ~/a; echo y > /tmp/b; echo z > /var/tmp/c; cat ~/a /tmp/b /var/tmp/c").output
            == "x\ny\nz\n"
        )
        assert "worker:x:1000:1000" in worker.sh("cat /etc/passwd").output

    def test_it_is_read_only(self, site: WorkerHarness, image: Path) -> None:
        worker = site.ready(image=str(image / "image"))
        for place in ("/new", "/opt/new", "/opt/tool", "/usr/bin/new", "/etc/motd", "/var/lib/new", "/var/new"):
            assert not worker.sh(f"echo x > {place}").ok, place
        assert (image / "image/opt/tool").read_text() == "a tool\n"

    def test_its_secrets_and_the_hosts_are_not_shown(self, site: WorkerHarness, image: Path) -> None:
        worker = site.ready(image=str(image / "image"))
        for place in ("/root/secret", "/home/bob/secret", "/etc/shadow", "/etc/hostname.real", str(image)):
            assert "No such file" in worker.sh(f"cat {place}").output, place
        assert worker.sh("cat /etc/hostname").output == "worker\n"

    def test_a_setup_layer_is_for_one_image(self, site: WorkerHarness, image: Path) -> None:
        setup = Setup("echo made > stamp; echo it was made")
        assert site.ready(setup, str(image / "image")).heard == "it was made\n"
        other = site.ready(setup)
        assert other.heard == "it was made\n"
        again = site.ready(setup, str(image / "link"))
        assert again.heard == ""  # it is the same folder
        assert again.sh("cat stamp").output == "made\n"

    def test_only_what_does_not_change_by_itself_has_a_fingerprint(self, site: WorkerHarness, image: Path) -> None:
        assert site.ready().worker.fingerprint() is None
        one, two = (site.ready(image=str(image / name)).worker.fingerprint() for name in ("image", "link"))
        assert one == two is not None
        assert site.ready(Setup("true"), str(image / "image")).worker.fingerprint() != one
        (image / "image/opt/tool").chmod(0o755)
        assert site.ready(image=str(image / "image")).worker.fingerprint() != one

    def test_an_image_that_is_not_there(self, site: WorkerHarness, tmp_path: Path) -> None:
        worker = site.make()
        with pytest.raises(ConfigError):
            worker.prepare(str(tmp_path / "nowhere"), None, print)
        with pytest.raises(ConfigError):
            worker.prepare("relative/path", None, print)
        worker.destroy()

    def test_a_worker_that_was_not_prepared_runs_nothing(self, site: WorkerHarness) -> None:
        worker = site.make()
        with pytest.raises(UsageError):
            worker.run("true", worker.workspace(), SMALL, print)
        worker.destroy()
