"""Sites for landers to die on, each as it is before the run to which something happens."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crash_power import another_boot
from git_servers import ssh_without_network
from site_under_test import TESTS, Story

from byoci.host.repositories import _breezy, _silent
from byoci.worker import folders
from worker_harness import small_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SETUP = """
setup.command = "cat needs >made; echo it is made"
setup.inputs = ["needs"]
"""
ANCIENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"} | {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "old"), ("EMAIL", "old@example.com"), ("DATE", "@1000000000 +0000"))
}
OLD = time.time() - 60 * 86400.0


def build(folder: Path, vcs: str, order: dict[str, Any]) -> dict[str, Any]:
    """Make the site of a scenario."""
    folder.mkdir(parents=True)
    story = SCENARIOS[order["scenario"]](folder, vcs)
    branches = ["topic", "person", "by-hand", "amended", "elsewhere"] if order["scenario"] == "busy" else []
    tips = {name: story.repository.tip(name) for name in branches}
    return {"base": str(folders.base_of(story.site.config.state).path), "tips": tips}


def _lands(folder: Path, vcs: str) -> Story:
    story = Story(folder, vcs, tests=f"echo testing; test -e made; {TESTS}", more=SETUP)
    story.repository.commit(None, {"needs": "this\n"}, "What the tests need", "alice")
    story.propose("topic", {"new": "1\n", "some/where": "2\n"})
    return story


def _plain(folder: Path, vcs: str) -> Story:
    story = Story(folder, vcs, tests="echo tested")
    story.propose("topic", {"new": "1\n"})
    return story


def _fails(folder: Path, vcs: str) -> Story:
    story = Story(folder, vcs)
    story.propose("topic", {"broken": "yes\n"})
    return story


def _conflicts(folder: Path, vcs: str) -> Story:
    story = Story(folder, vcs)
    story.propose("topic", {"README": "one\n2\nthree\n"})
    story.repository.commit(None, {"README": "one\nzwei\nthree\n"}, "Translate", "alice")
    return story


def _merged(folder: Path, vcs: str) -> Story:
    story = Story(folder, vcs)
    story.propose("topic", {"new": "1\n"})
    story.repository.merge("topic", "alice")
    return story


def _two(folder: Path, vcs: str) -> Story:
    """On a site that has landed before: a proposal and its prerequisite, and one that waits; certificates are shown."""
    story = Story(folder, vcs, more="certificates.publish = true")
    story.propose("before", {"before": "0\n"})
    story.land()
    first = story.propose("one", {"one": "1\n"})
    story.propose("two", {"two": "2\n"}, origin="one", after=first.id)
    story.propose("three", {"three": "3\n"}, approve=False)
    return story


def _checked_out(folder: Path, vcs: str) -> Story:
    """Trunk is in a person's working tree."""
    story = Story(folder, vcs)
    place = Path(story.repository.trunk.url)
    if vcs == "git":
        story.repository._git(place, "worktree", "add", "--quiet", str(folder / "checkout"), "main")
    else:
        from breezy.controldir import ControlDir

        with _breezy():
            ControlDir.open(str(place)).create_workingtree()
    story.propose("topic", {"new": "1\n", "greeting": "#!/bin/sh\nhello\n", "some/where": "2\n"})
    story.config.write_text(story.config.read_text().replace(TESTS, "true"))
    return story


def _kept(folder: Path, vcs: str) -> Story:
    """On a site that has landed before, and has much to throw away."""
    story = _lands(folder, vcs)
    story.land()
    story.repository.commit(None, {"needs": "that\n"}, "What the tests need now", "alice")
    story.propose("again", {"again": "1\n"})
    base = folders.base_of(story.site.config.state).path
    (layer,) = (path for path in (base / "layers").iterdir() if path.is_dir())
    for number in range(2):
        _aged(shutil.copytree(layer, layer.with_name(f"{number:040}")))
    shared = next(path for path in (base / "trees").iterdir() if path.is_dir())
    for number in range(2):
        _aged(shutil.copytree(shared, shared.with_name(f"{number:040}")))
    dead = base / "live" / "1-dead"
    (dead / "1-workspace" / "below").mkdir(parents=True)
    private = next((story.site.config.state / "repositories").glob("hello.*"))
    (private / "work" / "dead" / "below").mkdir(parents=True)
    if vcs == "git":
        _many_packs(private / "objects.git")
    else:
        for kind in ("proposals", "candidates"):
            (private / kind).mkdir(exist_ok=True)
            for number in range(2):
                _aged(shutil.copytree(private / "trunk", private / kind / f"{number:032}"))
        _with_a_ghost(story)
        snapshot = private / "snapshot"
        snapshot.write_text(f"{snapshot.read_text().split()[0]} 200")
    return story


def _with_a_ghost(story: Story) -> None:
    """Trunk gets a revision that says of itself that it merged another, which is nowhere."""
    with story.repository._checkout(None) as tree:
        tree.add_parent_tree_id(b"a-ghost", allow_leftmost_as_ghost=True)
        tree.commit("Merge what is lost", committer="alice <alice@example.com>", reporter=_silent())


def _aged(path: Path) -> None:
    os.utime(path, (OLD, OLD))


def _many_packs(repository: Path) -> None:
    for number in range(51):
        name = subprocess.run(
            ["git", "-C", repository, "hash-object", "-w", "--stdin"],
            input=f"{number}", capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        packs = ["git", "-C", repository, "pack-objects", "--quiet", "objects/pack/pack"]
        subprocess.run(packs, input=name, text=True, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["git", "-C", repository, "prune-packed", "--quiet"], check=True)


def _damaged(folder: Path, vcs: str) -> Story:
    """On a site that has landed before, the power went when not all was on the disk."""
    story = Story(folder, vcs, tests="true")
    story.propose("before", {"before": "0\n"})
    story.land()
    story.propose("topic", {"new": "1\n"})
    private = next((story.site.config.state / "repositories").glob("hello.*"))
    for pattern in ("objects.git/refs/byoci/*/*", "trunk/.bzr/repository/pack-names", "tips/*"):
        for path in private.glob(pattern):
            os.truncate(path, path.stat().st_size // 2)
    another_boot(private)
    return story


def _rewound(folder: Path, vcs: str) -> Story:
    """A landing was published and not reported, and a person took it off trunk."""
    from byoci.gate import land

    story = Story(folder, vcs)
    proposal = story.propose("topic", {"new": "1\n"})
    gate = story.gate()
    before = story.trunk_tip()
    with story.site.leases.hold(str(gate.project.trunk)) as lease:
        land.run_stages(gate, proposal, lease, land.STAGES[:-1])
    story.repository.rewind(before)
    story.repository.commit(None, {"other": "1\n"}, "Instead", "alice")
    return story


def _moved(folder: Path, vcs: str) -> Story:
    """Somebody pushes to trunk at the last moment; certificates are shown, and there are none yet."""
    story = Story(folder, vcs, tests="true", more="certificates.publish = true")
    story.propose("topic", {"new": "1\n"})
    story.repository.branch("base")
    story.repository.branch("person")
    story.repository.commit("person", {"other": "1\n"}, "Push to trunk", "alice")
    return story


def _rewritten(folder: Path, vcs: str) -> Story:
    """Somebody rewrites the source at the wrong moment; the approved revision has another name by then."""
    story = Story(folder, vcs, tests="true")
    story.propose("topic", {"new": "1\n"})
    story.repository.branch("before", "topic")
    story.repository.branch("person")
    story.repository.commit("person", {"other": "1\n"}, "Do it otherwise", "bob")
    return story


def _busy(folder: Path, vcs: str) -> Story:
    """People have all sorts of things ready (`crash_people`)."""
    story = Story(folder, vcs, tests="true")
    story.repository.branch("amended")
    story.repository.commit("amended", {"amended": "one\n"}, "What has really been", "alice")
    story.repository.branch("elsewhere")
    story.repository.commit("elsewhere", {"history": "another\n"}, "What should have been", "alice")
    story.repository.commit(None, {"history": "one\n"}, "What has been", "alice")
    story.repository.branch("base")
    story.propose("topic", {"new": "1\n"})
    story.repository.branch("person")
    story.repository.commit("person", {"other": "1\n"}, "Push to trunk", "alice")
    story.repository.merge("topic", "alice")
    story.repository.branch("by-hand")
    story.repository.overwrite("base")
    return story


def _reused(folder: Path, vcs: str) -> Story:
    """One tree passed its tests before, another did not."""
    image = small_image(folder.parent / "image")
    more = f'tests.reuse = true\n[image.small]\npath = "{image}"'
    story = Story(folder, vcs, tests="true", more=more, worker='image = "small"')
    story.propose("topic", {"new": "1\n"})
    story.shadow()
    story.propose("other", {"other": "1\n"})
    return story


def _served(folder: Path, vcs: str) -> Story:
    """Trunk and sources are on a server: git's talks http, bzr's ssh."""
    place = folder / "repository"
    server = f"bzr+ssh://git-host{place}" if vcs == "bzr" else f"{address(folder).read_text()}/repository"
    ways = f'[vcs]\nsources.schemes = ["http", "bzr+ssh"]\nrewrite = {{ "{place}" = "{server}" }}'
    story = Story(folder, vcs, tests="true", more=ways)
    origin = None
    if vcs == "git":
        story.repository._git(place, "config", "http.receivepack", "true")
        origin = _with_an_old_folder(place)
    else:
        secrets = story.site.config.state / "secrets"
        secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
        (secrets / "ssh_config").write_text(ssh_without_network(folder / "ssh"))
    story.propose("topic", {"new": "1\n"}, origin=origin)
    return story


def address(folder: Path) -> Path:
    """The file that tells where the http server for a site at `folder` is."""
    return folder.with_name("server")


def _with_an_old_folder(repository: Path) -> str:
    """Trunk once held a folder that an ancient program wrote with a padded mode; the branch where it is back."""

    def git(*arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-C", repository, *arguments], env=ANCIENT, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(branch: str) -> None:
        listed = git("ls-tree", "main") + f"\n040000 tree {folder}\td\n"
        made = git("commit-tree", git("mktree", stdin=listed.encode()), "-p", "main", "-m", "A folder of old")
        git("update-ref", f"refs/heads/{branch}", made)

    blob = bytes.fromhex(git("hash-object", "-w", "--stdin", stdin=b"old\n"))
    folder = git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=b"0100644 old\0" + blob)
    before = git("rev-parse", "main^{tree}")
    commit("main")
    git("update-ref", "refs/heads/main", git("commit-tree", before, "-p", "main", "-m", "Without it"))
    commit("again")
    return "again"


SCENARIOS: dict[str, Callable[[Path, str], Story]] = {
    "lands": _lands,
    "plain": _plain,
    "fails": _fails,
    "conflicts": _conflicts,
    "merged": _merged,
    "two": _two,
    "checked out": _checked_out,
    "kept": _kept,
    "rewound": _rewound,
    "moved": _moved,
    "reused": _reused,
    "served": _served,
    "left": _plain,
    "half-way": _checked_out,
    "damaged": _damaged,
    "rewritten": _rewritten,
    "busy": _busy,
    "by hand": _plain,
    "refused": _checked_out,
}
# What happens to every run of a scenario (`crash_plan.Plan`).
EVENTS: dict[str, list[dict[str, Any]]] = {
    "moved": [{"do": "act", "act": "push", "name": "certificate.write", "nth": 1, "when": "after"}],
    "rewritten": [{"do": "act", "act": "rewrite the source", "name": "git.fetch-source", "nth": 1, "when": "before"}],
    "refused": [{"do": "fail", "name": "checkout.move", "nth": 1, "when": "before", "errno": errno.EIO}],
}
# What is done instead of `byoci land`, with a FOLDER outside of the site; the next run is one all the same.
COMMANDS: dict[str, list[list[str]]] = {
    "by hand": [
        ["agent", "merge", "1", "FOLDER", "--json"],
        ["agent", "run-tests", "FOLDER", "default"],
        ["agent", "commit", "--project", "hello", "--json"],
        ["agent", "push", "--project", "hello", "--json"],
    ]
}


def circumstances(scenario: str, folder: Path, plans: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """What a run in a scenario is told to do."""
    commands = [[str(folder) if word == "FOLDER" else word for word in words] for words in COMMANDS.get(scenario, ())]
    return {"commands": commands, "plans": [*EVENTS.get(scenario, ()), *plans]}


def killed_before(scenario: str, vcs: str) -> tuple[str, str] | None:
    """The scenario, and the effect before the last of which, an earlier run was killed.

    In "left" it had landed something; in "half-way" it had changed a person's files.
    """
    if scenario == "half-way":
        return "checked out", "checkout.move"
    return ("plain", "scratch.remove" if vcs == "git" else "bzr.unlock") if scenario == "left" else None


def leave_lock(folder: Path, _vcs: str, _order: dict[str, Any]) -> dict[str, Any]:
    """As a git does that is killed while it writes an index."""
    (folder / "repository" / "worktrees" / "checkout" / "index.lock").touch()
    return {}
