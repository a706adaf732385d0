"""The Vcs protocol: reading, merging in memory and publishing, without a working tree or anybody's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from byoci.model import (
        AlreadyMerged,
        Candidate,
        Conflict,
        Exported,
        LandedRevision,
        Lease,
        Location,
        MergeMeta,
        TrunkRevision,
    )


class Vcs(Protocol):
    """A version control system, seen from one project's private repository.

    Order: `fetch` the base and the approved revision, then `merge`, then `export` or `update`, then `publish`.
    `tip` and `landings` stand alone.
    Idempotence: all but `publish` may be repeated at will; `publish` raises `TrunkMovedError` when trunk is not at
    `expected_tip`, also where that is because of an earlier publish of the same candidate.
    Concurrency: one lander a private repository (the landing lease); several processes may read.
    Errors: `UnreachableError` (a repository does not answer or is none), `RevisionGoneError`, `RejectedError` (an
    object or a URL that is not allowed), `TrunkMovedError`, `PublishRefusedError`. Nothing is half done after any of
    them.

    Trust: a source is hostile. Its attributes, filters, hooks, drivers, plugins and configuration take no part, it is
    opened only where the project's URL policy allows, and its new objects are checked.
    """

    name: str

    def tip(self, location: Location) -> str:
        """The id of the branch's newest revision. An unborn or missing branch raises `UnreachableError`."""

    def fetch(self, location: Location, revision: str | None = None, *, trusted: bool = False) -> str:
        """Bring `revision` (default: the branch's tip) into the private repository; returns its id.

        The revision must be in that branch's history, or offered by its server. `trusted` is for trunk itself: its old
        objects may break rules that a proposal's new ones may not.
        """

    def merge(self, base: str, revision: str, message: str, meta: MergeMeta) -> Candidate | Conflict | AlreadyMerged:
        """Merge `revision` onto `base` in memory: the same arguments and VCS version give the same candidate id.

        Where trunk holds that candidate already, as when its landings are recomputed, it is compared with what trunk
        holds under its id; `RejectedError` where that is something else.
        """

    def export(self, revision: str, folder: Path, at: int | None = None) -> Exported:
        """Write exactly a fetched revision's, or a candidate's, files to `folder`, which must be empty or absent.

        Bytes as stored, the execute bit, symbolic links as links, nothing written through one, no VCS folder. Where
        root writes, all of it belongs to whom `folder` belongs. `at`, in nanoseconds since 1970, is when everything was
        changed, as its times say. All or nothing: after an error `folder` is not left half filled.
        """

    def update(self, folder: Path, held: Exported, revision: str) -> Exported:
        """Make of what an export or update left in `folder`, untouched since, what an export of `revision` would.

        It costs in proportion to what differs. Files are replaced, never written to. After an error `folder` is good
        for nothing; it is `RevisionGoneError` where the revision of `held` is no longer known.
        """

    def read(self, revision: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Contents of regular files of a revision in the private repository; a path that is none is left out."""

    def publish(self, candidate: Candidate, location: Location, expected_tip: str, lease: Lease) -> None:
        """Make the candidate trunk's tip if, and only if, that is still `expected_tip`; `lease` proves the right."""

    def landings(self, location: Location, after: str | None = None) -> Iterator[LandedRevision]:
        """Landings on trunk's first-parent history, newest first, down to but without the revision `after`.

        Reads the private repository as of its last `fetch` of `location`. An id counts only on a first-parent revision
        by our committer whose second parent is the approved revision and whose id is the digest of its own fields.
        """

    def history(self, location: Location) -> Iterator[TrunkRevision]:
        """Trunk's first-parent history, newest first, as of its last `fetch`."""
