"""Workers with a shared tree below their workspace: it stays as it is, and they see what they would see without it."""

from __future__ import annotations

import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from byoci.worker import layered
from byoci.worker.base import Setup
from byoci.worker.results_junit import read_junit
from contract.test_vcs_update import everything
from worker_harness import MB, BubblewrapHarness, Ready, files_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.worker, pytest.mark.skipif(not shutil.which("bwrap"), reason="missing: bwrap")]

RESULT = '<testsuite><testcase name="{}"/></testsuite>'
TREE = {
    "README": "read me\n",
    "src/main.c": "int main;\n",
    "src/deep/er/file": "deep\n",
    "old/results.xml": RESULT.format("old"),
    "gone/results.xml": RESULT.format("gone"),
    "new/results.xml": RESULT.format("new"),
    "file/results.xml": RESULT.format("file"),
    "changed/results.xml": RESULT.format("changed"),
    "changed/more.xml": RESULT.format("more"),
}
HOSTILE = r"""
import ctypes, fcntl, mmap, os, struct
def attempt(act, *arguments, **options):
    try:
        return act(*arguments, **options)
    except (OSError, ValueError):
        return None
ROOTS = "", "/proc/self/cwd/", "/proc/1/root/workspace/", "/proc/self/root/workspace/"
for path in (root + name for root in ROOTS for name in ("README", "src/main.c")):
    fd = os.open(path, os.O_RDONLY)
    for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
        again = attempt(os.open, f"/proc/self/fd/{fd}", flags)
        if again is not None:
            os.write(again, b"hostile")
    for act in (lambda: os.fchmod(fd, 0o4777), lambda: os.utime(fd, (0, 0)), lambda: os.setxattr(fd, "user.x", b"y"),
                lambda: os.ftruncate(fd, 1), lambda: fcntl.ioctl(fd, 0x40086602, struct.pack("i", 0x20)),
                lambda: mmap.mmap(fd, 4, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE)):
        attempt(act)
    attempt(os.link, path, "hard")
    attempt(os.link, f"/proc/self/fd/{fd}", "harder", follow_symlinks=True)
    attempt(os.open, os.path.dirname(path) or ".", os.O_TMPFILE | os.O_RDWR)
with open("src/deep/er/file", "r+b") as file:
    mmap.mmap(file.fileno(), 4)[:] = b"evil"
for name in ("hard", "harder"):
    if os.path.exists(name):
        open(name, "a").write("more")
        os.chmod(name, 0o6777)
os.chmod("src", 0o1777)
os.setxattr("src", "user.overlay.opaque", b"y")
attempt(os.setxattr, "src", "user.overlay.redirect", b"/../../..")
attempt(os.mknod, "old/results.xml.gone", 0o20666, 0)
attempt(os.rename, "src", "moved")
attempt(os.rename, "src/main.c", "src/renamed.c")
os.symlink("/workspace/README", "link")
open("link", "w").write("through a link")
os.unlink("gone/results.xml"); os.rmdir("gone"); os.mkdir("gone"); open("gone/x", "w").close()
for number in range(200):
    open(f"filler{number}", "w").write("x" * 4096)
for path in open("/proc/self/mountinfo"):
    for part in path.split():
        attempt(os.listdir, part)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BubblewrapHarness]:
    site = BubblewrapHarness(tmp_path / "state")
    yield site
    site.close()


def with_files(
    site: BubblewrapHarness, content: dict[str, str] = TREE, *, setup: Setup | None = None, revision: str = "1"
) -> Ready:
    worker = site.make()
    site._workers.append(worker)
    worker.prepare("host", setup, lambda _: None)
    return Ready(worker, worker.workspace(files_of("hello", content, revision)))


def shared_of(site: BubblewrapHarness) -> Path:
    (found,) = (site.base / "trees").glob("*/files")
    return found


MODES = [layered._Mounted.BY_GUARD, layered._Mounted.BY_STAGE, layered._Mounted.BY_NOBODY]


@pytest.fixture(params=MODES, ids=lambda mode: str(mode.name))
def mode(request: pytest.FixtureRequest, site: BubblewrapHarness) -> layered._Mounted:
    """Who mounts overlays; what cannot be had here is another test's business."""
    layered._overlays_work[site.base] = request.param
    return request.param  # type: ignore[no-any-return]


def test_nothing_that_hostile_code_does_reaches_it(site: BubblewrapHarness) -> None:
    first = with_files(site)
    shared = shared_of(site)
    before = everything(shared)
    outcome = first.python(HOSTILE)
    assert outcome.ok, outcome.output
    assert everything(shared) == before
    assert not any(facts[0] & (stat.S_ISUID | stat.S_ISGID) for facts in before.values())
    assert not first.sh("head -c 1G /dev/zero >>README", disk=32 * MB).ok
    assert not first.sh("rm -rf /workspace/* /workspace/.[a-z]*; chmod 0 /workspace; kill -9 -1").ok
    assert everything(shared) == before
    first.worker.destroy()
    second = with_files(site)
    assert shared_of(site) == shared
    assert second.sh("cat README src/main.c gone/results.xml; ls").output == (
        "read me\nint main;\n" + TREE["gone/results.xml"] + "README\nchanged\nfile\ngone\nnew\nold\nsrc\n"
    )


def test_it_is_nowhere_but_below_the_workspace(site: BubblewrapHarness) -> None:
    worker = with_files(site)
    shared = shared_of(site)
    outcome = worker.sh(f"ls {shared} {shared.parent} {site.base}; ls /proc/*/cwd/../var; cat /proc/self/mountinfo")
    assert outcome.output.count("No such file") >= 3
    (line,) = (line for line in outcome.output.splitlines() if " /workspace " in line)
    assert {"rw", "nosuid", "nodev"} <= set(line.split()[5].split(","))
    assert shared.parent.parent.stat().st_mode & 0o777 == 0o711


CHANGES = """
rm -r gone; mkdir gone; rm -r file; echo x >file
rm -r new; mkdir new; echo '<testsuite><testcase name="n2"/></testsuite>' >new/n2.xml
echo '<testsuite><testcase name="c2"/></testsuite>' >changed/results.xml; chmod 600 README; mv src/main.c src/moved.c
ln -s ../old new/link; find . -mindepth 1 -printf '%P %y %m %s %l\n' | LC_ALL=C sort
"""


@pytest.mark.slow
@pytest.mark.usefixtures("mode")
def test_a_command_sees_the_same_however_its_files_came(site: BubblewrapHarness, mode: layered._Mounted) -> None:
    worker = with_files(site)
    assert (len(worker.worker.folders_of(worker.folder)) == 2) == (mode is not layered._Mounted.BY_NOBODY)
    seen = worker.sh(CHANGES)
    assert seen.ok
    names = [line.split()[0] for line in seen.output.splitlines()]
    assert " ".join(names) == (
        "README changed changed/more.xml changed/results.xml file gone new new/link new/n2.xml old old/results.xml "
        "src src/deep src/deep/er src/deep/er/file src/moved.c"
    )
    assert worker.sh("cat old/results.xml src/moved.c; ls gone").output == TREE["old/results.xml"] + "int main;\n"
    folders = worker.worker.folders_of(worker.folder)
    for globs, total in {
        ("*/*.xml",): 4,  # old, n2, more, c2
        ("**/results.xml",): 2,
        ("gone/results.xml", "new/results.xml", "file/results.xml", "new/link/results.xml"): None,
        ("old/results.xml", "changed/results.xml"): 2,
    }.items():
        found = read_junit(folders, globs)
        assert (found and found.total) == total, globs


@pytest.mark.usefixtures("mode")
def test_a_setup_layer_lies_below_it(site: BubblewrapHarness) -> None:
    setup = Setup("mkdir src; echo layer >src/main.c; echo layer >src/made; echo tool >~/tool; touch README")
    worker = with_files(site, setup=setup)
    assert worker.sh("cat README src/main.c src/made ~/tool").output == "read me\nint main;\nlayer\ntool\n"
    assert worker.sh("test README -nt src/made").ok  # as make looks at it
    assert worker.sh("rm -r src; mkdir src").ok
    assert worker.sh("ls src; cat ~/tool").output == "tool\n"


def test_whoever_comes_while_it_is_used_gets_files_of_his_own(site: BubblewrapHarness) -> None:
    first, second = with_files(site), with_files(site, {"README": "another\n"}, revision="2")
    assert second.worker.folders_of(second.folder) == (second.folder,)
    assert first.sh("cat README").output == "read me\n"
    assert second.sh("cat README").output == "another\n"
    first.worker.destroy()
    third = with_files(site, {"README": "another\n"}, revision="2")
    assert len(third.worker.folders_of(third.folder)) == 2
    assert third.sh("cat *").output == "another\n"
