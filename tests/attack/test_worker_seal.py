"""Code in a worker tries to reach what is not its own. Each attempt is really made."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UnavailableError, UsageError
from byoci.worker import folders, launch
from worker_harness import SMALL, BelowHarness, BubblewrapHarness, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker_harness import Ready

pytestmark = [
    pytest.mark.worker,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="missing: bwrap"),
]

NAMESPACES = ("user", "pid", "ipc", "uts", "mnt", "net", "cgroup")
SECRET = "swordfish-8f14e45f"


@pytest.fixture(
    scope="module",
    params=[BubblewrapHarness, pytest.param(BelowHarness, marks=pytest.mark.slow)],
    ids=["alone", "with a tree below"],
)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BubblewrapHarness]:
    site: BubblewrapHarness = request.param(tmp_path_factory.mktemp("site") / "state")
    yield site
    site.close()


@pytest.fixture
def worker(site: BubblewrapHarness) -> Iterator[Ready]:
    worker = site.ready()
    yield worker
    worker.worker.destroy()


class TestFiles:
    @pytest.mark.parametrize(
        "path",
        [
            "/root",
            "/home/worker/..",
            "/etc/shadow",
            "/etc/gshadow",
            "/etc/ssh",
            "/etc/sudoers",
            "/etc/ssl/private",
            "/etc/machine-id",
            "/etc/fstab",
            "/etc/netrc",
            "/etc/pip.conf",
            "/etc/docker",
            "/etc/kubernetes",
            "/var/lib",
            "/var/log",
            "/var/run",
            "/run/user",
            "/run/docker.sock",
            "/run/dbus",
            "/srv",
            "/opt",
            "/mnt",
            "/media",
            "/boot",
            "/sys",
            "/dev/kmsg",
            "/dev/mem",
            "/dev/kvm",
            "/dev/fuse",
            "/dev/net",
            "/dev/disk",
        ],
    )
    @pytest.mark.slow
    def test_the_hosts_private_places_are_not_there(self, worker: Ready, path: str) -> None:
        seen = worker.sh(f"ls -A {path} 2>&1").output.strip()
        assert seen == "worker" if path.endswith("..") else "No such file" in seen

    def test_a_secret_of_the_host_is_nowhere(self, worker: Ready, tmp_path: Path) -> None:
        bait = tmp_path / "bait"
        bait.write_text(SECRET)
        bait.chmod(0o644)
        outcome = worker.sh(
            f"cat {bait}; cat /proc/1/root{bait}; cat /proc/self/root/../..{bait}; cat /proc/*/cwd/bait"
        )
        assert SECRET not in outcome.output

    def test_no_mount_shows_more_than_was_meant(self, worker: Ready) -> None:
        lines = worker.sh("cat /proc/self/mountinfo").output.splitlines()
        places = {line.split()[4]: line.split()[5].split(",") for line in lines}
        writable = {place for place, flags in places.items() if "rw" in flags}
        devices = {place for place in writable if place.startswith("/dev/") and place.count("/") == 2} - {
            "/dev/shm",
            "/dev/pts",
        }
        assert writable - devices == {"/proc", "/dev/pts", "/dev/shm", "/tmp", "/home/worker", "/workspace"}
        assert {place.removeprefix("/dev/") for place in devices} <= {
            "null",
            "zero",
            "full",
            "random",
            "urandom",
            "tty",
            "console",
        }
        assert all("nosuid" in flags for flags in places.values())

    @pytest.mark.parametrize(
        "place", ["/", "/usr", "/etc", "/dev", "/run", "/var", "/home", "/bin", "/proc/sys/kernel"]
    )
    def test_it_writes_nowhere_but_where_it_may(self, worker: Ready, place: str) -> None:
        assert not worker.sh(f"touch {place}/x || mkdir {place}/x || ln -s / {place}/x").ok

    def test_it_cannot_change_the_system_that_it_sees(self, worker: Ready) -> None:
        program = """
            import os
            files = ("/etc/passwd", "/usr/bin/env", "/etc/resolv.conf")
            for path in (*files, "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches"):
                for act in (lambda: open(path, "a").write("x"), lambda: os.chmod(path, 0o777), lambda: os.unlink(path)):
                    try:
                        act()
                        print("did", path)
                    except OSError:
                        pass
            """
        assert worker.python(program).output == ""

    @pytest.mark.slow
    def test_no_setuid_program_gives_it_a_right(self, worker: Ready) -> None:
        outcome = worker.sh(
            "grep -E 'NoNewPrivs|CapBnd|CapEff|CapPrm|CapAmb|CapInh' /proc/self/status;"
            "su -c id root; sudo -n id; mount -t tmpfs x /tmp; newuidmap $$ 0 0 1; chsh -s /bin/sh;"
            "cp /bin/sh s && chmod 6755 s && ./s -pc id"
        )
        lines = outcome.output.splitlines()
        assert "NoNewPrivs:\t1" in lines
        assert all(int(line.split()[1], 16) == 0 for line in lines if line.startswith("Cap"))
        assert "uid=0" not in outcome.output
        assert "euid=" not in outcome.output

    def test_a_workspace_that_was_replaced_with_a_link_is_refused(self, worker: Ready, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.mkdir()
        (victim / "file").write_text("x")
        before = (victim / "file").stat()
        worker.folder.rmdir()
        worker.folder.symlink_to(victim)
        with pytest.raises(UsageError):
            worker.sh("rm -f file; touch mine")
        assert [path.name for path in victim.iterdir()] == ["file"]
        assert (victim / "file").stat().st_uid == before.st_uid

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root hands workspaces over")
    def test_a_folder_with_files_of_others_does_not_change_hands(self, worker: Ready, tmp_path: Path) -> None:
        """Only ever with a folder of the test's own: were it not refused, all in it would change hands."""
        place = tmp_path / "somebodys"
        (place / "deep").mkdir(parents=True)
        (place / "first").write_text("x")
        (place / "deep/file").write_text("x")
        os.chown(place / "deep/file", 12345, 12345)
        with pytest.raises(UsageError):
            worker.worker.run("true", place, SMALL, print)
        assert [path.stat().st_uid for path in (place, place / "first", place / "deep/file")] == [0, 0, 12345]


class TestOtherProcesses:
    def test_it_sees_none(self, worker: Ready) -> None:
        outcome = worker.python("import os; print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
        assert len(outcome.output.split(",")) <= 3

    def test_it_cannot_signal_or_trace_them(self, worker: Ready) -> None:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as victim:
            program = f"""
                import ctypes, os, signal
                for pid in ({victim.pid}, {os.getpid()}, {os.getppid()}, 1 << 21, -1):
                    for number in (0, signal.SIGKILL):
                        if pid > 1:
                            try:
                                os.kill(pid, number)
                                print("signalled", pid)
                            except OSError:
                                pass
                    if ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0:
                        print("traced", pid)
                """
            assert worker.python(program).output == ""
            assert victim.poll() is None
            victim.kill()

    def test_killing_all_it_can_kills_itself_alone(self, worker: Ready) -> None:
        outcome = worker.sh("kill -9 -1; kill -9 1; echo still here; kill -STOP 1; echo and here")
        assert outcome.output.endswith("still here\nand here\n")

    def test_nothing_of_byoci_leaks_in(self, worker: Ready, tmp_path: Path) -> None:
        with (tmp_path / "secret").open("w+") as file:
            file.write(SECRET)
            file.flush()
            os.set_inheritable(file.fileno(), True)
            program = """
                import os
                for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
                    for fd in os.listdir(f"/proc/{pid}/fd"):
                        path = f"/proc/{pid}/fd/{fd}"
                        if os.path.lexists(path):  # the listing's own is closed by now
                            print(pid == str(os.getpid()), fd, os.readlink(path))
                    print(open(f"/proc/{pid}/environ").read().replace("\\0", " "))
                """
            outcome = worker.python(program)
        mine = [line.split() for line in outcome.output.splitlines() if line.startswith("True")]
        assert {words[1] for words in mine} == {"0", "1", "2"}
        assert next(words[2] for words in mine if words[1] == "0") == "/dev/null"
        assert SECRET not in outcome.output
        assert str(tmp_path) not in outcome.output
        assert "socket:" not in outcome.output

    def test_nothing_leaks_in_where_byoci_has_many_files_open(self, tmp_path: Path) -> None:
        site = BubblewrapHarness(tmp_path / "state")  # with a guard of its own where we are root
        try:
            with contextlib.ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(open(os.devnull))  # noqa: PTH123
                launch.guard(folders.base_of(site.state).owner).close()  # so it is started now
                program = "import os; print(*(fd for fd in range(4096) if os.path.lexists(f'/proc/self/fd/{fd}')))"
                outcome = site.ready().python(program)
        finally:
            site.close()
        assert outcome.output == "0 1 2\n"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root's guard has mounts of its own")
    def test_where_it_comes_from_nothing_of_the_kernels_own_files_is_mounted(
        self, site: BubblewrapHarness, worker: Ready
    ) -> None:
        def mounted(pid: int) -> set[str]:
            return {line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}

        assert worker.sh("true").ok
        guard = launch.guard(folders.base_of(site.state).owner)._process.pid
        assert "/" in mounted(guard)
        assert not [place for place in mounted(guard) if place.startswith(("/sys", "/dev/pts"))]
        assert mounted(os.getpid()) == mounted(os.getppid())  # outside all of them stay

    def test_it_cannot_leave_its_control_groups(self, worker: Ready) -> None:
        program = """
            import os
            for fd in range(3, 1000):
                try:
                    os.write(fd, b"0")
                    print("wrote to", fd, os.readlink(f"/proc/self/fd/{fd}"))
                except OSError:
                    pass
            print(open("/proc/self/cgroup").read().count("/.."))
            """
        assert worker.python(program).output == "0\n"

    def test_its_pipe_cannot_be_read_or_seeked_back(self, worker: Ready) -> None:
        program = """
            import os
            print("first", flush=True)
            reopened = lambda: open("/proc/self/fd/1", "r+").truncate(0)
            for act in (lambda: os.ftruncate(1, 0), lambda: os.lseek(1, 0, 0), reopened):
                try:
                    act()
                except OSError:
                    pass
            print("last")
            """
        assert worker.python(program).output == "first\nlast\n"


class TestKernel:
    def test_it_makes_no_namespaces(self, worker: Ready) -> None:
        program = """
            import ctypes, os
            libc = ctypes.CDLL(None, use_errno=True)
            for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x80):
                if libc.unshare(flag) == 0:
                    print("unshared", hex(flag))
            CLONE, CLONE3 = (56, 435) if os.uname().machine == "x86_64" else (220, 435)
            for flag in (0x10000000, 0x20000000, 0x1_1000_0000, 0x50000000):
                pid = libc.syscall(CLONE, ctypes.c_ulong(flag | 17), 0, 0, 0, 0)
                if pid == 0:
                    os._exit(0)
                if pid > 0:
                    print("cloned", hex(flag))
            arguments = (ctypes.c_uint64 * 11)(0x10000000)
            if libc.syscall(CLONE3, arguments, 88) >= 0:
                print("cloned 3")
            for kind in ("user", "mnt", "pid", "net"):
                fd = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY) if os.access(f"/proc/1/ns/{kind}", os.R_OK) else -1
                if fd >= 0 and libc.setns(fd, 0) == 0:
                    print("entered", kind)
            """
        outcome = worker.python(program)
        assert outcome.output == ""
        assert outcome.ok

    def test_calls_that_containers_refuse_are_refused(self, worker: Ready) -> None:
        numbers = {  # x86_64
            "add_key": 248, "keyctl": 250, "request_key": 249, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
            "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429,
            "fsopen": 430, "mount_setattr": 442, "init_module": 175, "finit_module": 313, "delete_module": 176,
            "kexec_load": 246, "kexec_file_load": 320, "open_by_handle_at": 304, "unshare": 272, "setns": 308,
            "reboot": 169, "swapon": 167, "vmsplice": 278, "io_uring_setup": 425, "io_uring_enter": 426,
            "clone3": 435, "pidfd_getfd": 438, "sethostname": 170, "settimeofday": 164, "iopl": 172, "ioperm": 173,
            "syslog": 103, "acct": 163, "quotactl": 179, "fanotify_init": 300, "statmount": 457,
            "open_tree_attr": 467, "young": 599,
        }  # fmt: skip
        if os.uname().machine != "x86_64":
            pytest.skip("the numbers are those of x86_64")
        program = f"""
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            for name, number in {numbers!r}.items():
                ctypes.set_errno(0)
                result = libc.syscall(number, -1, -1, -1, -1, -1, -1)
                if result != -1 or ctypes.get_errno() not in (1, 38):
                    print(name, result, ctypes.get_errno())
            """
        assert worker.python(program).output == ""

    def test_sockets_of_the_kernels_lesser_families_are_refused(self, worker: Ready) -> None:
        program = """
            import socket
            opened = []
            for family in [*range(64), 0x1_0000_0000 + 40, (1 << 32) + 16]:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
                    for protocol in (0, 4, 9, 15, 16):
                        try:
                            import ctypes
                            fd = ctypes.CDLL(None).syscall(41, ctypes.c_long(family), kind, protocol)
                        except OSError:
                            continue
                        if fd >= 0:
                            opened.append((family, kind, protocol))
            import json
            found = {(family, protocol if family == 16 else 0) for family, kind, protocol in opened}
            print(json.dumps(sorted(found)))
            """
        if os.uname().machine != "x86_64":
            pytest.skip("the number is that of x86_64")
        opened = json.loads(worker.python(program).output)
        assert [1, 0] in opened
        assert {family for family, _ in opened} <= {1, 2, 10, 16}
        assert {protocol for family, protocol in opened if family == 16} <= {0}

    def test_it_cannot_type_into_a_terminal(self, worker: Ready) -> None:
        program = """
            import fcntl, os
            for name in ("/dev/tty", "/dev/console"):
                try:
                    os.open(name, os.O_RDWR)
                    print("opened", name)
                except OSError:
                    pass
            master, slave = os.openpty()
            for request in (0x5412, 0x541C, 0x1_0000_5412, 0x7FFF_0000_5412):
                import ctypes
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.ioctl(slave, ctypes.c_ulong(request), b"x") == 0:
                    print("typed by", hex(request))
            """
        outcome = worker.python(program)
        assert outcome.output == ""
        assert outcome.ok

    def test_a_program_of_another_architecture_is_killed(self, worker: Ready) -> None:
        if os.uname().machine != "x86_64":
            pytest.skip("only x86_64 has a second way in")
        # A process that makes a call by the 32-bit gate: mov eax, 20 (getpid); int 0x80; then exit by the 64-bit one.
        program = """
            import ctypes, mmap, os
            code = bytes.fromhex("b814000000cd80c3")
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))
            print("before", flush=True)
            print("survived", ctypes.CFUNCTYPE(ctypes.c_int)(address)())
            """
        outcome = worker.python(program)
        assert outcome.output == "before\n"
        assert outcome.status.code == 128 + 31  # SIGSYS


class TestSeal:
    def test_its_processes_are_as_they_must_be_seen_from_outside(self, worker: Ready) -> None:
        """Nobody's word but the kernel's: who they are, what they may do, and that they share no namespace with us."""
        seen: list[dict[str, str]] = []

        def look(_: bytes) -> None:
            (pid,) = processes(f"sleep\0{100_000 + os.getpid()}")
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            seen.append(dict(line.split(":\t", 1) for line in status if ":\t" in line))
            seen.append({name: str(Path(f"/proc/{pid}/ns/{name}").readlink()) for name in NAMESPACES})
            os.kill(pid, signal.SIGTERM)

        assert worker.sh(f"exec sleep {100_000 + os.getpid()} & sleep 0.2; echo running; wait", on_output=look).ok
        status, namespaces = seen
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(worker.folder.stat().st_uid)}
        assert "0" not in status["Uid"].split()
        assert status["Groups"].split() in ([], ["65534"])
        assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert [name for name in NAMESPACES if namespaces[name] == str(Path(f"/proc/self/ns/{name}").readlink())] == []


class TestNetwork:
    def test_it_has_none(self, worker: Ready) -> None:
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
            name = f"\0byoci-bait-{os.getpid()}"
            abstract.bind(name)
            abstract.listen()
            program = f"""
                import socket
                def attempt(family, address):
                    try:
                        with socket.socket(family) as s:
                            s.settimeout(2)
                            s.connect(address)
                            print("reached", address)
                    except OSError:
                        pass
                attempt(socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]}))
                attempt(socket.AF_INET6, ("::1", {tcp.getsockname()[1]}))
                attempt(socket.AF_INET, ("0.0.0.0", {tcp.getsockname()[1]}))
                attempt(socket.AF_UNIX, {name!r})
                attempt(socket.AF_INET, ("1.1.1.1", 53))
                attempt(socket.AF_INET, ("169.254.169.254", 80))
                print([name for _, name in socket.if_nameindex()])
                """
            assert worker.python(program).output == "['lo']\n"

    def test_a_socket_in_its_workspace_leads_nowhere_near_us(self, worker: Ready) -> None:
        """We never connect to what a worker left, and it cannot reach a socket of ours by its path."""
        with socket.socket(socket.AF_UNIX) as server:
            path = Path(f"/tmp/byoci-bait-{os.getpid()}")
            server.bind(str(path))
            path.chmod(0o777)
            server.listen()
            try:
                outcome = worker.python(f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})")
            finally:
                path.unlink()
        assert "FileNotFoundError" in outcome.output

    def test_it_hears_nothing_of_other_workers(self, site: BubblewrapHarness) -> None:
        first, second = site.ready(), site.ready()
        served = threading.Event()

        def serve() -> None:
            with contextlib.suppress(UnavailableError):  # it is destroyed while it listens
                first.python(
                    "import socket\ns = socket.create_server(('127.0.0.1', 4711))\nu = socket.socket(socket.AF_UNIX)\n"
                    "u.bind('\\0byoci-meet')\nu.listen()\nprint('up', flush=True)\ns.accept()",
                    on_output=lambda _: served.set(),
                )

        thread = threading.Thread(target=serve)
        thread.start()
        assert served.wait(20)
        outcome = second.python(
            "import socket\n"
            "for f, a in ((socket.AF_INET, ('127.0.0.1', 4711)), (socket.AF_UNIX, '\\0byoci-meet')):\n"
            "    try:\n        socket.socket(f).connect(a); print('met')\n    except OSError: print('alone')\n"
        )
        assert thread.is_alive()
        first.worker.destroy()
        thread.join(20)
        assert outcome.output == "alone\nalone\n"


class TestArguments:
    @pytest.mark.parametrize("value", ["x\0--bind\0/\0/host", "\0", "x\0"])
    def test_a_variable_cannot_smuggle_in_an_argument(self, worker: Ready, value: str) -> None:
        with pytest.raises(UsageError):
            worker.sh("ls /host", environment={"X": value})

    @pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "PATH", "IFS", "SHELLOPTS"])
    def test_a_variable_works_inside_only(self, worker: Ready, name: str, tmp_path: Path) -> None:
        mark = tmp_path / "mark"
        script = tmp_path / "script"
        script.write_text(f"touch {mark}\n")
        script.chmod(0o755)
        with contextlib.suppress(UsageError):
            worker.sh("true", environment={name: str(script)})
        assert not mark.exists()

    def test_a_command_is_never_an_option(self, worker: Ready) -> None:
        assert "--bind" in worker.sh("--bind / /host; ls /host").output  # the shell looked for a program of that name
        assert stat.S_ISDIR(worker.folder.stat().st_mode)
