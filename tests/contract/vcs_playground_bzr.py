"""bzr as people use it: bare branches, a checkout of each, and the real program with a person's own home folder."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fastbencode import bdecode

from byoci.model import Location
from contract import brz
from contract.vcs_playground import ANN, BOT, Change, File, Link, Person, Tree, apply, read_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.vcs.base import Vcs


class BzrPlayground:
    """Branch N is `root/N`, without files but where it is checked out; a person works in its checkout `root/N.work`."""

    name: ClassVar[str] = "bzr"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._number = itertools.count()
        (root / "home").mkdir(parents=True)

    def brz(self, folder: Path, *args: str, person: Person = ANN) -> str:
        """Run brz in `folder` as `person` does; its output without the last line's end."""
        email = f"{person.name} <{person.email}>"
        return brz.run(folder, *args, email=email, home=self.root / "home").decode().rstrip("\n")

    def _new(self) -> Path:
        return self.root / str(next(self._number))

    def _work(self, where: Location) -> Path:
        """The person's folder for a branch, up to date with it."""
        path = Path(where.url)
        if (path / ".bzr" / "checkout").exists():
            return path
        work = path.with_name(f"{path.name}.work")
        if work.exists():
            self.brz(work, "update", "-q")
        else:
            self.brz(self.root, "checkout", "-q", "--lightweight", str(path), str(work))
        return work

    def trunk(self, changes: Mapping[str, Change], *, checked_out: bool = False) -> Location:
        path = self._new()
        self.brz(self.root, "init", "-q", "--2a", *([] if checked_out else ["--no-tree"]), str(path))
        where = Location(str(path))
        self.commit(where, changes, "Begin")
        return where

    def empty(self) -> Location:
        path = self._new()
        self.brz(self.root, "init", "-q", "--no-tree", str(path))
        return Location(str(path))

    def branch(self, of: Location, *, revision: str | None = None) -> Location:
        path = self._new()
        at = [] if revision is None else ["-r", f"revid:{revision}"]
        self.brz(self.root, "branch", "-q", "--no-tree", *at, of.url, str(path))
        return Location(str(path))

    def commit(
        self, where: Location, changes: Mapping[str, Change], message: str | bytes = "Change", person: Person = ANN
    ) -> str:
        work = self._work(where)

        def rename(old: str, new: str) -> None:
            self.brz(work, "add", "-q", "--no-recurse", str(Path(new).parent))
            self.brz(work, "mv", "-q", old, new)

        apply(changes, work, rename)
        if written := [name for name, change in changes.items() if isinstance(change, File | Link)]:
            self.brz(work, "add", "-q", "--", *written)
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        self.brz(work, "commit", "-q", "--unchanged", "-m", text, person=person)
        return self.tip(where)

    def merge(self, into: Location, source: Location, revision: str | None = None) -> str:
        work = self._work(into)
        at = [] if revision is None else ["-r", f"revid:{revision}"]
        self.brz(work, "merge", "-q", *at, source.url)
        self.brz(work, "commit", "-q", "-m", "Merge by hand")
        return self.tip(into)

    def revert(self, where: Location, revision: str) -> str:
        work = self._work(where)
        self.brz(work, "merge", "-q", "-r", f"revid:{revision}..before:revid:{revision}", where.url)
        self.brz(work, "commit", "-q", "-m", f"Revert {revision}")
        return self.tip(where)

    def rewrite(self, where: Location, revision: str) -> None:
        path = Path(where.url)
        again = self.branch(where, revision=revision)
        shutil.rmtree(path.with_name(f"{path.name}.work"), ignore_errors=True)
        shutil.rmtree(path)
        Path(again.url).rename(path)

    def tip(self, where: Location) -> str:
        return self.brz(self.root, "revision-info", "-d", where.url).split()[1]

    def tree(self, where: Location, revision: str | None = None) -> Tree:
        folder = self._new()
        self.brz(self.root, "export", "-q", "-r", f"revid:{revision or self.tip(where)}", str(folder), where.url)
        tree = read_folder(folder) if folder.exists() else {}
        shutil.rmtree(folder, ignore_errors=True)
        return tree

    def revision(self, where: Location, revision: str) -> dict[bytes, Any]:
        """A revision as format 2a stores it, field by field."""
        raw = brz.run(self.root, "cat-revision", "-d", where.url, revision, home=self.root / "home")
        return dict(bdecode(raw.rstrip(b"\n")))

    def parents(self, where: Location, revision: str) -> tuple[str, ...]:
        return tuple(parent.decode() for parent in self.revision(where, revision)[b"parent-ids"])

    def message(self, where: Location, revision: str) -> bytes:
        message: bytes = self.revision(where, revision)[b"message"]
        return message

    def committer(self, where: Location, revision: str) -> tuple[str, str, int]:
        fields = self.revision(where, revision)
        name, _, email = fields[b"committer"].decode().partition(" <")
        return name, email.removesuffix(">"), int(float(fields[b"timestamp"]))

    def folder(self, where: Location) -> Path:
        return Path(where.url)

    @contextmanager
    def serve(self, where: Location, *, vfs: bool = True) -> Iterator[Location]:
        """`brz serve` on a free loopback port; its process group ends with the test.

        vfs   whether clients may use its file system, and not only ask for what bzr's own requests tell
        """
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root / "home"), "BRZ_LOG": os.devnull}
        env |= {} if vfs else {"BRZ_NO_SMART_VFS": "1"}
        server = subprocess.Popen(
            [
                sys.executable, "-m", "breezy", "--no-plugins", "serve", "--allow-writes",
                "--listen=127.0.0.1", "--port=0", f"--directory={self.root}",
            ],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
        )  # fmt: skip
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline().rsplit(b":", 1)[1])
            yield Location(f"bzr://127.0.0.1:{port}/{Path(where.url).relative_to(self.root)}")
        finally:
            os.killpg(server.pid, 15)
            server.wait(10)
            server.stdout.close()

    def vcs(self, private: Path, *, local: bool = True, rewrite: Mapping[str, str] | None = None) -> Vcs:
        from byoci.vcs.bzr import BzrVcs
        from byoci.vcs.urls import UrlPolicy

        return BzrVcs(private, UrlPolicy(local=local), rewrite or {}, committer_email=BOT.email)
