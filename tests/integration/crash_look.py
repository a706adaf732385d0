"""What is to be found after a lander died, or was stopped by a fault, and another one made it good."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from site_under_test import BzrPlay, GitPlay, Story

from byoci.host.repositories import _breezy
from byoci.store.certificates import in_folder
from byoci.worker import cgroup, folders

if TYPE_CHECKING:
    from collections.abc import Iterator


def find(story: Story, dead: list[int]) -> dict[str, Any]:
    """What is there now, for comparison; what must not be is in `wrong`."""
    gate = story.gate()
    tip = gate.vcs.tip(story.repository.trunk)
    wrong = [*_databases(story), *_repositories(story), *_workers(story, dead), *_logs(story)]
    return {
        "proposals": {
            proposal.id: {
                "status": proposal.status.value,
                "merged": proposal.merged_revision,
                "comments": [comment.text.splitlines()[0] for comment in story.forge.comments(proposal.id)],
                "events": [
                    f"{event.what} {event.details.get('after', '')}".strip()
                    for event in story.forge.events(proposal.id)
                ],
            }
            for proposal in story.forge.list_proposals()
        },
        "tip": tip,
        "trunk": history(story),
        "unreported": [landed.revision for landed in story.site.store.unreported(str(story.repository.trunk))],
        "checkout": checkout(story),
        "certificates": certificates(story),
        "wrong": wrong,
    }


def certificates(story: Story) -> dict[str, str]:
    """Which of trunk's revisions have one, and whether it stands beside trunk too, if the project asks for that."""
    gate = story.gate()
    folder = story.site.config.state / "certificates"
    shown = dict(gate.shelf.all(gate.project.trunk)) if gate.shelf else {}
    kept = dict(in_folder(folder)) if folder.exists() else {}

    def where(name: str) -> str:
        if name not in shown or name not in kept:
            return "shown" if name in shown else "kept"
        return "kept and shown" if shown[name] == kept[name] else "kept, and shown otherwise"

    return {revision: where(revision) for revision, *_ in history(story) if revision in kept or revision in shown}


def _logs(story: Story) -> Iterator[str]:
    """The log that each landing's certificate tells of is there, whole."""
    folder = story.site.config.state / "certificates"
    landed = {revision for revision, *_ in history(story)}
    for name, raw in in_folder(folder) if folder.exists() else ():
        if name in landed:
            found = json.loads(raw.splitlines()[0])["predicate"]["runDetails"]["byproducts"]
            (log,) = (product for product in found if product["name"] == "log")
            place = Path(log["uri"].removeprefix("file://"))
            # A landing by hand has none: people saw what their tests printed.
            if log["uri"] and not (
                place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == log["digest"]["sha256"]
            ):
                yield f"the log {place} is not what its certificate says"


def checkout(story: Story) -> list[str]:
    """What a person sees in trunk's working tree: what is changed there, then the files."""
    if story.vcs == "git":
        folder = story.folder / "checkout"
        told = story.repository._git(folder, "status", "--porcelain", "--branch") if folder.exists() else ""
    else:
        folder = Path(story.repository.trunk.url)
        told = bzr_status(folder) if (folder / ".bzr" / "checkout").exists() else ""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not {".bzr", ".git"} & set(path.parts)]
    return [told, *(f"{path.relative_to(folder)}: {path.read_text()}" for path in files)]


def bzr_status(folder: Path) -> str:
    from breezy.workingtree import WorkingTree

    with _breezy():
        tree = WorkingTree.open(str(folder))
        with tree.lock_read():
            locked = "locked" if tree._control_files._lock.peek() else ""
            return f"{tree.last_revision() == tree.branch.last_revision()} {tree.has_changes()} {locked}"


def _databases(story: Story) -> Iterator[str]:
    state = story.site.config.state
    for path in (state / "forge.sqlite", state / "lander.sqlite"):
        database = sqlite3.connect(path)
        for check in ("integrity_check", "foreign_key_check"):
            for said, *_ in database.execute(f"PRAGMA {check}"):
                if said != "ok":
                    yield f"{path.name}: {said}"
        database.close()
    for lease in (state / "leases").glob("*.lease"):
        if lease.stat().st_size:
            yield f"{lease} is not empty"


def _workers(story: Story, dead: list[int]) -> Iterator[str]:
    """What is left of workers of the processes `dead`, and on disk of any, once another worker has been made."""
    worker = story.gate().new_worker()
    worker.destroy()
    live = folders.base_of(story.site.config.state).path / "live"
    yield from (f"{left} was left" for left in live.iterdir() if not left.name.startswith(f"{os.getpid()}-"))
    home = cgroup.home()
    for folder in home.folders if home else ():
        for pid in dead:
            yield from (f"{group} was left" for group in folder.glob(f"byoci-*-{pid}-*-*"))


def history(story: Story) -> list[list[str]]:
    """Trunk's revisions in first-parent order, newest first, each with its parents."""
    if isinstance(story.repository, GitPlay):
        told = story.repository._git(
            Path(story.repository.trunk.url), "rev-list", "--first-parent", "--parents", "refs/heads/main"
        )
        return [line.split() for line in told.splitlines()]
    assert isinstance(story.repository, BzrPlay)
    return bzr_history(story.repository)


def bzr_history(repository: BzrPlay) -> list[list[str]]:
    from byoci.vcs.bzr_history import mainline

    with _breezy():
        branch = repository._open(None)
        with branch.lock_read():
            found = list(mainline(branch.repository, branch.last_revision()))
            parents = branch.repository.get_parent_map(found)
            return [[part.decode() for part in (revision, *parents[revision])] for revision in found]


def _repositories(story: Story) -> Iterator[str]:
    private = next(iter((story.site.config.state / "repositories").glob("hello.*")))
    if story.vcs == "git":
        trunk = Path(story.repository.trunk.url)
        strict = () if (private / "fsck-exempt").exists() else ("--strict",)  # what is exempt is in both of them
        for repository in (trunk, private / "objects.git"):
            checked = subprocess.run(
                ["git", "-C", repository, "fsck", "--full", *strict, "--no-dangling", "--no-progress"],
                env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if checked.returncode or checked.stdout:
                yield f"{repository}: {checked.stdout}{checked.stderr}"
            yield from (f"{lock} was left" for lock in repository.rglob("*.lock"))
            yield from (f"{left} was left" for left in (repository / "objects" / "pack").glob("tmp*"))
        yield from (f"{left} was left" for left in (private / "work").glob("*"))
        known = {"objects.git", "home", "work", "fsck-exempt", "written-in"}
        yield from (f"{left} was left" for left in private.iterdir() if left.name not in known)
    else:
        yield from _bzr_repositories(story, private)


def _bzr_repositories(story: Story, private: Path) -> Iterator[str]:
    from breezy.controldir import ControlDir

    with _breezy():
        places = [Path(story.repository.trunk.url), private / "trunk"]
        for place in places:
            control = ControlDir.open(str(place))
            repository = control.find_repository()
            locks = [repository.control_files] + ([control.open_branch().control_files] if place is places[0] else [])
            for files in locks:
                if files._lock.peek() is not None:
                    yield f"{place} is locked: {files._lock.peek()}"
            yield from _bzr_damage(repository)
    yield from (f"{left} was left" for left in (private / "work").glob("*"))
    for kind in ("proposals", "candidates", "snapshots", "approved", "tips"):
        yield from (f"{left} was left" for left in (private / kind).glob("*.new"))


def _bzr_damage(repository: Any) -> Iterator[str]:
    """What is not as its inventory says, in any revision."""
    with repository.lock_read():
        for revision in repository.all_revision_ids():
            tree = repository.revision_tree(revision)
            with tree.lock_read():
                for path, entry in tree.iter_entries_by_dir():
                    if entry.kind == "file" and len(tree.get_file_text(path)) != entry.text_size:
                        yield f"{repository.user_url}: {revision!r} {path} is damaged"
