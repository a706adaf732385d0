"""Certificates as git notes, `refs/notes/byoci` of trunk's repository: see `git notes --ref=byoci show COMMIT`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from byoci import effects
from byoci.errors import PublishRefusedError
from byoci.vcs import git_objects, git_remote
from byoci.vcs.git_objects import Objects
from byoci.vcs.git_publish import destination, refused
from byoci.vcs.git_remote import Branch, require_id
from byoci.vcs.git_run import ASK_SECONDS, Git, said, unreachable
from byoci.vcs.urls import admit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from byoci.model import Location
    from byoci.vcs.urls import UrlPolicy

REF: Final = "refs/notes/byoci"
_ASK = effects.declare("notes.ask", "`git ls-remote` asks where trunk's notes are", half=effects.READ_ONLY)
_RESET = effects.declare("notes.reset", "our copy of notes that trunk does not have is removed")
_SHOW = effects.declare("notes.show", "`git notes show` reads what is kept for a landing", half=effects.READ_ONLY)
_ADD = effects.declare(
    "notes.add",
    "a certificate, as a note in our copy of trunk's notes",
    half="Our copy is made trunk's own before it is added to.",
)
_PUSH = effects.declare(
    "notes.push",
    "trunk's notes get a certificate",
    half="They have it or they do not; that is seen, and it is pushed if need be.",
    done="That it is there is seen.",
)
_TRIES: Final = 5  # others may add notes at the same moment


class GitNotes:
    """A trunk's notes (`byoci.vcs.shelf.Shelf`), by way of the project's private repository; see `GitVcs`."""

    def __init__(
        self,
        private: Path,
        policy: UrlPolicy,
        rewrite: Mapping[str, str],
        *,
        committer: tuple[str, str],
        ssh_config: Path | None = None,
    ) -> None:
        self._git = Git(private, ssh_config)
        self._objects = Objects(self._git)
        self._policy = policy
        self._rewrite = rewrite
        self._committer = committer

    def put(self, trunk: Location, revision: str, content: bytes) -> None:
        """See `Shelf.put`."""
        require_id(revision)
        branch = self._branch(trunk)
        report = ""
        for _ in range(_TRIES):
            tip = self._bring(branch)
            if self._kept(branch, revision) == content:
                return
            self._add(branch, revision, content)
            argv = [
                "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags",
                f"--force-with-lease={REF}:{tip or ''}", *destination(branch.place), f"{branch.private_ref}:{REF}",
            ]  # fmt: skip
            with _PUSH:
                result = self._git.run_remote(branch.place, argv)
            if result.status == 0:
                return
            report = f"{result.text}\n{said(result.stderr.decode('utf-8', 'replace'))}"
            if "stale info" not in report and self._tip(branch) == tip:
                raise refused(branch.place, report)
        raise PublishRefusedError(
            f"{branch.place} took no notes in {_TRIES} tries", details=report, resolution="The next run tries again."
        )

    def all(self, trunk: Location) -> Iterator[tuple[str, bytes]]:
        """See `Shelf.all`."""
        branch = self._branch(trunk)
        tip = self._bring(branch)
        if tip is None:
            return
        names = self._git.run(["ls-tree", "-r", "-z", "--name-only", "--full-tree", tip]).stdout.split(b"\0")
        paths = [name.decode("ascii", "replace") for name in names if name]
        for path, content in git_objects.read_files(self._objects, tip, paths).items():
            yield path.replace("/", ""), content

    def _branch(self, trunk: Location) -> Branch:
        place = admit(trunk.url, self._policy, self._rewrite)
        digest = hashlib.sha256(place.text.encode("utf-8", "surrogateescape")).hexdigest()
        # git takes notes from refs below refs/notes/ only.
        return replace(Branch.of(place, None, trusted=True), ref=REF, private_ref=f"refs/notes/{digest[:40]}")

    @_ASK
    def _tip(self, branch: Branch) -> str | None:
        """Where trunk's notes are now; None where it has none."""
        asked = ["ls-remote", *git_remote.address(branch.place), REF]
        result = self._git.run_remote(branch.place, asked, timeout=ASK_SECONDS)
        if result.status != 0:
            raise unreachable(branch.place, result.stderr.decode("utf-8", "replace"))
        return next((line.split("\t")[0] for line in result.text.split("\n") if line.endswith(f"\t{REF}")), None)

    def _bring(self, branch: Branch) -> str | None:
        """Make our copy of the notes trunk's own."""
        tip = self._tip(branch)
        if tip is None:
            with _RESET:
                (self._git.repository / branch.private_ref).unlink(missing_ok=True)
        elif git_remote.read_ref(self._git, branch.private_ref) != tip:
            git_remote.fetch(self._git, branch, trusted=True)
        return tip

    @_SHOW
    def _kept(self, branch: Branch, revision: str) -> bytes | None:
        shown = self._git.run(["notes", f"--ref={branch.private_ref}", "show", revision], ok=(0, 1))
        return shown.stdout if shown.status == 0 else None

    @_ADD
    def _add(self, branch: Branch, revision: str, content: bytes) -> None:
        """Add a note to our copy, byte for byte: `-F` would tidy it up."""
        blob = self._git.run(["hash-object", "-w", "--stdin"], stdin=content).text
        name, email = self._committer
        at = f"@{int(datetime.now(UTC).timestamp())} +0000"
        roles = ("AUTHOR", "COMMITTER")
        who = {
            f"GIT_{role}_{key}": value
            for role in roles
            for key, value in (("NAME", name), ("EMAIL", email), ("DATE", at))
        }
        self._git.run(["notes", f"--ref={branch.private_ref}", "add", "-f", "-C", blob, revision], env=who)
