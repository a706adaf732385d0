"""git as people use it: bare repositories, a clone for each, the real program with a person's own configuration."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from byoci.model import Location
from contract.vcs_playground import ANN, BOT, Change, File, Link, Person, Tree, apply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.vcs.base import Vcs

BRANCH = "main"


class GitPlayground:
    """Repository N is `root/N.git` (bare) with a person's clone `root/N`, or only `root/N` where it is checked out."""

    name: ClassVar[str] = "git"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._number = itertools.count()
        (root / "home").mkdir(parents=True)

    def try_git(
        self, folder: Path, *args: str | bytes, person: Person = ANN, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git in `folder` as `person` does."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "LC_ALL": "C.UTF-8",
            "GIT_AUTHOR_NAME": person.name,
            "GIT_AUTHOR_EMAIL": person.email,
            "GIT_COMMITTER_NAME": person.name,
            "GIT_COMMITTER_EMAIL": person.email,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        return subprocess.run(["git", *args], cwd=folder, env=env, input=stdin, capture_output=True, check=False)

    def git(self, folder: Path, *args: str | bytes, person: Person = ANN, stdin: bytes = b"") -> str:
        """Run git in `folder`, which has to succeed; its output without the last line's end."""
        done = self.try_git(folder, *args, person=person, stdin=stdin)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def _clone(self, where: Location) -> Path:
        """The person's folder for a location, up to date with it."""
        path = Path(where.url)
        if path.suffix != ".git":
            return path
        clone = path.with_suffix("")
        if not clone.exists():
            self.git(self.root, "clone", "-q", str(path), str(clone))
        branch = where.branch or BRANCH
        self.git(clone, "fetch", "-q", "origin")
        self.git(clone, "checkout", "-q", "-f", "-B", branch, f"origin/{branch}")
        return clone

    def _publish(self, where: Location, *options: str) -> str:
        folder = self.folder(where) if Path(where.url).suffix != ".git" else Path(where.url).with_suffix("")
        if folder != Path(where.url):
            self.git(folder, "push", "-q", *options, "origin", f"HEAD:refs/heads/{where.branch or BRANCH}")
        return self.git(folder, "rev-parse", "HEAD")

    def trunk(self, changes: Mapping[str, Change], *, checked_out: bool = False) -> Location:
        number = str(next(self._number))
        folder = self.root / number
        folder.mkdir()
        self.git(folder, "init", "-q", "-b", BRANCH)
        apply(changes, folder, lambda old, new: self.git(folder, "mv", old, new))
        self.git(folder, "add", "-A", "-f")
        self.git(folder, "commit", "-q", "--allow-empty", "-m", "Begin")
        if checked_out:
            return Location(str(folder))
        bare = self.root / f"{number}.git"
        self.git(self.root, "clone", "-q", "--bare", str(folder), str(bare))
        self.git(folder, "remote", "add", "origin", str(bare))
        return Location(str(bare), BRANCH)

    def empty(self) -> Location:
        bare = self.root / f"{next(self._number)}.git"
        self.git(self.root, "init", "-q", "--bare", "-b", BRANCH, str(bare))
        return Location(str(bare))

    def branch(self, of: Location, *, revision: str | None = None) -> Location:
        bare = self.root / f"{next(self._number)}.git"
        self.git(self.root, "clone", "-q", "--bare", of.url, str(bare))
        where = Location(str(bare), f"feature-{bare.stem}")
        self.git(bare, "branch", "-q", where.branch or "", revision or self.tip(of))
        return where

    def commit(
        self, where: Location, changes: Mapping[str, Change], message: str | bytes = "Change", person: Person = ANN
    ) -> str:
        folder = self._clone(where)
        apply(changes, folder, lambda old, new: self.git(folder, "mv", old, new))
        self.git(folder, "add", "-A", "-f")
        raw = message if isinstance(message, bytes) else message.encode()
        self.git(
            folder, "commit", "-q", "--allow-empty", "--cleanup=verbatim", "-F", "-", person=person, stdin=raw + b"\n"
        )
        return self._publish(where)

    def merge(self, into: Location, source: Location, revision: str | None = None) -> str:
        folder = self._clone(into)
        self.git(folder, "fetch", "-q", source.url, source.branch or "HEAD")
        self.git(folder, "merge", "-q", "--no-ff", "-m", "Merge by hand", revision or "FETCH_HEAD")
        return self._publish(into)

    def revert(self, where: Location, revision: str) -> str:
        folder = self._clone(where)
        mainline = ["-m", "1"] if len(self.parents(where, revision)) > 1 else []
        self.git(folder, "revert", "--no-edit", *mainline, revision)
        return self._publish(where)

    def rewrite(self, where: Location, revision: str) -> None:
        folder = self._clone(where)
        self.git(folder, "reset", "-q", "--hard", revision)
        self._publish(where, "--force")
        self.git(Path(where.url), "repack", "-a", "-d", "-q")
        self.git(Path(where.url), "prune", "--expire=now")

    def tip(self, where: Location) -> str:
        return self.git(Path(where.url), "rev-parse", f"refs/heads/{where.branch}" if where.branch else "HEAD")

    def tree(self, where: Location, revision: str | None = None) -> Tree:
        tree: Tree = {}
        repository = Path(where.url)
        listing = self.git(repository, "ls-tree", "-r", "-z", revision or self.tip(where))
        for entry in filter(None, listing.split("\0")):
            (mode, _, name), path = entry.partition("\t")[0].split(), entry.partition("\t")[2]
            content = subprocess.run(
                ["git", "cat-file", "blob", name], cwd=repository, capture_output=True, check=True
            ).stdout
            tree[path] = Link(os.fsdecode(content)) if mode == "120000" else File(content, mode == "100755")
        return tree

    def parents(self, where: Location, revision: str) -> tuple[str, ...]:
        return tuple(self.git(Path(where.url), "rev-list", "--parents", "-n", "1", revision).split()[1:])

    def message(self, where: Location, revision: str) -> bytes:
        raw = subprocess.run(
            ["git", "cat-file", "commit", revision], cwd=where.url, capture_output=True, check=True
        ).stdout
        return raw.partition(b"\n\n")[2]

    def committer(self, where: Location, revision: str) -> tuple[str, str, int]:
        name, email, at = self.git(
            Path(where.url), "show", "-s", "--format=%cn%x00%ce%x00%ct", "--no-use-mailmap", revision
        ).split("\0")
        return name, email, int(at)

    def folder(self, where: Location) -> Path:
        return Path(where.url)

    @contextmanager
    def serve(self, where: Location) -> Iterator[Location]:
        """`git daemon` on a free loopback port; its process group ends with the test."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        daemon = subprocess.Popen(
            [
                "git", "daemon", "--reuseaddr", "--export-all", "--enable=receive-pack", "--listen=127.0.0.1",
                f"--port={port}", f"--base-path={self.root}", str(self.root),
            ],
            env={"PATH": os.environ["PATH"], "HOME": str(self.root / "home")},
            stderr=subprocess.DEVNULL,
            process_group=0,
        )  # fmt: skip
        try:
            _await_port(port)
            yield Location(f"git://127.0.0.1:{port}/{Path(where.url).relative_to(self.root)}", where.branch)
        finally:
            os.killpg(daemon.pid, 15)
            daemon.wait(10)

    def vcs(self, private: Path, *, local: bool = True, rewrite: Mapping[str, str] | None = None) -> Vcs:
        from byoci.vcs.git import GitVcs
        from byoci.vcs.urls import UrlPolicy

        return GitVcs(private, UrlPolicy(local=local), rewrite or {}, committer_email=BOT.email)


def _await_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("git daemon does not listen")
